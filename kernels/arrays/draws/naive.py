"""Random numbers of a bank's crosspoints in numpy: the readable reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...rng.formulas import normal_pair
from ...rng.naive import philox4x32


def words(
    keys_T2: NDArray[np.uint32], row_start: int, row_stop: int, columns: int, c2: np.uint32, c3: np.uint32
) -> NDArray[np.uint32]:
    """Words [4, tiles, rows, columns] of every crosspoint of some rows; ``c2``, ``c3``: counter words."""
    size = (row_stop - row_start, columns)
    row, column = np.meshgrid(np.arange(row_start, row_stop), np.arange(columns), indexing="ij")
    counter = np.stack([column, row, np.full(size, c2), np.full(size, c3)]).astype(np.uint32)
    return np.stack([philox4x32(key, counter) for key in keys_T2], axis=1)


def normals(
    keys_T2: NDArray[np.uint32], row_start: int, row_stop: int, columns: int, c2: np.uint32, c3: np.uint32
) -> NDArray[np.float32]:
    """Standard normals [4, tiles, rows, columns]."""
    drawn = words(keys_T2, row_start, row_stop, columns, c2, c3)
    return np.stack([*normal_pair(drawn[0]), *normal_pair(drawn[1])])
