"""Distributions of weights after 200 updates against aihwkit's, stored in tests/golden."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from crossgrid.kernels import devices
from crossgrid.kernels.devices import build_cell
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng import tile_key

GOLDEN = Path(__file__).parents[2] / "golden"
sys.path.insert(0, str(GOLDEN))

from step_device_cases import CASES, LEARNING_RATE, SIZE, updates  # noqa: E402

STORED = json.loads((GOLDEN / "step_devices.json").read_text())
TILES = 4


def distance(sample: np.ndarray, quantiles: np.ndarray) -> float:
    """Largest distance of the sample's distribution from that of the quantiles, at the quantiles."""
    ordered = np.sort(sample.ravel())
    levels = np.linspace(0.0, 1.0, quantiles.size)
    upper = np.searchsorted(ordered, quantiles, side="right") / ordered.size
    lower = np.searchsorted(ordered, quantiles, side="left") / ordered.size
    return float(np.maximum(levels - upper, lower - levels).clip(0.0).max())


@pytest.mark.parametrize("name", CASES)
def test_weights_are_distributed_as_aihwkits(name):
    kind, fields = CASES[name]
    keys = np.stack([tile_key(5, block) for block in range(TILES)])
    cell = build_cell(getattr(devices, kind)(**fields), UpdateParameters(), keys, SIZE, SIZE)
    x, d = updates()
    index = np.zeros(TILES, np.int64)
    for k in range(len(x)):
        cell.update(x[None, k : k + 1], index, d[None, k : k + 1], index, LEARNING_RATE, k)
    n, m = cell.weights.size, STORED["samples"]
    # two-sample Kolmogorov-Smirnov, p = 0.001: sqrt(-ln(p / 2) / 2) = 1.95
    critical = 1.95 * math.sqrt((n + m) / (n * m))
    assert distance(cell.weights, np.array(STORED["quantiles"][name])) < critical
