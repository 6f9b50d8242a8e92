"""The distribution of weights after 200 updates is that of aihwkit, for every cell.

The quantiles in tests/golden/cells.json are aihwkit's (tests/golden/make_cells.py). Two samples of n = 4096
agree with p > 0.001 (Kolmogorov and Smirnov) if their distribution functions differ by less than
sqrt(-ln(0.001 / 2) / n) = 0.0431; a function known by its quantiles alone is off by up to 1 / (2 QUANTILES).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cell_scenarios as cs
import numpy as np
import pytest

from crossgrid.kernels import cells, devices
from crossgrid.kernels.analog_mvm import parameters as io
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng import tile_key

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cells.json").read_text())["cells"]
LIMIT = np.sqrt(-np.log(0.001 / 2) / 4096) + 0.5 / cs.QUANTILES
NAMES = SimpleNamespace(
    **{name: getattr(module, name) for module in (cells, devices) for name in module.__all__},
    IOParameters=io.IOParameters, NoiseManagementType=io.NoiseManagementType,
    BoundManagementType=io.BoundManagementType, own_fast_lr={"scale_fast_lr": False},
)  # fmt: skip


def trained(scenario: cs.Scenario, backend: str = "cpu") -> dict[str, np.ndarray]:
    cell = build_cell(
        scenario.build(NAMES), UpdateParameters(), tile_key(1, 0)[None], scenario.out_size, scenario.in_size,
        backend_of(backend),
    )  # fmt: skip
    first = np.zeros(1, np.int64)
    cell.set_weights(np.full((1, scenario.out_size, scenario.in_size), scenario.start, np.float32))
    tick = 0
    for x, d in zip(*scenario.vectors(), strict=True):
        cell.update(x[None], first, d[None], first, scenario.rate, tick)
        tick += len(x)
    found = {"weights": cell.weights[0]}
    if scenario.hidden:
        found["fast"] = cell.hidden_parameters()["hidden_weights_0"][0]
    return found


def distance(values: np.ndarray, quantiles: list[float]) -> float:
    """The largest difference of two distribution functions."""
    values, known = np.sort(values.ravel()), np.array(quantiles)
    at = np.concatenate([values, known])
    mine = np.searchsorted(values, at + 1e-6, side="right") / len(values)
    theirs = np.searchsorted(known, at + 1e-6, side="right") / len(known)
    return float(np.abs(mine - theirs).max())


@pytest.mark.parametrize("name", cs.SCENARIOS)
def test_weights_are_distributed_as_in_aihwkit(name: str) -> None:
    for part, values in trained(cs.SCENARIOS[name]).items():
        assert distance(values, GOLDEN[name][part]) < LIMIT, part
