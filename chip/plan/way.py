"""When one input is done: layers hand on rows of an image, or vectors of a sequence, as they are ready.

A convolution begins when the rows that its first window covers are there, and goes on as further ones come;
what waits for its whole input (a matrix after attention, one that reads the mean of an image) begins when
that is done (``LayerShape.in_step``). A layer's copies take strips of columns of every row, so rows are made
in order. Layers that share a tile take turns in the plan's order, and no layer of a round begins before the
rounds before it are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .graph import join_numbers, serial_steps, source_numbers
from .layer_shape import LayerShape
from .plan import MappingPlan


@dataclass(frozen=True, slots=True)
class Pace:
    """How a layer that has all its inputs makes its rows: one every ``apart_ns``, each in ``each_ns``."""

    rows: int
    apart_ns: float
    each_ns: float

    @classmethod
    def of(cls, rows: int, busy_ns: float, vector_ns: float, after_ns: float) -> Pace:
        """All rows in ``busy_ns``, none in less than a vector takes; ``after_ns`` later they arrive.

        A layer of many copies makes parts of several rows at once.
        """
        each = max(busy_ns / rows, min(vector_ns, busy_ns))
        return cls(rows, (busy_ns - each) / max(rows - 1, 1), each + after_ns)


@dataclass(frozen=True, slots=True)
class Way:
    """The longest way through a network."""

    length: float
    layers: tuple[int, ...]  # those whose times add up to it, in order
    times: tuple[float, ...]  # what each adds


class _Place(NamedTuple):
    """A row of a layer: as the layer makes it, or with what joins it."""

    layer: int
    row: int
    joined: bool


class _Moment(NamedTuple):
    """When something is done, and which row it was; None: the input of the network."""

    time: float
    place: _Place | None


_BEGINNING = _Moment(0.0, None)


@dataclass(slots=True)
class _Rows:
    """A layer's rows: when what each reads is there, when it is done, when it can be read; and whose row it
    waited for, [rows, 2]: layer and row, of layer -1 for none."""

    start: _Moment
    ready: np.ndarray
    ready_from: np.ndarray
    held_up: np.ndarray  # the row that made each row wait last
    done: np.ndarray
    out: np.ndarray
    out_from: np.ndarray


def longest_way(plan: MappingPlan, paces: Sequence[Pace]) -> Way:
    """One input from end to end where layer k works at ``paces[k]``: branches work at the same time."""
    sources, joins = source_numbers(plan.layers), join_numbers(plan.layers)
    steps, turns = serial_steps(plan.layers), _Turns(plan)
    found: list[_Rows] = []
    for k, (layer, pace) in enumerate(zip(plan.layers, paces, strict=True)):
        start = turns.begin(k)
        ready, ready_from = np.full(pace.rows, start.time), np.full((pace.rows, 2), -1)
        for source in (j for j in sources[k] if 0 <= j < k):
            rows = needed_rows(layer, pace.rows, paces[source].rows)
            _wait(ready, ready_from, source, found[source].out, rows)
        met = {
            j: _in_proportion(np.arange(1, pace.rows + 1) / pace.rows, paces[j].rows)
            for j, _ in joins[k] if 0 <= j < k
        }  # fmt: skip
        if steps[k] > 1:  # the next step waits for what joins this one
            for join, rows in met.items():
                _wait(ready, ready_from, join, found[join].out, rows)
        done, held_up = _worked(pace, ready)
        turns.end(k, _Moment(float(done[-1]), _Place(k, pace.rows - 1, False)))
        out, out_from = done.copy(), np.full((pace.rows, 2), -1)
        for join, rows in met.items():
            _wait(out, out_from, join, found[join].out, rows)
        found.append(_Rows(start, ready, ready_from, held_up, done, out, out_from))
    return _back_from_last(found)


def needed_rows(layer: LayerShape, rows: int, given: int) -> np.ndarray:
    """For each of ``rows`` rows of ``layer`` the last of a source's ``given`` rows that it reads, [rows].

    A window's lower edge tells how much of an image is read; pooling on the way reads in proportion.
    """
    shape, last = layer.convolution, np.arange(1, rows + 1) / rows
    if layer.in_step is False or (layer.in_step is None and shape is None):
        return np.full(rows, given - 1)
    if shape is not None:
        window = (shape.kernel[0] - 1) * shape.dilation[0] + 1
        beyond = (shape.size_out[0] - 1) * shape.stride[0] + window - shape.size_in[0]
        border = (max(beyond, 0) + 1) // 2  # above the image; below it what the stride leaves
        row = np.ceil(last * shape.size_out[0] - 1e-9) - 1
        last = np.clip(row * shape.stride[0] + window - border, 1, shape.size_in[0]) / shape.size_in[0]
    return _in_proportion(last, given)


def _in_proportion(last: np.ndarray, given: int) -> np.ndarray:
    """The row of ``given`` ones that holds each of the parts ``last``, above 0 and at most 1."""
    rows: np.ndarray = np.clip(np.ceil(last * given - 1e-9).astype(np.int64) - 1, 0, given - 1)
    return rows


def _wait(times: np.ndarray, waited: np.ndarray, other: int, out: np.ndarray, rows: np.ndarray) -> None:
    """Make ``times`` no earlier than those of ``rows`` of the layer ``other``."""
    later = out[rows] > times
    times[later] = out[rows][later]
    waited[later] = np.stack([np.full(len(rows), other), rows], axis=1)[later]


def _worked(pace: Pace, ready: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When each row is done and which row held it up: each begins when it is ready and the one before began
    long enough ago, a running maximum."""
    number = np.arange(pace.rows)
    early = ready - number * pace.apart_ns
    latest = np.maximum.accumulate(early)
    held_up = np.maximum.accumulate(np.where(early == latest, number, 0))
    return latest + number * pace.apart_ns + pace.each_ns, held_up


def _back_from_last(found: list[_Rows]) -> Way:
    """From what is done last back to the network's input, each layer with the time that it adds."""
    end = int(np.argmax([rows.out[-1] for rows in found]))
    place: _Place | None = _Place(end, len(found[end].out) - 1, True)
    steps: list[tuple[int, float]] = []
    while place is not None:
        rows, row = found[place.layer], place.row
        if place.joined and rows.out_from[row, 0] >= 0:
            place = _Place(int(rows.out_from[row, 0]), int(rows.out_from[row, 1]), True)
            continue
        first = int(rows.held_up[row])
        steps.append((place.layer, float(rows.done[row] - rows.ready[first])))
        source, of_source = rows.ready_from[first].tolist()
        place = _Place(source, of_source, True) if source >= 0 else rows.start.place
    steps.reverse()
    return Way(float(found[end].out[-1]), tuple(k for k, _ in steps), tuple(time for _, time in steps))


class _Turns:
    """What layers wait for beside their inputs: tiles that others work on, and the round before theirs."""

    def __init__(self, plan: MappingPlan) -> None:
        shared = len(plan) > plan.tiles_used
        rows = plan.layer_rows
        self.tiles = [np.unique(plan.table["tile"][row]).tolist() if shared else [] for row in rows]
        self.rounds = [plan.table["round"][row] for row in rows] if plan.rounds > 1 else None
        self.free: dict[int, _Moment] = {}
        self.round, self.floor, self.latest = 0, _BEGINNING, _BEGINNING

    def begin(self, k: int) -> _Moment:
        """When layer ``k`` may begin, and what it waits for."""
        if self.rounds is not None and int(self.rounds[k].min()) > self.round:
            self.round, self.floor = int(self.rounds[k].min()), self.latest
        moment = self.floor
        for tile in self.tiles[k]:
            moment = _later(moment, self.free.get(tile, moment))
        return moment

    def end(self, k: int, finished: _Moment) -> None:
        """Layer ``k`` leaves its tiles."""
        self.latest = _later(self.latest, finished)
        if self.rounds is not None:
            self.round = max(self.round, int(self.rounds[k].max()))
        for tile in self.tiles[k]:
            self.free[tile] = finished


def _later(one: _Moment, other: _Moment) -> _Moment:
    return other if other.time > one.time else one
