"""A scrape of the metrics answers while tiles do not: with what was known last, and how old that is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_metrics import scrape, small_model, step
from torch import nn

import crossgrid as cg

PULSES, AGE = "crossgrid_tile_pulses_total", "crossgrid_tile_counters_age_seconds"


def pulses(found: dict[Any, float]) -> dict[Any, float]:
    return {where: value for (name, where), value in found.items() if name == PULSES}


def until(url: str, holds: Callable[[dict[Any, float]], bool]) -> dict[Any, float]:
    """The first scrape of which it holds."""
    deadline = time.monotonic() + 100
    while not holds(found := scrape(url)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def age(found: dict[Any, float]) -> float:
    return found[AGE, ()]


def fresh(found: dict[Any, float]) -> bool:
    return age(found) < 0.5


@pytest.mark.usefixtures("ray_session")
def test_a_scrape_while_an_actor_hangs_tells_what_is_known() -> None:
    """It may hang for minutes yet: nobody is replaced, and new counters are not mixed with old ones."""
    model, optimizer = small_model()
    with cg.emulate(model, backend="ray", timeout_s=500.0) as running:
        assert running.metrics_url is not None
        step(model, optimizer)
        known = until(running.metrics_url, lambda found: all(pulses(found).values()) and fresh(found))
        pid = running.executor.hosts[1].address.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            hung = [scrape(running.metrics_url) for _ in range(3)]
        finally:
            os.kill(pid, signal.SIGCONT)
        assert all(pulses(found) == pulses(known) for found in hung)
        assert 0.5 < age(hung[0]) < age(hung[1]) < age(hung[2])
        step(model, optimizer)
        again = until(
            running.metrics_url, lambda found: sum(pulses(found).values()) > sum(pulses(known).values())
        )
        assert fresh(again)
        assert running.executor.recovered.restarts == 0


def test_a_scrape_while_this_process_computes_tells_what_is_known() -> None:
    """As long as a kernel takes: the lock that a pass holds is held here."""
    model, optimizer = small_model()
    with cg.emulate(model) as running:
        assert running.metrics_url is not None
        step(model, optimizer)
        known = scrape(running.metrics_url)
        with running.executor.lock:
            assert pulses(scrape(running.metrics_url)) == pulses(known)
        until(running.metrics_url, fresh)


@pytest.mark.usefixtures("ray_session")
def test_a_scrape_brings_no_stage_back() -> None:
    """One that is stopped, then dead: what it counted stays known, and who computes next replaces it."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)), cg.InferenceRPUConfig())
    vectors = "crossgrid_tile_forward_vectors_total"
    with cg.emulate(model, backend="ray", stages=2, timeout_s=500.0) as running:
        url = running.metrics_url
        assert url is not None
        running.infer(torch.ones(4, 6))
        found = until(url, lambda found: any(name == vectors for name, _ in found))
        known = {where: value for (name, where), value in found.items() if name == vectors}
        assert set(known.values()) == {4.0}
        pid = running.stages.stages[1].address.pid
        for how in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(pid, how)
            found = scrape(url)
            assert {where: value for (name, where), value in found.items() if name == vectors} == known
        assert running.executor.recovered.restarts == 0
        assert running.infer(torch.ones(4, 6)).shape == (4, 3)
        assert running.executor.recovered.restarts == 1


def test_leaving_does_not_wait_for_a_scrape() -> None:
    """Somebody scrapes all the time: leaving ends it, and whoever asks then is refused or answered."""
    model, optimizer = small_model()
    ended, seen = threading.Event(), []

    def look(url: str) -> None:
        while not ended.is_set():
            try:
                seen.append(len(scrape(url)))
            except OSError:
                return

    with cg.emulate(model) as running:
        assert running.metrics_url is not None
        threads = [threading.Thread(target=look, args=(running.metrics_url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(seen) < 5:
            step(model, optimizer)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1, "every scrape was whole"
