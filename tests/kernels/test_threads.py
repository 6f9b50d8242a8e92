"""How many threads calls take on a machine of one's own, and on one that others use."""

from __future__ import annotations

import contextlib
import math
import time

import numba
import numpy as np
import pytest

from crossgrid.kernels.machine.threads import (
    CALM_CALLS,
    FIRST_PAUSE_S,
    HELD_UP_S,
    LONGEST_PAUSE_S,
    SHORT,
    SOON,
    UNWATCHED,
    Processors,
)

ALL = numba.get_num_threads()
several = pytest.mark.skipif(ALL == 1, reason="this machine has one processor")


def threads_of(processors: Processors, work: float = 2.0) -> int:
    with processors.call(work, 1.0) as threads:
        assert numba.get_num_threads() == (ALL if work < 1.0 else threads)
        return threads


def held_up_once() -> Processors:
    """The next call that is held up makes a sign."""
    processors = Processors()
    processors.note(True, threads=2)
    return processors


def test_small_work_is_one_threads() -> None:
    assert threads_of(Processors(), 0.5) == 1


@several
def test_calls_that_wait_are_followed_by_calls_of_one_thread() -> None:
    processors = Processors()
    assert threads_of(processors) == ALL
    for _ in range(UNWATCHED + 2):
        with processors.call(2.0, 1.0):
            time.sleep(2 * HELD_UP_S)  # neither ended nor at work, as when a thread waits for a processor
    assert threads_of(processors) == 1
    assert numba.get_num_threads() == ALL  # only while the call runs
    assert threads_of(processors, SHORT) == ALL  # a long call waits a small part of its time
    processors.shared_until = time.perf_counter()  # the pause is over
    assert threads_of(processors) == ALL


@several
def test_one_call_in_four_is_watched_and_every_one_after_one_that_was_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crossgrid.kernels.machine.threads.HELD_UP_S", math.inf)  # others may be at work here
    processors = Processors()

    def kinds(count: int) -> list[bool]:
        watched = []
        for _ in range(count):
            with (call := processors.call(2.0, 1.0)) as threads:
                assert threads == ALL
            watched.append(not isinstance(call, contextlib.nullcontext))
        return watched

    assert kinds(9) == [True, *[False, False, False, True] * 2]
    processors.note(True, threads=2)
    assert kinds(SOON) == [True] * SOON
    assert kinds(4) == [False, False, False, True]


@several
def test_calls_that_nobody_watches_have_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrid.kernels.machine.threads.HELD_UP_S", math.inf)
    processors = Processors()
    assert processors.unwatched(0.5, 1.0) == 1
    assert processors.unwatched(2.0, 1.0) == 0  # the first one is to be watched
    processors.note(False, threads=ALL)
    assert [processors.unwatched(2.0, 1.0) for _ in range(UNWATCHED + 1)] == [*[ALL] * UNWATCHED, 0]


@several
def test_a_call_alone_that_waits_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrid.kernels.machine.threads.HELD_UP_S", math.inf)  # others may be at work here
    processors = Processors()
    for _ in range(3):
        processors.note(True, threads=2)
        assert threads_of(processors) == ALL
        for _ in range(SOON):
            processors.note(False, threads=2)


@several
def test_a_call_that_worked_all_the_time_is_no_sign() -> None:
    processors = Processors()
    processors.note(False, threads=2)
    assert threads_of(processors) == ALL


@several
def test_pauses_grow_while_tries_fail_and_start_anew_after_calm() -> None:
    processors = held_up_once()
    pauses = []
    for _ in range(8):
        processors.note(True, threads=2)
        pauses.append(processors.shared_until - time.perf_counter())
    np.testing.assert_allclose(pauses[:3], [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S], atol=0.05)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S, abs=0.05)
    for _ in range(CALM_CALLS):
        processors.note(False, threads=2)
    for _ in range(2):
        processors.note(True, threads=2)
    assert processors.shared_until - time.perf_counter() == pytest.approx(FIRST_PAUSE_S, abs=0.05)


@several
def test_one_thread_that_is_held_up_prolongs_the_pause_but_not_the_next() -> None:
    processors = held_up_once()
    processors.note(True, threads=2)
    until = processors.shared_until
    processors.note(True, threads=1)
    assert until <= processors.shared_until <= until + 0.05
