"""numpy's exponential and logarithm in numba: the same bits, where numpy has its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossgrid.kernels.rng.numpy_alike import agrees, evaluate


def both(x_N: np.ndarray) -> np.ndarray:
    """exp(x) and ln(|x|) as compiled."""
    found = np.empty((2, len(x_N)), np.float32)
    evaluate(x_N, *found)
    return found


def test_both_are_right_to_two_units_in_the_last_place() -> None:
    x_N = np.concatenate([np.linspace(-80, 80, 20_011), np.geomspace(1e-30, 80, 20_011)]).astype(np.float32)
    exp_N, log_N = both(x_N)
    for n in range(0, len(x_N), 97):
        exact = math.exp(float(x_N[n])), math.log(abs(float(x_N[n])))
        for found, wanted in zip((exp_N[n], log_N[n]), exact, strict=True):
            assert abs(float(found) - wanted) <= 3 * np.spacing(np.float32(abs(wanted)))


def test_bits_are_numpys() -> None:
    if not agrees():
        pytest.skip("numpy asks this machine's C library for exp and log")
    for first in (0x00800000, 0xC0800000 - (1 << 32)):  # positive and negative numbers of every size
        x_N = np.arange(first, first + 0x7F000000 - 0x00800000, 4_099, np.int64).astype(np.int32)
        x_N = x_N.view(np.float32)
        x_N = x_N[np.isfinite(x_N) & (np.abs(x_N) >= np.finfo(np.float32).tiny)]
        with np.errstate(over="ignore", under="ignore"):
            np.testing.assert_array_equal(both(x_N), [np.exp(x_N), np.log(np.abs(x_N))])
