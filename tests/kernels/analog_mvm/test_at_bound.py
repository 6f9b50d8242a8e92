"""Which results stand at the ADC's bound: the compiled read, which looks only where some may, tells of all.

A result stands there if its magnitude is the bound of its vector, up to the rounding of the factors: counted
here from the results themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import IOParameters, Periphery
from crossgrid.kernels.analog_mvm.parameters import (
    AnalogMVMType,
    BoundManagementType,
    NoiseManagementType,
)
from crossgrid.kernels.backends import CPU, NAIVE, Backend
from crossgrid.kernels.rng import tile_key

KEYS = np.stack([tile_key(3, block) for block in range(2)])
BLOCKS = np.zeros(2, np.int64)
PLAIN = {
    "out_bound": 1.0, "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
}  # fmt: skip
CASES = {
    "a coarse ADC, whose last step rounds up to the bound": {"out_res": 0.5, "out_noise": 0.0},
    "no steps": {"out_res": -1.0, "out_noise": 0.0},
    "noise": {"out_noise": 0.1},
    "a scale for each vector": {"noise_management": NoiseManagementType.ABS_MAX},
    "two conversions that are added": {"mv_type": AnalogMVMType.POS_NEG_SEPARATE_DIGITAL_SUM},
}


def operands(rng: np.random.Generator, size: float) -> tuple[Any, Any]:
    """Weights [2, 6, 5] of magnitudes up to ``size`` and inputs [1, 7, 5]."""
    w_TOI, x_XBI = size * rng.uniform(-1, 1, (2, 6, 5)), rng.uniform(-1, 1, (1, 7, 5))
    return w_TOI.astype(np.float32), x_XBI.astype(np.float32)


@pytest.mark.parametrize("backend", [CPU, NAIVE], ids=["cpu", "naive"])
@pytest.mark.parametrize("settings", CASES.values(), ids=list(CASES))
def test_all_results_at_the_bound_are_told(settings: dict[str, Any], backend: Backend) -> None:
    io = IOParameters(**{**PLAIN, **settings})
    read, rng, found = Periphery(io, KEYS, 6, 5, "forward", backend), np.random.default_rng(5), 0
    for tick, size in enumerate((0.1, 0.5, 0.9, 2.0)):
        w_TOI, x_XBI = operands(rng, size)
        y_TBO, counts = read.read(w_TOI, x_XBI, BLOCKS, tick * 7, bounded=True)
        scale_B = np.ones(7)
        if io.noise_management is NoiseManagementType.ABS_MAX:
            scale_B = np.abs(x_XBI[0]).max(axis=1)
        at_bound_TBO = np.abs(y_TBO) >= (scale_B * (1 - 1e-5))[None, :, None]
        told = counts.at_bound_QBL
        np.testing.assert_array_equal(np.zeros(y_TBO.shape) if told is None else told, at_bound_TBO)
        found += at_bound_TBO.sum()
    assert 0 < found < 4 * 84


def test_further_attempts_are_told_of_by_both_kinds_of_read() -> None:
    rng = np.random.default_rng(6)
    io = IOParameters(**{**PLAIN, "out_bound": 0.2, "out_noise": 0.0,
                         "bound_management": BoundManagementType.ITERATIVE, "max_bm_factor": 2})  # fmt: skip
    w_TOI, x_XBI = operands(rng, 2.0)
    masks = [
        Periphery(io, KEYS, 6, 5, "forward", backend)
        .read(w_TOI, x_XBI, BLOCKS, 0, bounded=True)[1]
        .at_bound_QBL
        for backend in (CPU, NAIVE)
    ]
    assert masks[0] is not None
    assert masks[0].any()
    np.testing.assert_array_equal(*masks)
