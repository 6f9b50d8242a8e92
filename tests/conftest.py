"""Fixtures that several parts share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, started once for all tests that put tiles into actors."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a run sets it that starts Ray itself
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
