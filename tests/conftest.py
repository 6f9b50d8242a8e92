"""Fixtures that several parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, started once for all tests that put tiles into actors."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'crossgrid[ray]'")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
