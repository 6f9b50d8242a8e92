"""The rules of a schedule read off one by one, at every moment for every layer: slow, and nothing to get
wrong.

It shares the arrays of ``Work`` with the event loop, and no code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crossgrid.chip.schedule.events import JOINS, READS, Work


class Twin:
    """Everything that happens, as sets and lists of rows (layer, row of all inputs)."""

    def __init__(self, work: Work, links: int) -> None:
        self.work, self.now = work, 0.0
        self.layers, self.parts = range(len(work.rows)), range(len(work.part_layer))
        self.stations = range(len(work.station_start) - 1)
        self.ready: list[list[float]] = [[] for _ in self.layers]
        self.arrival: list[list[float]] = [[] for _ in self.layers]
        self.begin: list[list[float]] = [[] for _ in self.parts]
        self.done: list[list[float]] = [[] for _ in self.layers]
        self.out: list[list[float]] = [[] for _ in self.layers]
        self.station_free = np.zeros(len(self.stations))
        self.link_free = np.zeros(links)
        self.peak = np.zeros(len(self.layers))
        self.turn, self.turn_opens, self.turn_open = (0, 0), work.program_ns, work.rounds == 1

    def edges(self, k: int) -> range:
        return range(self.work.edge_start[k], self.work.edge_start[k + 1])

    def there(self, k: int, row: int, joins: bool) -> bool:
        w, (n, r) = self.work, divmod(row, int(self.work.rows[k]))
        for e in self.edges(k):
            kind, source = w.edge_kind[e], w.edge_source[e]
            needed = w.needed[w.edge_at[e] + r]
            wanted = kind != READS if joins else kind != JOINS
            if wanted and needed and len(self.out[source]) < n * w.rows[source] + needed:
                return False
        return True

    def in_buffer(self, e: int) -> float:
        """Rows of the source that began, less those that the reader's finished rows free."""
        w = self.work
        source, reader = int(w.edge_source[e]), int(w.edge_reader[e])
        begun = max(len(self.begin[p]) for p in range(w.part_start[source], w.part_start[source + 1]))
        finished = len(self.done[reader] if w.edge_kind[e] == READS else self.out[reader])
        freed = 0
        for row in range(finished):
            n, r = divmod(row, int(w.rows[reader]))
            freed = max(freed, n * int(w.rows[source]) + int(w.freed[w.edge_at[e] + r]))
        return (begun - freed) * float(w.edge_size[e])

    def end_of(self, p: int, row: int) -> float:
        w = self.work
        last = (row + 1) % w.rows[w.part_layer[p]] == 0
        return float(self.begin[p][row] + (w.part_last_ns[p] if last else w.part_apart_ns[p]))

    def may_begin(self, p: int) -> bool:
        w, k, row = self.work, int(self.work.part_layer[p]), len(self.begin[p])
        arrived = sum(time <= self.now for time in self.arrival[k])
        if row >= arrived:
            return False
        if w.rounds > 1:
            here = (row // int(w.rows[k]) // w.batch, int(w.part_round[p]))
            if not self.turn_open or here != self.turn:
                return False
        if row < max(len(self.begin[q]) for q in range(w.part_start[k], w.part_start[k + 1])):
            return True  # another part began it: its place is taken
        return all(
            self.in_buffer(e) + w.edge_size[e] <= w.edge_room[e]
            for e in range(len(w.edge_source)) if w.edge_source[e] == k
        )  # fmt: skip

    def step(self) -> bool:
        """The first rule that applies at this moment."""
        w = self.work
        if w.rounds > 1 and not self.turn_open and self.turn_opens <= self.now:
            self.turn_open = True
            return True
        for k in self.layers:
            parts = range(w.part_start[k], w.part_start[k + 1])
            row = len(self.done[k])
            there = [self.begin[p][row] + w.part_each_ns[p] for p in parts if row < len(self.begin[p])]
            if len(there) == len(parts) and max(there) <= self.now:
                self.done[k].append(self.now)
                return True
        for k in self.layers:
            if len(self.out[k]) < len(self.done[k]) and self.there(k, len(self.out[k]), True):
                self.out[k].append(self.now)
                return True
        for k in self.layers:
            if self.makes_ready(k):
                return True
        for station in self.stations:
            if self.station_free[station] <= self.now and self.begins(station):
                return True
        return self.ends_round()

    def makes_ready(self, k: int) -> bool:
        w, row = self.work, len(self.ready[k])
        begun = max(len(self.begin[p]) for p in range(w.part_start[k], w.part_start[k + 1]))
        if row >= w.inputs * w.rows[k] or row > begun or row // w.rows[k] * w.every_ns > self.now:
            return False
        if not self.there(k, row, False):
            return False
        self.ready[k].append(self.now)
        times = [self.now]
        for i in range(w.link_start[k], w.link_start[k + 1]):
            passed = max(self.now, self.link_free[w.link_number[i]]) + w.link_ns[i]
            self.link_free[w.link_number[i]] = passed
            times.append(passed)
        self.arrival[k].append(max(times))
        return True

    def begins(self, station: int) -> bool:
        w = self.work
        waiting = [p for p in self.parts if w.part_station[p] == station and self.may_begin(p)]
        if not waiting:
            return False
        rows = w.rows[w.part_layer]
        p = min(waiting, key=lambda p: (len(self.begin[p]) // rows[p], w.part_layer[p]))
        self.begin[p].append(self.now)
        self.station_free[station] = self.end_of(p, len(self.begin[p]) - 1)
        held = [sum(self.in_buffer(e) for e in self.edges(k)) for k in self.layers]
        self.peak = np.maximum(self.peak, held)
        return True

    def ends_round(self) -> bool:
        w = self.work
        if w.rounds == 1 or not self.turn_open:
            return False
        batch, turn = self.turn
        until = min((batch + 1) * w.batch, w.inputs)
        for p in (p for p in self.parts if w.part_round[p] == turn):
            rows = until * int(w.rows[w.part_layer[p]])
            if len(self.begin[p]) < rows or self.begin[p][rows - 1] + w.part_each_ns[p] > self.now:
                return False
        following = (batch, turn + 1) if turn + 1 < w.rounds else (batch + 1, 0)
        if following[0] * w.batch >= w.inputs:
            return False
        self.turn, self.turn_open, self.turn_opens = following, False, self.now + w.program_ns
        return True

    def moments(self) -> list[float]:
        """When something may happen next."""
        w = self.work
        times = [self.turn_opens, *self.station_free, *(n * w.every_ns for n in range(w.inputs))]
        for k in self.layers:
            times += self.arrival[k]
        for p in self.parts:
            times += [begin + w.part_each_ns[p] for begin in self.begin[p]]
        return [float(time) for time in times if time > self.now]

    def run(self) -> Any:
        """When each layer's rows are out, and the most that its buffers held."""
        while True:
            while self.step():
                pass
            later = self.moments()
            if not later:
                return self
            self.now = min(later)
