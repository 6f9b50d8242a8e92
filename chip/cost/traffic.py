"""What travels for one input, summed up by layer, and how full every link is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .messages import Sent, messages_of
from .network import Loads, Network, Pairs, pairs_of


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic of one input."""

    hop_bits: np.ndarray  # of each layer: bits times links between tiles
    crossing_bits: np.ndarray  # of each layer: bits times links between chips
    carried_ns: np.ndarray  # of each layer: what its fullest link or port takes, nothing else on it
    way_ns: (
        np.ndarray
    )  # of each layer: the longest way of its inputs, then of its partial sums, one clock a link
    loads: Loads  # of all layers together
    network: Network


def traffic_of(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> Traffic:
    """The traffic of one input. Layers are taken one at a time: a large model has many messages.

    Args:
        sent: the plan's messages, where they are known.
    """
    count = len(plan.layers)
    network = Network(chip, plan.chips)
    hop_bits, crossing_bits, carried, way = (np.zeros(count) for _ in range(4))
    used = int(plan.table["tile"].max(initial=0)) // chip.tiles + 1
    total = network.nothing(used)
    for k, pairs in pairs_by_layer(plan, chip, sent):
        if not len(pairs.bits):
            continue
        loads = network.loads(pairs)
        total.add(loads)
        hop_bits[k], crossing_bits[k] = loads.links.sum(), loads.crossings.sum()
        carried[k] = max(loads.busiest(network))
        links, hops = network.distances(pairs)
        clock = max(chip.links.clock_ghz.value, 1e-9)
        longest = np.zeros(int(pairs.stage.max()) + 1)  # one stage of additions follows the other
        np.maximum.at(longest, pairs.stage, links / clock + hops * chip.links.chip_hop_ns.value)
        way[k] = float(longest.sum())
    return Traffic(hop_bits, crossing_bits, carried, way, total, network)


def pairs_by_layer(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> Iterator[tuple[int, Pairs]]:
    """For each layer that values travel to or within its number and its messages as single pairs of tiles."""
    known = messages_of(plan, chip) if sent is None else sent
    for k, group in itertools.groupby(known, key=lambda entry: entry[0]):
        yield k, pairs_of([part for _, part in group], plan.table["tile"])


def crossing_bits(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> float:
    """Bits times links between chips for one input."""
    network = Network(chip, plan.chips)
    return sum(network.totals(pairs)[1] for _, pairs in pairs_by_layer(plan, chip, sent))


def bits_over_cuts(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> np.ndarray:
    """For each b the bits that travel between tiles of numbers below b and the others, for one input."""
    change = np.zeros(int(plan.table["tile"].max()) + 3)
    for _, pairs in pairs_by_layer(plan, chip, sent):
        inside = np.flatnonzero(pairs.source >= 0)
        source, target, bits = pairs.source[inside], pairs.target[inside], pairs.bits[inside]
        if len(inside):
            _add_at(change, np.minimum(source, target) + 1, bits)
            _add_at(change, np.maximum(source, target) + 1, -bits)
    return np.cumsum(change)[:-1]


def _add_at(sums: np.ndarray, where: np.ndarray, amounts: np.ndarray) -> None:
    """Add amounts at places, which lie close together."""
    low = int(where.min())
    added = np.bincount(where - low, amounts)
    sums[low : low + len(added)] += added


class WayCost:
    """What links cost a small plan under many placements: messages do not depend on where tiles stand.

    ``of_link`` and ``of_crossing`` are the costs of a bit over one link between tiles and between chips.
    """

    def __init__(self, plan: MappingPlan, chip: Chip, of_link: float, of_crossing: float) -> None:
        self.network = Network(chip, plan.chips)
        self.prices = (of_link, of_crossing)
        parts = [pairs for _, pairs in pairs_by_layer(plan, chip)]
        first = np.cumsum([0, *(int(part.message.max(initial=-1)) + 1 for part in parts)])
        self.pairs = Pairs(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.target for part in parts]),
            np.concatenate([part.bits for part in parts]),
            np.concatenate([part.message + k for part, k in zip(parts, first, strict=False)]),
            np.concatenate([part.stage for part in parts]),
        )

    def __call__(self, position: np.ndarray) -> float:
        """The cost where the tile of number k stands at ``position[k]``."""
        source = np.where(self.pairs.source < 0, -1, position[self.pairs.source])
        moved = replace(self.pairs, source=source, target=position[self.pairs.target])
        of_link, of_crossing = self.prices
        links, crossings = self.network.totals(moved)
        return of_link * links + of_crossing * crossings
