"""``schedule``: when every row of a stream of inputs is worked on, and what waits for what meanwhile.

The closed form (``cost.cost``) says what one input takes where nothing is in its way, and the interval that
the slowest part allows. A schedule follows a number of inputs row by row: layers that share tiles, links that
several layers fill, buffers with an end, rounds of reprogramming.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from crossgrid.kernels.errors import ConfigError, shown

from ..cost.traffic import traffic_of
from ..description.load import load_chip
from ..description.spec import Chip
from ..plan.plan import MappingPlan, check_chip
from .bottlenecks import Bound, Loads, TileLoad, bound, busiest, busiest_of_layers
from .events import WAITS, State, Work, new_state, run
from .links import FollowedLinks, followed_links
from .work import Edge, Tiles, edges_of, room_of, tiles_of, work_of

#: rows of all inputs, of every group of tiles that works alike: some seconds
MOST_ROWS = 20_000_000


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """One layer over the whole stream."""

    name: str
    begin_ns: float  # its first row begins on its busiest tiles
    end_ns: float  # its last row can be read
    busy: float  # the part of the interval in which its busiest tiles work
    stalls_ns: dict[str, float]  # what its busiest tiles waited for between its first row and its last
    buffer_bytes: float  # the most that its tiles' buffers held of what it reads, over all tiles


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a layer's busiest tiles work on one input without a pause."""

    layer: int
    input: int
    begin_ns: float
    end_ns: float


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A stream of inputs over a plan."""

    plan: MappingPlan
    every_ns: float  # from the arrival of an input to that of the next
    buffer_bytes: float | None  # of each tile; None: without an end
    finished_ns: np.ndarray  # [inputs]
    interval_ns: float  # from one output to the next, over the second half of the stream
    layers: tuple[LayerTimes, ...]
    tile_busy: np.ndarray  # [used tiles]: part of the interval in which each works
    loads: Loads  # the same, layer by layer
    tile_buffer_bytes: np.ndarray  # [used tiles]: the most that each one's buffer held
    links: tuple[
        tuple[str, float], ...
    ]  # that are followed, and the part of the interval in which each is full
    spans: tuple[Span, ...]  # in the order of layers and time
    programmed_ns: (
        np.ndarray
    )  # [batches, rounds]: when each round could begin; none where tiles keep their weights
    program_ns: float  # what it takes before
    events: int

    @property
    def inputs(self) -> int:
        """How many inputs were followed."""
        return len(self.finished_ns)

    @property
    def latency_ns(self) -> float:
        """Of the first input, from its arrival to its last value."""
        return float(self.finished_ns[0])

    @property
    def latencies_ns(self) -> np.ndarray:
        """Of each input, from its arrival; a stream that comes faster than it goes makes later ones wait."""
        return self.finished_ns - self.every_ns * np.arange(self.inputs)

    @property
    def stalls_ns(self) -> dict[str, float]:
        """What the busiest tiles of all layers waited for, added up."""
        return {wait: sum(layer.stalls_ns[wait] for layer in self.layers) for wait in WAITS}

    @property
    def bound(self) -> Bound:
        """What sets the interval: a tile, a link, programming, arrivals, or waiting for each other."""
        return bound(self)

    @property
    def busiest(self) -> tuple[TileLoad, ...]:
        """The busiest tiles and the layers on them, the busiest first."""
        return busiest(self)

    def as_dict(self) -> dict[str, Any]:
        """What the schedule says, as plain data."""
        return {
            "inputs": self.inputs,
            "every_ns": self.every_ns,
            "tile_buffer_bytes": self.buffer_bytes,
            "latency_ns": self.latency_ns,
            "interval_ns": self.interval_ns,
            "finished_ns": self.finished_ns.tolist(),
            "stalls_ns": self.stalls_ns,
            "tiles_busy": float(self.tile_busy.mean()),
            "tiles": self.plan.used_tiles.tolist(),
            "tile_busy": self.tile_busy.tolist(),
            "bound": {**asdict(self.bound), "text": str(self.bound)},
            "busiest": [
                {**asdict(load), "layers": [{"name": n, "busy": part} for n, part in load.layers]}
                for load in self.busiest
            ],
            "tile_buffer_peak_bytes": self.tile_buffer_bytes.tolist(),
            "links": [{"name": name, "busy": busy} for name, busy in self.links],
            "layers": [
                {
                    "name": layer.name, "begin_ns": layer.begin_ns, "end_ns": layer.end_ns,
                    "busy": layer.busy, "stalls_ns": layer.stalls_ns, "buffer_peak_bytes": layer.buffer_bytes,
                    "tile": tile, "tile_busy": busy,
                }
                for layer, (tile, busy) in zip(self.layers, busiest_of_layers(self), strict=True)
            ],
        }  # fmt: skip

    def print(self) -> None:
        """The schedule in the terminal."""
        from .tables import print_schedule

        print_schedule(self)

    def draw(self, path: str | Path) -> Path:
        """A Gantt chart: a line a layer, each input in a colour of its own."""
        from .gantt import draw

        return draw(self, Path(path))


def schedule(
    plan: MappingPlan,
    chip: Chip | str,
    inputs: int = 8,
    every_ns: float = 0.0,
    buffer_bytes: float | None = None,
) -> Schedule:
    """Follow ``inputs`` inputs through a plan, event by event.

    Args:
        plan: where the blocks are, own or another mapper's.
        chip: the chip that it was made for, or its name.
        inputs: how many follow each other.
        every_ns: time from one to the next; 0: all are there at the beginning.
        buffer_bytes: bytes that the input buffer of each tile holds; None: as many as it takes.

    Raises:
        ConfigError: the plan is another chip's, a number cannot be, buffers are too small for what must be in
            them at once, or it would be more than 20 million rows.
    """
    chip = load_chip(chip)
    check_chip(plan, chip)
    _check(inputs, every_ns, buffer_bytes)
    traffic = traffic_of(plan, chip)
    links = followed_links(plan, chip, traffic)
    tiles, edges = tiles_of(plan, chip), edges_of(plan, chip)
    room = room_of(plan, tiles, edges, buffer_bytes)
    _check_room(plan, edges, room, buffer_bytes)
    work = work_of(plan, chip, traffic, links, tiles, edges, room, inputs, every_ns)
    size = inputs * int(work.rows[work.part_layer].sum())
    if size > MOST_ROWS:
        raise ConfigError(
            f"a schedule of {inputs} inputs has {size:,} rows, at most {MOST_ROWS:,} are followed; give "
            "fewer inputs"
        )
    state = new_state(work, len(links.names))
    events = int(run(work, state))
    _check_done(plan, work, state, buffer_bytes)
    return _result(plan, work, state, (tiles, links), buffer_bytes, events)


def _check(inputs: int, every_ns: float, buffer_bytes: float | None) -> None:
    if isinstance(inputs, bool) or not isinstance(inputs, Integral) or inputs < 1:
        raise ConfigError(f"inputs = {shown(inputs)} must be an integer of at least 1")
    for name, value in (("every_ns", every_ns), ("buffer_bytes", buffer_bytes)):
        if value is None and name == "buffer_bytes":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ConfigError(f"{name} = {shown(value)} must be a finite number of at least 0")


def _check_room(plan: MappingPlan, edges: list[Edge], room: np.ndarray, buffer_bytes: float | None) -> None:
    """Refuse buffers that do not hold a row's window: the reader would wait for ever."""
    for edge, bytes_ in zip(edges, room.tolist(), strict=True):
        kept = np.concatenate([[0], edge.freed[:-1]])
        window = float((edge.needed - kept).max()) * edge.size
        if window > bytes_ and buffer_bytes is not None:
            least = math.ceil(buffer_bytes * window / max(bytes_, 1e-300)) if bytes_ else None
            more = f"at least {least:,}" if least else "more"
            raise ConfigError(
                f"buffer_bytes = {buffer_bytes:,.0f}: a row of layer '{plan.layers[edge.reader].name}' needs "
                f"{window:,.0f} bytes of '{plan.layers[edge.source].name}' at once, its tiles have room for "
                f"{bytes_:,.0f}; give {more}"
            )


def _check_done(plan: MappingPlan, work: Work, state: State, buffer_bytes: float | None) -> None:
    """Say who waits for whom where the events ended before the stream."""
    left = np.flatnonzero(state.out < work.inputs * work.rows)
    if not len(left):
        return
    full = [
        e for e in range(len(work.edge_source))
        if state.used[e] + work.edge_size[e] > work.edge_room[e] and work.edge_source[e] in left
    ]  # fmt: skip
    if full:
        source, reader = (
            plan.layers[int(ends[full[0]])].name for ends in (work.edge_source, work.edge_reader)
        )
        raise ConfigError(
            f"buffer_bytes = {buffer_bytes:,.0f}: '{source}' waits for room at '{reader}', which waits for "
            "another way that began with it; give more, a schedule without it says how many are used"
        )
    raise ConfigError(
        f"layer '{plan.layers[int(left[0])].name}' waits for ever: the plan programs what it reads in a "
        "later round; map the model anew"
    )


def _result(
    plan: MappingPlan,
    work: Work,
    state: State,
    of: tuple[Tiles, FollowedLinks],
    buffer_bytes: float | None,
    events: int,
) -> Schedule:
    tiles, links = of
    finished = state.out_ns.max(axis=1)
    slot = np.searchsorted(plan.used_tiles, tiles.tile)
    tile_ns = np.bincount(slot, tiles.busy_ns, minlength=plan.tiles_used)
    # who comes last has nobody behind it: over a long stream no output follows sooner than the fullest part
    # allows
    fullest = max(float(tile_ns.max(initial=0.0)), float(links.total_ns.max(initial=0.0)))
    interval = _interval(work, finished)
    if len(finished) > 1 and work.rounds == 1 and not work.every_ns:
        interval = max(interval, fullest)
    share = 1.0 / interval if interval else 0.0
    spans = _spans(work, state)
    main = work.part_main
    busy = (work.rows - 1) * work.part_apart_ns[main] + work.part_last_ns[main]
    begin = np.nanmin(state.begin_ns[work.base[:, None] + work.size * np.arange(work.inputs)], axis=1)
    layers = tuple(
        LayerTimes(
            layer.name, float(begin[k]), float(state.out_ns[-1, k]), float(busy[k]) * share,
            dict(zip(WAITS, state.waited_ns[k].tolist(), strict=True)), float(state.peak[k]),
        )
        for k, layer in enumerate(plan.layers)
    )  # fmt: skip
    return Schedule(
        plan=plan,
        every_ns=work.every_ns,
        buffer_bytes=buffer_bytes,
        finished_ns=finished,
        interval_ns=interval,
        layers=layers,
        tile_busy=tile_ns * share,
        loads=_loads(slot, tiles, share),
        tile_buffer_bytes=np.bincount(slot, state.peak[tiles.layer] * tiles.held, minlength=plan.tiles_used),
        links=tuple(zip(links.names, (links.total_ns * share).tolist(), strict=True)),
        spans=spans,
        programmed_ns=state.programmed_ns if work.rounds > 1 else np.zeros((0, 0)),
        program_ns=work.program_ns,
        events=events,
    )


def _loads(slot: np.ndarray, tiles: Tiles, share: float) -> Loads:
    """What each tile does for each layer, in all rounds."""
    layers = int(tiles.layer.max(initial=0)) + 1
    keys, where = np.unique(slot.astype(np.int64) * layers + tiles.layer, return_inverse=True)
    busy = np.bincount(where, tiles.busy_ns, minlength=len(keys)) * share
    return Loads(*np.divmod(keys, layers), busy)


def _interval(work: Work, finished: np.ndarray) -> float:
    """From one output to the next over the second half of the stream; in rounds that of whole batches."""
    if work.rounds > 1:
        ends = finished[work.batch - 1 :: work.batch]
        if len(ends) < 2:
            return float(finished[-1]) / len(finished)
        half = (len(ends) - 1) // 2
        return float(ends[-1] - ends[half]) / (len(ends) - 1 - half) / work.batch
    if len(finished) == 1:
        return float(finished[0])
    half = (len(finished) - 1) // 2
    return float(finished[-1] - finished[half]) / (len(finished) - 1 - half)


def _spans(work: Work, state: State) -> tuple[Span, ...]:
    """Rows of an input that follow each other without a pause, joined."""
    found = []
    rows_NR = state.begin_ns.reshape(work.inputs, -1)
    for k, (base, rows, p) in enumerate(zip(work.base, work.rows, work.part_main, strict=True)):
        begin_NR = rows_NR[:, base : base + rows]
        end_NR = begin_NR + work.part_apart_ns[p]
        end_NR[:, -1] = begin_NR[:, -1] + work.part_last_ns[p]
        pause = begin_NR[:, 1:] > end_NR[:, :-1] * (1 + 1e-12)
        for n in range(work.inputs):
            cuts = np.flatnonzero(pause[n])
            starts, stops = np.append(0, cuts + 1), np.append(cuts, rows - 1)
            edges = zip(begin_NR[n, starts].tolist(), end_NR[n, stops].tolist(), strict=True)
            found += [Span(k, n, begin, end) for begin, end in edges]
    return tuple(found)
