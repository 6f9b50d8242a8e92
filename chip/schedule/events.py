"""The event loop of a schedule: what ends, then what can begin, moment after moment.

A row of a layer becomes ready when the rows that it reads are out, passes the links that its layer fills,
waits for its tiles, is worked on, and is out when what joins it is. Rows of a layer begin and end in order,
so counters say which are done. Of the rows that wait for the same tiles that of the oldest input goes first,
then that of the earliest layer; a row that has begun is not interrupted. A row takes its place in the buffers
of its readers when it begins, and gives it back when no window needs it any longer.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np

from crossgrid.kernels.machine.jit import kernel

#: kinds of edges: what a layer reads, what joins its outputs, and in a loop what its next step waits for too
READS, JOINS, JOINS_STEP = 0, 1, 2

#: kinds of events, in their order at one moment
_ROUND, _DONE, _OUT, _READY, _ARRIVED, _TRY = 0, 1, 2, 3, 4, 5

#: what a layer's busiest tiles wait for, in the order in which a row waits
WAITS = ("inputs", "links", "programming", "tiles", "room")


class Work(NamedTuple):
    """What there is to do. K layers, E edges, P parts: a layer's work on one station; S stations: tiles that
    work alike. Layers' edges, parts, links and stations' parts are runs of arrays that begin at
    ``*_start``."""

    inputs: int
    batch: int  # inputs that pass a round together
    rounds: int
    every_ns: float  # from the arrival of an input to that of the next
    program_ns: float  # of one round
    size: int  # rows of one input
    rows: np.ndarray  # [K]
    base: np.ndarray  # [K]: where a layer's rows are among those of one input
    edge_start: np.ndarray  # [K + 1]
    edge_source: np.ndarray  # [E]
    edge_reader: np.ndarray
    edge_kind: np.ndarray
    edge_size: np.ndarray  # bytes of a row
    edge_room: np.ndarray  # bytes at most
    edge_at: np.ndarray  # where an edge's rows are in the two that follow
    needed: np.ndarray  # for each row of the reader how many rows of the source must be out
    freed: np.ndarray  # ... and how many are no longer needed when it is done
    given_start: np.ndarray  # [K + 1]
    given_edge: np.ndarray  # the edges that leave a layer
    part_start: np.ndarray  # [K + 1]
    part_layer: np.ndarray  # [P]
    part_station: np.ndarray
    part_apart_ns: np.ndarray  # from the beginning of a row to that of the next
    part_last_ns: np.ndarray  # what the last row of an input takes
    part_each_ns: np.ndarray  # from the beginning of a row until it is there
    part_round: np.ndarray
    part_main: np.ndarray  # [K]: the part that takes longest
    station_start: np.ndarray  # [S + 1]
    station_part: np.ndarray
    link_start: np.ndarray  # [K + 1]
    link_number: np.ndarray
    link_ns: np.ndarray  # that a row takes


class State(NamedTuple):
    """How far everything is. N inputs of R rows."""

    ready: np.ndarray  # [K]: rows of all inputs that became ready
    arrived: np.ndarray
    begun: np.ndarray  # rows that took their place in buffers
    done: np.ndarray
    out: np.ndarray
    part_next: np.ndarray  # [P]: the row that it begins next
    part_done: np.ndarray
    part_end_ns: np.ndarray  # when its last row left the station
    station_end_ns: np.ndarray  # [S]
    link_free_ns: np.ndarray
    used: np.ndarray  # [E]: bytes
    given_back: np.ndarray  # [E]: rows
    held: np.ndarray  # [K]: bytes in a layer's buffers
    peak: np.ndarray  # [K]
    ready_ns: np.ndarray  # [N R]
    arrived_ns: np.ndarray
    begin_ns: np.ndarray  # on the layer's busiest tiles
    out_ns: np.ndarray  # [N, K]: of the last row
    waited_ns: np.ndarray  # [K, WAITS]
    turn: np.ndarray  # the batch and the round that tiles are programmed for, and the rows that remain of it
    turn_ns: np.ndarray  # [1]: since when
    programmed_ns: np.ndarray  # [batches, rounds]: when each round could begin


def new_state(work: Work, links: int) -> State:
    """Nothing has begun."""
    layers, parts, stations = len(work.rows), len(work.part_layer), len(work.station_start) - 1
    edges, all_rows = len(work.edge_source), work.inputs * work.size
    never = np.full(all_rows, np.nan)

    def counts(size: int) -> np.ndarray:
        return np.zeros(size, np.int64)

    return State(
        counts(layers), counts(layers), counts(layers), counts(layers), counts(layers), counts(parts),
        counts(parts), np.zeros(parts), np.zeros(stations), np.zeros(links), np.zeros(edges),
        counts(edges), np.zeros(layers), np.zeros(layers), never.copy(), never.copy(), never.copy(),
        np.zeros((work.inputs, layers)), np.zeros((layers, len(WAITS))),
        np.array([0, -1, 0]), np.zeros(1), np.full((-(-work.inputs // work.batch), work.rounds), np.nan),
    )  # fmt: skip


def _place(work: Any, k: int, row: int) -> int:
    """Where the ``row``-th row of all inputs of a layer is among all rows."""
    return int(row // work.rows[k] * work.size + work.base[k] + row % work.rows[k])


def _there(work: Any, state: Any, k: int, row: int, joins: bool) -> bool:
    """Whether all is out that ``row`` of layer ``k`` reads, or what joins it."""
    n, r = row // work.rows[k], row % work.rows[k]
    for e in range(work.edge_start[k], work.edge_start[k + 1]):
        concerned = work.edge_kind[e] != READS if joins else work.edge_kind[e] != JOINS
        source, needed = work.edge_source[e], work.needed[work.edge_at[e] + r]
        if concerned and needed > 0 and state.out[source] < n * work.rows[source] + needed:
            return False
    return True


def _give_back(work: Any, state: Any, heap: Any, k: int, row: int, now: float, joins: bool) -> None:
    """Row ``row`` of layer ``k`` needs its inputs, or what joined it, no longer."""
    n, r = row // work.rows[k], row % work.rows[k]
    for e in range(work.edge_start[k], work.edge_start[k + 1]):
        if (work.edge_kind[e] == READS) != joins:
            source = work.edge_source[e]
            until = n * work.rows[source] + work.freed[work.edge_at[e] + r]
            if until > state.given_back[e]:
                size = (until - state.given_back[e]) * work.edge_size[e]
                state.given_back[e] = until
                state.used[e] -= size
                state.held[k] -= size
                for p in range(work.part_start[source], work.part_start[source + 1]):
                    heapq.heappush(heap, (now, _TRY, work.part_station[p]))


def _make_ready(work: Any, state: Any, heap: Any, k: int, now: float) -> None:
    """The next row goes to the links when its inputs are there and the one before it has begun: one row
    travels while one is worked on. Each link serves who comes first."""
    while state.ready[k] < work.inputs * work.rows[k] and state.ready[k] <= state.begun[k]:
        row = state.ready[k]
        if row // work.rows[k] * work.every_ns > now or not there(work, state, k, row, False):
            return
        state.ready[k] += 1
        state.ready_ns[place(work, k, row)] = now
        arrival = now
        for i in range(work.link_start[k], work.link_start[k + 1]):
            link = work.link_number[i]
            passed = max(now, state.link_free_ns[link]) + work.link_ns[i]
            state.link_free_ns[link] = passed
            arrival = max(arrival, passed)
        heapq.heappush(heap, (arrival, _ARRIVED, k))


def _hand_out(work: Any, state: Any, heap: Any, k: int, now: float) -> None:
    """Rows that are done, and that what joins them has met, can be read."""
    first = state.out[k]
    while state.out[k] < state.done[k] and there(work, state, k, state.out[k], True):
        row = state.out[k]
        state.out[k] += 1
        state.out_ns[row // work.rows[k], k] = now
        give_back(work, state, heap, k, row, now, True)
    if state.out[k] > first:
        for i in range(work.given_start[k], work.given_start[k + 1]):
            reader = work.edge_reader[work.given_edge[i]]
            heapq.heappush(heap, (now, _OUT, reader))
            heapq.heappush(heap, (now, _READY, reader))


def _has_room(work: Any, state: Any, k: int, row: int) -> bool:
    """Whether the buffers of all readers have a place for ``row`` of layer ``k``."""
    if row < state.begun[k]:
        return True
    for i in range(work.given_start[k], work.given_start[k + 1]):
        e = work.given_edge[i]
        if state.used[e] + work.edge_size[e] > work.edge_room[e]:
            return False
    return True


def _take_room(work: Any, state: Any, heap: Any, k: int, row: int, now: float) -> None:
    """Row ``row`` of layer ``k`` begins, and will be read."""
    if row < state.begun[k]:
        return
    state.begun[k] += 1
    heapq.heappush(heap, (now, _READY, k))
    for i in range(work.given_start[k], work.given_start[k + 1]):
        e = work.given_edge[i]
        reader = work.edge_reader[e]
        state.used[e] += work.edge_size[e]
        state.held[reader] += work.edge_size[e]
        state.peak[reader] = max(state.peak[reader], state.held[reader])


def _next_part(work: Any, state: Any, station: int) -> int:
    """The part of a free station that begins now: of the oldest input, then of the earliest layer; -1:
    none."""
    found, oldest = -1, work.inputs
    for i in range(work.station_start[station], work.station_start[station + 1]):
        p = work.station_part[i]
        k, row = work.part_layer[p], state.part_next[p]
        if row >= state.arrived[k]:
            continue
        n = row // work.rows[k]
        if work.rounds > 1 and (work.part_round[p] != state.turn[1] or n // work.batch != state.turn[0]):
            continue
        if n < oldest and has_room(work, state, k, row):
            found, oldest = p, n
    return found


def _begin(work: Any, state: Any, heap: Any, p: int, now: float) -> None:
    """The part ``p`` begins its next row."""
    k, row, station = work.part_layer[p], state.part_next[p], work.part_station[p]
    take_room(work, state, heap, k, row, now)
    if p == work.part_main[k]:
        here = place(work, k, row)
        state.begin_ns[here] = now
        if row > 0:
            since = state.part_end_ns[p]
            ready, arrived = state.ready_ns[here], state.arrived_ns[here]
            marks = (ready, arrived, state.turn_ns[0], state.station_end_ns[station], now)
            for i, mark in enumerate(marks):
                state.waited_ns[k, i] += max(mark - since, 0.0)
                since = max(since, mark)
    last = (row + 1) % work.rows[k] == 0
    end = now + (work.part_last_ns[p] if last else work.part_apart_ns[p])
    state.part_next[p] += 1
    state.part_end_ns[p] = end
    state.station_end_ns[station] = end
    heapq.heappush(heap, (end, _TRY, station))
    heapq.heappush(heap, (now + work.part_each_ns[p], _DONE, p))


def _end_row(work: Any, state: Any, heap: Any, p: int, now: float) -> None:
    """A row of part ``p`` is there; where all parts of its layer have it, its inputs are no longer needed."""
    k = work.part_layer[p]
    state.part_done[p] += 1
    if work.rounds > 1:
        state.turn[2] -= 1
        if state.turn[2] == 0:
            heapq.heappush(heap, (now + work.program_ns, _ROUND, np.int64(0)))
    whole = state.part_done[work.part_start[k]]
    for other in range(work.part_start[k], work.part_start[k + 1]):
        whole = min(whole, state.part_done[other])
    if whole > state.done[k]:
        give_back(work, state, heap, k, state.done[k], now, False)
        state.done[k] = whole
        heapq.heappush(heap, (now, _OUT, k))


def _next_round(work: Any, state: Any, heap: Any, now: float) -> None:
    """Tiles are programmed for the next round, after the last one for the first of the next batch."""
    state.turn[1] += 1
    if state.turn[1] == work.rounds:
        state.turn[0] += 1
        state.turn[1] = 0
    first = state.turn[0] * work.batch
    if first >= work.inputs:
        return
    state.turn_ns[0] = now
    state.programmed_ns[state.turn[0], state.turn[1]] = now
    inputs = min(work.batch, work.inputs - first)
    for p in range(len(work.part_layer)):
        if work.part_round[p] == state.turn[1]:
            state.turn[2] += inputs * work.rows[work.part_layer[p]]
            heapq.heappush(heap, (now, _TRY, work.part_station[p]))
    if state.turn[2] == 0:
        heapq.heappush(heap, (now + work.program_ns, _ROUND, np.int64(0)))


def _run(work: Any, state: Any) -> int:
    """All events until nothing happens any more; how many they were."""
    heap = [(work.program_ns, _ROUND, np.int64(0))]
    if work.rounds == 1:
        heap.clear()
    for k in range(len(work.rows)):
        for n in range(work.inputs):
            heapq.heappush(heap, (n * work.every_ns, _READY, np.int64(k)))
    events = 0
    while len(heap) > 0:
        now, kind, which = heapq.heappop(heap)
        events += 1
        if kind == _ROUND:
            next_round(work, state, heap, now)
        elif kind == _DONE:
            end_row(work, state, heap, which, now)
        elif kind == _OUT:
            hand_out(work, state, heap, which, now)
        elif kind == _READY:
            make_ready(work, state, heap, which, now)
        elif kind == _ARRIVED:
            state.arrived_ns[place(work, which, state.arrived[which])] = now
            state.arrived[which] += 1
            for p in range(work.part_start[which], work.part_start[which + 1]):
                heapq.heappush(heap, (now, _TRY, work.part_station[p]))
        elif state.station_end_ns[which] <= now:
            p = next_part(work, state, which)
            if p >= 0:
                begin(work, state, heap, p, now)
    return events


place = kernel(_place)
there = kernel(_there)
give_back = kernel(_give_back)
make_ready = kernel(_make_ready)
hand_out = kernel(_hand_out)
has_room = kernel(_has_room)
take_room = kernel(_take_room)
next_part = kernel(_next_part)
begin = kernel(_begin)
end_row = kernel(_end_row)
next_round = kernel(_next_round)
run = kernel(_run)
