"""Which links and ports a schedule follows, and how long each layer's values take over them.

Of thousands of links those are followed that some layer fills most, and the one that all layers together fill
most: whatever is slower than these is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cost.network import Loads, Network
from ..cost.traffic import Traffic, pairs_by_layer
from ..description.spec import Chip
from ..plan.plan import MappingPlan

KINDS = ("links", "sent", "taken", "crossings", "entered")
_NAMED = {"links": "link", "crossings": "crossing"}


@dataclass(frozen=True, slots=True)
class FollowedLinks:
    """Times of one input over each of L links: entries (layer, link, time), sorted by layer."""

    names: tuple[str, ...]
    layer: np.ndarray
    link: np.ndarray
    ns: np.ndarray

    @property
    def total_ns(self) -> np.ndarray:
        """What all layers take of each link, [L]."""
        return np.bincount(self.link, self.ns, minlength=len(self.names))


def followed_links(plan: MappingPlan, chip: Chip, traffic: Traffic) -> FollowedLinks:
    """The links of ``plan`` on ``chip`` that can make something wait; ``traffic`` is the plan's."""
    starts = _starts(traffic.loads)
    total = np.concatenate([_times(traffic.loads, traffic.network, kind) for kind in KINDS])
    chosen = {int(np.argmax(total))} if total.any() else set()
    by_layer = []
    for k, pairs in pairs_by_layer(plan, chip):
        where, ns = _of_layer(traffic.network.loads(pairs), traffic.network, starts)
        if len(where):
            chosen.add(int(where[np.argmax(ns)]))
            by_layer.append((k, where, ns))
    numbers = np.array(sorted(chosen), np.int64)
    layer, link, times = [], [], []
    for k, where, ns in by_layer:
        taken = np.flatnonzero(np.isin(where, numbers))
        layer += [k] * len(taken)
        link += np.searchsorted(numbers, where[taken]).tolist()
        times += ns[taken].tolist()
    return FollowedLinks(
        tuple(_name(traffic, starts, int(number)) for number in numbers),
        np.array(layer, np.int64), np.array(link, np.int64), np.array(times, np.float64),
    )  # fmt: skip


def _starts(total: Loads) -> dict[str, int]:
    """Where each kind begins among all links and ports, in a row."""
    starts, at = {}, 0
    for kind in KINDS:
        starts[kind] = at
        at += getattr(total, kind).size
    return starts


def _times(loads: Loads, network: Network, kind: str) -> np.ndarray:
    rate = network.chip_bits_per_ns if kind in ("crossings", "entered") else network.bits_per_ns
    times: np.ndarray = getattr(loads, kind).ravel() / rate
    return times


def _of_layer(loads: Loads, network: Network, starts: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the links that carry something, and the time that it takes."""
    where, ns = [], []
    for kind in KINDS:
        times = _times(loads, network, kind)
        before = 0 if kind == "crossings" else loads.first * (times.size // len(loads.entered))
        busy = np.flatnonzero(times)
        where.append(starts[kind] + before + busy)
        ns.append(times[busy])
    return np.concatenate(where), np.concatenate(ns)


def _name(traffic: Traffic, starts: dict[str, int], number: int) -> str:
    kind = next(
        kind for kind in reversed(KINDS) if starts[kind] <= number and getattr(traffic.loads, kind).size
    )
    return traffic.network.name_of(_NAMED.get(kind, kind), number - starts[kind], traffic.loads.first)
