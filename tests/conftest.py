"""Fixtures that several parts share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for a card are skipped where there is none; they fail where torch cannot use one."""
    of_a_card = [item for item in items if item.get_closest_marker("gpu")]
    if of_a_card and shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia").exists():
        for item in of_a_card:
            item.add_marker(pytest.mark.skip(reason="this machine has no CUDA card, driver or nvidia-smi"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, started once for all tests that put tiles into actors."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a run sets it that starts Ray itself
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
