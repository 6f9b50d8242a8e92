"""Products in vectors of eight and of sixteen lanes: the same sums in the same order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from crossgrid.kernels.machine.intrinsics import takes_wide_vectors
from crossgrid.kernels.machine.jit import data_of
from crossgrid.kernels.machine.lanes import LANES, axpy_block, dot_block, turned_block

ROWS, VECTORS, CHUNKS = 4, 3, 2
CPUINFO = Path("/proc/cpuinfo")
Matrix = np.ndarray


@functools.cache
def dot(wide: bool, rows: int, magnitude: bool) -> Callable[..., Matrix]:
    block = dot_block(rows, VECTORS, magnitude, wide)

    @numba.njit(error_model="numpy")
    def product(w: Any, u: Any) -> Any:
        y = np.empty((VECTORS, rows), np.float32)
        length = w.shape[1]
        w_data, u_data, y_data = data_of(w.reshape(-1)), data_of(u.reshape(-1)), data_of(y.reshape(-1))
        block(w_data, 0, length, u_data, 0, length, length, y_data, 0, rows)
        return y

    return product


@functools.cache
def axpy(lanes: int, columns: int, masked: bool, magnitude: bool) -> Callable[..., Matrix]:
    block = axpy_block(VECTORS, 1 if masked else CHUNKS, masked, magnitude, lanes)

    @numba.njit(error_model="numpy")
    def product(w: Any, d: Any, z: Any) -> Any:
        length = len(w)
        w_data, d_data, z_data = data_of(w.reshape(-1)), data_of(d.reshape(-1)), data_of(z.reshape(-1))
        block(w_data, 0, columns, d_data, 0, length, length, z_data, 0, columns, columns)
        return z

    return product


@functools.cache
def turned(lanes: int, rows: int, magnitude: bool) -> Callable[..., Matrix]:
    """The product of ``dot`` with w turned, its rows side by side in one vector."""
    block = turned_block(VECTORS, lanes)

    @numba.njit(error_model="numpy")
    def product(w: Any, u: Any) -> Any:
        y, length = np.empty((VECTORS, rows), np.float32), w.shape[1]
        columns = np.zeros((length, lanes), np.float32)
        columns[:, :rows] = np.abs(w.T) if magnitude else w.T
        w_data, u_data, y_data = data_of(columns.reshape(-1)), data_of(u.reshape(-1)), data_of(y.reshape(-1))
        block(w_data, 0, lanes, u_data, 0, length, length, y_data, 0, rows, rows)
        return y

    return product


def in_lanes(w_I: Matrix, u_I: Matrix) -> np.float32:
    """Lane l sums the indices = l mod 8 by fused multiply-adds, then lanes that are apart are added."""
    lanes = np.zeros(LANES, np.float32)
    for i, (w, u) in enumerate(zip(w_I, u_I, strict=True)):
        lanes[i % LANES] = np.float32(np.float64(w) * np.float64(u) + np.float64(lanes[i % LANES]))
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return np.float32(lanes[0])


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("rows", [ROWS, 1])
@pytest.mark.parametrize("length", [1, 7, 8, 25, 64])
def test_rows_two_by_two_have_the_sums_of_each(length: int, rows: int, magnitude: bool) -> None:
    rng = np.random.default_rng(length)
    # few bits: product and sum are exact in float64, and rounded once, as those of a fused one
    w = rng.integers(-1000, 1000, (rows, length)).astype(np.float32)
    u = rng.integers(-1000, 1000, (VECTORS, length)).astype(np.float32) / 1024
    seen = np.abs(w) if magnitude else w
    expected = np.array([[in_lanes(w_I, u_I) for w_I in seen] for u_I in u], np.float32)
    for wide in (False, True):
        np.testing.assert_array_equal(dot(wide, rows, magnitude)(w, u), expected)


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("lanes", [LANES, 2 * LANES])
@pytest.mark.parametrize("length", [1, 7, 8, 25, 64])
def test_rows_side_by_side_have_the_sums_of_each(length: int, lanes: int, magnitude: bool) -> None:
    rng = np.random.default_rng(length)
    for rows in (lanes, 5):
        w = rng.integers(-1000, 1000, (rows, length)).astype(np.float32)
        u = rng.integers(-1000, 1000, (VECTORS, length)).astype(np.float32) / 1024
        seen = np.abs(w) if magnitude else w
        expected = np.array([[in_lanes(w_I, u_I) for w_I in seen] for u_I in u], np.float32)
        np.testing.assert_array_equal(turned(lanes, rows, magnitude)(w, u), expected)


@pytest.mark.parametrize("length", [3, 8, 9, 16])
def test_sums_of_vanishing_terms_have_the_same_sign(length: int) -> None:
    """Products below the smallest float are rounded to -0, of which eight lanes may be full."""
    w, u = np.full((LANES, length), -1e-30, np.float32), np.full((VECTORS, length), 1e-30, np.float32)
    expected = dot(False, LANES, False)(w, u)
    assert not expected.any()
    assert np.signbit(expected).all() == (length % LANES == 0)
    np.testing.assert_array_equal(np.signbit(turned(LANES, LANES, False)(w, u)), np.signbit(expected))


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_columns_are_summed_in_order_in_vectors_of_any_width(masked: bool, magnitude: bool) -> None:
    rng, length = np.random.default_rng(3), 37
    for lanes in (LANES, 2 * LANES):
        columns = 5 if masked else CHUNKS * lanes
        w = rng.integers(-1000, 1000, (length, columns)).astype(np.float32)
        d = rng.integers(-1000, 1000, (VECTORS, length)).astype(np.float32) / 1024
        z = rng.integers(-1000, 1000, (VECTORS, columns)).astype(np.float32)
        expected = z.copy()
        for o in range(length):
            row = np.abs(w[o]) if magnitude else w[o]
            more = d[:, o, None].astype(np.float64) * row.astype(np.float64)
            expected = (more + expected.astype(np.float64)).astype(np.float32)
        found = axpy(lanes, columns, masked, magnitude)(w, d, z.copy())
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not CPUINFO.exists(), reason="this system does not say what its processors have")
def test_wide_vectors_are_for_processors_that_have_them() -> None:
    flags = next((line for line in CPUINFO.read_text().splitlines() if line.startswith("flags")), "")
    assert takes_wide_vectors() == ("avx512_vbmi2" in flags.split())
