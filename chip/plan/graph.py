"""Which layer waits for which: a network's branches, and the longest way through them.

A layer reads the outputs of its ``sources``. Values of several layers that are combined on the way (a
shortcut is added, a query meets its key) are combined where the last of them was made: the others are
its ``joins``, and who reads the result reads it there. A layer that is used again and reads from a later one
closes a loop; of its edges only those from earlier layers keep it waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossgrid.kernels.errors import ConfigError, unknown

from .plan import OUTSIDE, LayerShape, MappingPlan


def source_numbers(layers: Sequence[LayerShape]) -> list[tuple[int, ...]]:
    """For each layer the numbers of those whose outputs it reads; -1 is what comes from outside."""
    numbers = _numbers(layers)
    return [
        (k - 1,) if layer.sources is None else tuple(numbers[name] for name in layer.sources)
        for k, layer in enumerate(layers)
    ]


def join_numbers(layers: Sequence[LayerShape]) -> list[tuple[tuple[int, int], ...]]:
    """For each layer the numbers of those whose values join its outputs, and how many values they are."""
    numbers = _numbers(layers)
    return [tuple((numbers[join.name], join.values) for join in layer.joins) for layer in layers]


def serial_steps(layers: Sequence[LayerShape]) -> list[int]:
    """For each layer how often it works one after the other for one input: once, but for those in a loop.

    A layer in a loop waits for what it made before: a recurrent one for its state, a layer that is used
    again for the layers in between.
    """
    readers: list[list[int]] = [[] for _ in layers]
    numbers = source_numbers(layers)
    for k, sources in enumerate(numbers):
        for source in sources:
            if source >= 0:
                readers[source].append(k)
    looped: set[int] = set()
    for k, sources in enumerate(numbers):
        for late in (source for source in sources if source >= k):  # closes a loop from k to it and back
            looped |= _reached(k, readers) & _reached(late, numbers)
    return [(layer.steps or layer.reuse) if k in looped else 1 for k, layer in enumerate(layers)]


def _reached(start: int, edges: Sequence[Sequence[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        for k in edges[waiting.pop()]:
            if k >= 0 and k not in found:
                found.add(k)
                waiting.append(k)
    return found


def check_names(layers: Sequence[LayerShape]) -> None:
    """Refuse sources and joins that are no layers."""
    numbers = _numbers(layers)
    for layer in layers:
        if layer.sources == ():
            raise ConfigError(
                f"layer '{layer.name}' reads nothing: name the layers that it reads, '' for the input of the "
                "network, or give sources=None for the layer before it"
            )
        for name in (*(layer.sources or ()), *(join.name for join in layer.joins)):
            if name not in numbers:
                raise unknown(f"source of layer '{layer.name}'", name, numbers)


def _numbers(layers: Sequence[LayerShape]) -> dict[str, int]:
    return {layer.name: k for k, layer in enumerate(layers)} | {OUTSIDE: -1}


@dataclass(frozen=True, slots=True)
class Way:
    """The longest way through a network."""

    length: float
    layers: tuple[int, ...]  # those whose times add up to it, in order


@dataclass(slots=True)
class _Moment:
    """When something is done, and the layer that it waited for last."""

    time: float = 0.0
    layer: int = -1

    def later(self, other: _Moment) -> _Moment:
        return other if other.time > self.time else self


def longest_way(plan: MappingPlan, latency: np.ndarray) -> Way:
    """One input from end to end where layer k takes ``latency[k]``: branches work at the same time.

    Layers that share a tile take turns in the plan's order, and no layer of a round begins before the
    rounds before it are over.
    """
    sources, joins = source_numbers(plan.layers), join_numbers(plan.layers)
    turns = _Turns(plan)
    before: list[int] = []  # for each layer the one that it waited for
    done: list[_Moment] = []  # its outputs, with what joins them
    for k in range(len(plan.layers)):
        start = turns.begin(k)
        for source in sources[k]:
            if 0 <= source < k:
                start = start.later(done[source])
        before.append(start.layer)
        finished = _Moment(start.time + float(latency[k]), k)
        turns.end(k, finished)
        for join, _ in joins[k]:
            if 0 <= join < k:
                finished = finished.later(done[join])
        done.append(finished)
    last = _Moment()
    for moment in done:
        last = last.later(moment)
    way, at = [], last.layer
    while at >= 0:
        way.append(at)
        at = before[at]
    return Way(last.time, tuple(reversed(way)))


class _Turns:
    """What layers wait for beside their inputs: tiles that others work on, and the round before theirs."""

    def __init__(self, plan: MappingPlan) -> None:
        shared = len(plan) > plan.tiles_used
        rows = plan.layer_rows
        self.tiles = [np.unique(plan.table["tile"][row]).tolist() if shared else [] for row in rows]
        self.rounds = [plan.table["round"][row] for row in rows] if plan.rounds > 1 else None
        self.free: dict[int, _Moment] = {}
        self.round, self.floor, self.latest = 0, _Moment(), _Moment()

    def begin(self, k: int) -> _Moment:
        """When layer ``k`` may begin."""
        if self.rounds is not None and int(self.rounds[k].min()) > self.round:
            self.round, self.floor = int(self.rounds[k].min()), self.latest
        moment = self.floor
        for tile in self.tiles[k]:
            moment = moment.later(self.free.get(tile, moment))
        return moment

    def end(self, k: int, finished: _Moment) -> None:
        """Layer ``k`` leaves its tiles."""
        self.latest = self.latest.later(finished)
        if self.rounds is not None:
            self.round = max(self.round, int(self.rounds[k].max()))
        for tile in self.tiles[k]:
            self.free[tile] = finished
