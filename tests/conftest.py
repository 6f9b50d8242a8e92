"""Fixtures that several parts share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import CASES
from hypothesis import settings

# every Ray is a test's own: none connects to one that runs here, or that was killed and left its address
os.environ.setdefault("RAY_ADDRESS", "local")

# a failure is the change's, not the day's: every run draws the same examples
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for a card are skipped where there is none; they fail where torch cannot use one."""
    of_a_card = [item for item in items if item.get_closest_marker("gpu")]
    if of_a_card and shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia").exists():
        for item in of_a_card:
            item.add_marker(pytest.mark.skip(reason="this machine has no CUDA card, driver or nvidia-smi"))
    for item in items:
        for mark in item.iter_markers("case"):
            item.user_properties += [("case", name) for name in mark.args]


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no collection of garbage needs to look at a million objects again."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Torch's generator, which begins anywhere in every process, begins alike in every test."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """``pytest -k cases``: one line a case of use, with how its tests went."""
    if "cases" not in config.option.keyword:
        return
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in CASES}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, name in getattr(report, "user_properties", ()):
                if key == "case":
                    outcomes[name][outcome] += 1
    terminalreporter.section("cases of use")
    for name, counted in outcomes.items():
        told = ", ".join(f"{number} {outcome}" for outcome, number in counted.items()) or "not run"
        terminalreporter.write_line(f"{name:4} {told:22} {CASES[name]}")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, started once for all tests that put tiles into actors."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a run sets it that starts Ray itself
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
