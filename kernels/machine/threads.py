"""How many threads a kernel's call takes: numba's, or one while others use the processors.

A call in several threads ends with the last of them. Where another process uses a processor, that one waits
for it as long as the scheduler likes, milliseconds or tens, however little it has to do: a call of 0.3 ms
took 16. So calls that were held up soon after one another are a sign that the machine is shared, and short
calls are made by one thread until some time after the last sign. A call alone is none: on any machine some
daemon wakes up now and then. As long as none is held up, one call in four is watched: to watch one takes
longer than what is around a small read. Results depend on none of this.
"""

from __future__ import annotations

import contextlib
import time

import numba

HELD_UP_S = 1.5e-3  # by the clock, but not at work: few calls wait that long on a machine of their own
UNWATCHED = 3  # calls in a row, while none of those that are watched is held up
SOON = 16  # watched calls within which a second one that is held up makes a sign
SHORT = 200.0  # times the work that a second thread is worth waking for: some slices of the scheduler
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # from the last sign to the next try with all threads
CALM_CALLS = 50  # that were not held up, after which the next sign is a first one again

Call = contextlib.AbstractContextManager[int]
ALONE: Call = contextlib.nullcontext(1)


class Processors:
    """What the calls of this process tell about its processors."""

    def __init__(self) -> None:
        self.shared_until = 0.0  # by ``time.perf_counter``
        self._pause_s = self._next_pause_s = FIRST_PAUSE_S
        self._calm = 0
        self._since = SOON  # watched calls since the last one that was held up
        self._unwatched = 0  # further calls that nobody watches
        self._usual = 1  # threads of these

    def unwatched(self, work: float, worth: float) -> int:
        """The threads of a call that nobody watches; 0: take ``call``.

        What is around a kernel takes some times as long as when it is measured for itself, since its code and
        data have left the cache: so short calls have no context around them.
        """
        if work < worth:
            return 1
        if self._unwatched > 0:
            self._unwatched -= 1
            return self._usual
        return 0

    def call(self, work: float, worth: float) -> Call:
        """The threads for a call, while it runs; ``worth`` is the work that is worth waking others for."""
        if usual := self.unwatched(work, worth):
            return contextlib.nullcontext(usual)
        threads = numba.get_num_threads()
        if threads == 1:
            return ALONE
        if work < SHORT * worth and time.perf_counter() < self.shared_until:
            return _Watched(self, threads, 1)
        return _Watched(self, threads, threads)

    def note(self, held_up: bool, threads: int) -> None:
        """A watched call ended, that was made by so many threads."""
        several = threads > 1
        alone, self._since = self._since >= SOON, 0 if held_up else self._since + 1
        if held_up:
            self._unwatched = 0
        if held_up and not alone:
            if several:
                self._pause_s = self._next_pause_s
                self._next_pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)
            self._calm = 0
            self.shared_until = time.perf_counter() + self._pause_s
        elif several:
            self._calm += 1
            if self._since >= SOON:
                self._unwatched, self._usual = UNWATCHED, threads
            if self._calm == CALM_CALLS:
                self._next_pause_s = FIRST_PAUSE_S


class _Watched:
    """A call: its wall time is compared with the time that its thread was at work."""

    __slots__ = ("_all", "_processors", "_threads", "_wall", "_work")

    def __init__(self, processors: Processors, all_threads: int, threads: int) -> None:
        self._processors, self._all, self._threads = processors, all_threads, threads

    def __enter__(self) -> int:
        if self._threads < self._all:
            numba.set_num_threads(self._threads)
        self._wall, self._work = time.perf_counter(), time.thread_time()
        return self._threads

    def __exit__(self, *_error: object) -> None:
        waited = (time.perf_counter() - self._wall) - (time.thread_time() - self._work)
        if self._threads < self._all:
            numba.set_num_threads(self._all)
        self._processors.note(waited > HELD_UP_S, self._threads)


PROCESSORS = Processors()  # of this process: all its calls run on the same ones
