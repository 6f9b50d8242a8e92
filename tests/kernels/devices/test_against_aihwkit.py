"""Distributions of weights after 200 updates against aihwkit's, stored in tests/golden."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comparison import critical, distance
from step_device_cases import CASES, LEARNING_RATE, SIZE, updates

from crossgrid.kernels import devices
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng import tile_key

GOLDEN = Path(__file__).parents[2] / "golden"
STORED = json.loads((GOLDEN / "step_devices.json").read_text())
TILES = 4


@pytest.mark.parametrize("name", CASES)
def test_weights_are_distributed_as_aihwkits(name):
    kind, fields = CASES[name]
    keys = np.stack([tile_key(5, block) for block in range(TILES)])
    cell = build_cell(getattr(devices, kind)(**fields), UpdateParameters(), keys, SIZE, SIZE)
    x, d = updates()
    index = np.zeros(TILES, np.int64)
    for k in range(len(x)):
        cell.update(x[None, k : k + 1], index, d[None, k : k + 1], index, LEARNING_RATE, k)
    limit = critical(cell.weights.size, STORED["samples"])
    assert distance(cell.weights, np.array(STORED["quantiles"][name])) < limit
