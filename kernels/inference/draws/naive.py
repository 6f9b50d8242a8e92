"""Addressed normals and uniforms in numpy: the readable reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...rng import formulas
from ...rng.naive import philox4x32

Kernel = Callable[[NDArray[np.float32], np.uint32, np.uint32, np.uint32, np.uint32, np.uint32], None]


def row_words(
    rows: int,
    counters: int,
    k0: np.uint32,
    k1: np.uint32,
    first_row: np.uint32,
    low: np.uint32,
    high: np.uint32,
) -> NDArray[np.uint32]:
    """Words [4, rows, counters] of the counters (0 ..., row, low, high)."""
    column, row = np.meshgrid(
        np.arange(counters, dtype=np.uint32), first_row + np.arange(rows, dtype=np.uint32)
    )
    counter = np.stack([column, row, np.full_like(row, low), np.full_like(row, high)])
    return philox4x32(np.array([k0, k1], np.uint32), counter)


def normals(
    out_OI: NDArray[np.float32],
    k0: np.uint32,
    k1: np.uint32,
    first_row: np.uint32,
    low: np.uint32,
    high: np.uint32,
) -> None:
    """Fill ``out_OI`` with standard normals."""
    rows, columns = out_OI.shape
    words = row_words(rows, -(-columns // 8), k0, k1, first_row, low, high)
    planes = [normal for plane in words for normal in formulas.normal_pair(plane)]
    out_OI[...] = np.concatenate(planes, axis=1)[:, :columns]


def uniforms(
    out_OI: NDArray[np.float32],
    k0: np.uint32,
    k1: np.uint32,
    first_row: np.uint32,
    low: np.uint32,
    high: np.uint32,
) -> None:
    """Fill ``out_OI`` with uniform numbers in [0, 1)."""
    rows, columns = out_OI.shape
    words = row_words(rows, -(-columns // 4), k0, k1, first_row, low, high)
    out_OI[...] = np.concatenate([formulas.unit_interval(plane) for plane in words], axis=1)[:, :columns]
