"""What a plan costs: latency, energy, area, throughput and traffic, layer by layer and part by part.

Energy is counts of events times the energy of one (``Events``, ``parts``), as Accelergy does it (Wu et
al., ICCAD 2019). Area is the sum of the parts of all chips used. A layer's latency is the time of its
vectors on its busiest tile, or of its traffic where that is slower; the network's is that of the longest
way through its branches, rows handed on as they are ready (``plan.way``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..description.events import Events
from ..description.spec import Chip
from ..plan.graph import serial_steps
from ..plan.plan import MappingPlan
from ..plan.way import Pace, Way, longest_way
from .events import (
    layer_events,
    mvm_events,
    mvm_interval_ns,
    of_layers,
    program_ns,
    read_ns,
    stages_ns,
    traffic_events,
)
from .messages import Sent
from .parts import area_by_part, energy_by_part, estimates
from .traffic import Traffic, traffic_of


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer, for one input."""

    name: str
    latency_ns: float  # from its first input to its last output
    interval_ns: float  # from one input to the next, its tiles working on nothing else
    energy_pj: float
    hop_bits: float
    crossing_bits: float
    bound: str  # what its interval comes from: tiles, links, or loop: steps that wait for each other
    carried_ns: float  # what its fullest link or port takes
    energy_by_part: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one input, and of the hardware. Energy is the pipelined steady state's: what draws power
    all the time draws it for one interval an input."""

    layers: tuple[LayerCost, ...]
    latency_ns: float  # one input from end to end, along the longest way; in rounds its whole batch
    latency_in_turn_ns: float  # the same where each layer waits for all of what it reads
    longest_way: tuple[str, ...]  # the layers on it
    interval_ns: float  # pipelined: from one input to the next
    bottleneck: str  # the layer, tile or link that sets the interval
    energy_pj: float
    energy_by_part: dict[str, float]
    latency_by_part: dict[str, float]
    area_mm2: float
    area_by_part: dict[str, float]
    operations: float  # two a weight and vector
    hop_bits: float
    crossing_bits: float
    events: Events
    slowest_link: str  # the link or port that the traffic of all layers fills most
    slowest_link_ns: float
    estimates: tuple[str, ...]  # figures without a published source

    @property
    def tops(self) -> float:
        """Pipelined throughput of this model."""
        return self.operations / self.interval_ns / 1e3 if self.interval_ns else 0.0

    @property
    def tops_per_w(self) -> float:
        """Operations of one input over its energy."""
        return self.operations / self.energy_pj if self.energy_pj else 0.0


@dataclass(frozen=True, slots=True)
class Peak:
    """What a chip does at most, all tiles full and busy."""

    tops: float
    watts: float
    tops_per_w: float
    area_mm2: float
    tops_per_mm2: float


def cost_of(plan: MappingPlan, chip: Chip) -> Cost:
    """The cost of one input of ``plan`` on ``chip``."""
    traffic = traffic_of(plan, chip)
    moved = traffic_events(traffic)
    per_layer = [a + b for a, b in zip(layer_events(plan, chip), moved, strict=True)]
    times = _layer_times(plan, chip, traffic)
    link_ns, link = traffic.loads.slowest(traffic.network)
    way = longest_way(plan, times.paces(plan))
    in_turn = longest_way(plan, [Pace(1, 0.0, each) for each in times.latency.tolist()])
    # branches that work at the same time share links: no input is done before its fullest link is
    shared_ns = max(link_ns - way.length, 0.0)
    first = way.length + shared_ns + times.program_ns
    latency = first + (plan.batch - 1) * float(times.rounds.sum())
    interval, bottleneck = _interval(plan, times, (link_ns, link), latency)
    total = sum(per_layer, Events()) + Events(static_ns=interval)
    by_part = energy_of_kinds(plan, chip, per_layer, interval)
    energies = [
        energy_by_part(chip, events, plan.chips_used, kind)
        for events, kind in zip(per_layer, plan.layer_kind.tolist(), strict=True)
    ]
    area = area_by_part(chip, plan.chips_used)
    layers = tuple(
        LayerCost(
            layer.name, float(times.latency[k]), float(times.interval[k]), sum(energies[k].values()),
            per_layer[k].hop_bit, per_layer[k].crossing_bit, times.bound(k), float(times.carried[k]),
            energies[k],
        )
        for k, layer in enumerate(plan.layers)
    )  # fmt: skip
    return Cost(
        layers=layers,
        latency_ns=latency,
        latency_in_turn_ns=max(in_turn.length, link_ns) + times.program_ns + latency - first,
        interval_ns=interval,
        bottleneck=bottleneck,
        energy_pj=sum(by_part.values()),
        energy_by_part=by_part,
        latency_by_part=times.by_part(way, shared_ns, latency - first),
        longest_way=tuple(plan.layers[k].name for k in way.layers),
        area_mm2=sum(area.values()),
        area_by_part=area,
        operations=2.0 * sum(layer.weights * layer.vectors for layer in plan.layers),
        hop_bits=total.hop_bit,
        crossing_bits=total.crossing_bit,
        events=total,
        slowest_link=link,
        slowest_link_ns=link_ns,
        estimates=tuple(estimates(chip)),
    )


def energy_of_kinds(
    plan: MappingPlan, chip: Chip, of_layers: Sequence[Events], static_ns: float
) -> dict[str, float]:
    """Energy in pJ of each group of parts for each layer's events, on the kind of tile that holds it, and for
    ``static_ns`` of all that draws power all the time."""
    found: dict[str, float] = {}
    on = plan.layer_kind.tolist()
    for kind in range(len(chip.kinds) + 1):
        events = sum((each for each, k in zip(of_layers, on, strict=True) if k == kind), Events())
        energies = energy_by_part(chip, events + Events(static_ns=static_ns), plan.chips_used, kind)
        for group, energy in energies.items():
            found[group] = found.get(group, 0.0) + energy
    return found


def interval_of(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> float:
    """The interval of ``cost_of`` in ns, alone and sooner, of a plan whose tiles are programmed once.

    Args:
        sent: the plan's messages, where they are known.
    """
    traffic = traffic_of(plan, chip, sent)
    slowest = traffic.loads.slowest(traffic.network)
    return _interval(plan, _layer_times(plan, chip, traffic), slowest, 0.0)[0]


def peak(chip: Chip) -> Peak:
    """Throughput, power and area of one chip with all cells used: 2 operations a weight and vector."""
    each = [_peak_of(chip, kind) for kind, tiles in enumerate(chip.kind_tiles) if tiles]
    area = sum(area_by_part(chip, 1).values())
    tops, watts = sum(tops for tops, _, _ in each), sum(watts for _, watts, _ in each)
    # of one kind operations over energy, which a rate that is not described does not hide
    efficiency = each[0][2] if len(each) == 1 else tops / watts if watts else 0.0
    return Peak(tops, watts, efficiency, area, tops / area if area else 0.0)


def _peak_of(chip: Chip, kind: int) -> tuple[float, float, float]:
    """TOPS, W and TOPS/W of the tiles of one kind."""
    here, tiles = chip.described(kind), chip.kind_tiles[kind]
    interval = mvm_interval_ns(here)
    one = mvm_events(here, here.tile_out, here.tile_in, 1.0)
    events = dataclasses.replace(one * tiles, static_ns=interval, buffer_bit=0.0)
    energy = sum(energy_by_part(chip, events, 1, kind).values())
    operations = 2.0 * here.tile_out * here.tile_in * tiles
    return (
        operations / interval / 1e3 if interval else 0.0,
        energy / interval / 1e3 if interval else 0.0,
        operations / energy if energy else 0.0,
    )


@dataclass(frozen=True, slots=True)
class _Times:
    latency: np.ndarray  # of each layer, ns
    interval: np.ndarray
    vector: np.ndarray  # of one vector on its busiest tile
    busy: np.ndarray  # all vectors of one input, or its traffic where that takes longer
    after: np.ndarray  # what an output takes besides: stages and the way of its inputs; in a loop busy has it
    linked: np.ndarray  # the part of busy that is traffic
    hops: np.ndarray  # the part of after that is the way
    carried: np.ndarray  # what the fullest link or port of a layer takes, whatever the tiles do
    working: np.ndarray  # what its busiest tile takes, on average
    in_loop: np.ndarray
    tile_busy: np.ndarray  # of each used tile, summed over layers
    rounds: (
        np.ndarray
    )  # of each round, from one input of a batch to the next; none where nothing is reprogrammed
    program_ns: float  # of all rounds

    def bound(self, k: int) -> str:
        """What the interval of layer ``k`` comes from."""
        if self.in_loop[k]:
            return "loop"
        return "links" if self.interval[k] > self.working[k] else "tiles"

    def paces(self, plan: MappingPlan) -> list[Pace]:
        """How each layer makes its rows."""
        columns = (column.tolist() for column in (self.busy, self.vector, self.after))
        return [Pace.of(layer.rows, *each) for layer, *each in zip(plan.layers, *columns, strict=True)]

    def by_part(self, way: Way, shared_ns: float, batch_ns: float) -> dict[str, float]:
        """The times of a way, shared out; of a part of a layer's rows the same part is traffic."""
        on = list(way.layers)
        worked = np.array(way.times) - self.after[on]
        links = float((worked * self.linked[on] / np.maximum(self.busy[on], 1e-300) + self.hops[on]).sum())
        parts = {
            "crossbar and converters": float(np.sum(way.times)) - links,
            "links": links + shared_ns,
            "programming": self.program_ns,
        }
        return {**parts, "others of the batch": batch_ns} if batch_ns else parts


def _layer_times(plan: MappingPlan, chip: Chip, traffic: Traffic) -> _Times:
    """Per layer: vectors on the busiest tile, blocks that share a tile one after the other; or the bits over
    its fullest link or port; then the longest way.

    In a loop no step begins before the values of the one before it have arrived, so nothing overlaps.
    """
    table = plan.table
    steps = np.array(serial_steps(plan.layers))
    vectors = np.ceil([layer.reuse / s for layer, s in zip(plan.layers, steps, strict=True)] / plan.copies)
    block_ns, tile_ns = _read_times(plan, chip)
    working = steps * vectors * tile_ns
    stages = steps * of_layers(plan, chip, stages_ns)
    active = np.array([layer.activity for layer in plan.layers])
    carried = traffic.carried_ns / active  # of an input that does reach the layer
    loop = steps > 1
    waiting = np.where(loop, carried, np.maximum(carried - working - stages, 0.0))
    hops = steps * traffic.way_ns
    latency = working + stages + waiting + hops
    busy_ns = (steps * vectors * active)[table["layer"]] * block_ns
    held_up = np.where(loop, latency, traffic.carried_ns)  # beside what its tiles take
    return _Times(
        latency=latency,
        interval=np.where(loop, latency, np.maximum(working * active, traffic.carried_ns)),
        vector=np.where(loop, latency / steps, tile_ns),
        busy=np.where(loop, latency, working + waiting),
        after=np.where(loop, 0.0, stages + hops),
        linked=waiting + np.where(loop, hops, 0.0),
        hops=np.where(loop, 0.0, hops),
        carried=traffic.carried_ns,
        working=working * active,
        in_loop=loop,
        tile_busy=np.bincount(table["tile"], busy_ns)[plan.used_tiles],
        rounds=_round_times(plan, busy_ns, held_up) if plan.rounds > 1 else np.zeros(0),
        program_ns=program_ns(plan, chip, plan.rounds) if plan.rounds > 1 else 0.0,
    )


def _round_times(plan: MappingPlan, busy_ns: np.ndarray, held_up: np.ndarray) -> np.ndarray:
    """Of each round the time from one input of a batch to the next, [rounds].

    It is that of its slowest tile, or of a layer that waits longer for its links or for itself; one that is
    split between rounds does in the last of them.
    """
    table = plan.table
    last = np.zeros(len(plan.layers), np.int64)
    np.maximum.at(last, table["layer"], table["round"])
    slowest = np.zeros(plan.rounds)
    np.maximum.at(slowest, last, held_up)
    key = table["round"].astype(np.int64) * plan.tiles_available + table["tile"]
    slots, slot = np.unique(key, return_inverse=True)
    np.maximum.at(slowest, slots // plan.tiles_available, np.bincount(slot, busy_ns))
    return slowest


def _read_times(plan: MappingPlan, chip: Chip) -> tuple[np.ndarray | float, np.ndarray]:
    """Of one vector the time on each block, and on each layer's busiest tile."""
    block_ns = read_ns(plan, chip)
    if not isinstance(block_ns, np.ndarray):
        return block_ns, plan.blocks_a_tile * block_ns
    table = plan.table
    key = table["layer"].astype(np.int64) * plan.tiles_available + table["tile"]
    _, first, where = np.unique(key, return_index=True, return_inverse=True)
    on_tile = np.bincount(where, block_ns)
    tile_ns = np.zeros(len(plan.layers))
    np.maximum.at(tile_ns, table["layer"][first], on_tile)
    return block_ns, tile_ns


def _interval(
    plan: MappingPlan, times: _Times, slowest_link: tuple[float, str], latency: float
) -> tuple[float, str]:
    """The steady state of the pipeline: the slowest layer, the tile that several layers share, or the link
    that the traffic of all layers fills most.

    Branches change it by their traffic alone: values that wait for a longer branch wait in buffers.
    """
    link_ns, link = slowest_link
    if plan.rounds > 1:
        return max(latency / plan.batch, link_ns), "reprogramming: rounds cannot overlap"
    slowest = int(np.argmax(times.interval))
    interval, name = float(times.interval[slowest]), f"layer {plan.layers[slowest].name}"
    tile = int(np.argmax(times.tile_busy))
    shared = f"tile {plan.address(int(plan.used_tiles[tile]))}, shared by several blocks"
    for time, what in ((float(times.tile_busy[tile]), shared), (link_ns, link)):
        if time > interval and not math.isclose(time, interval):
            interval, name = time, what
    return interval, name
