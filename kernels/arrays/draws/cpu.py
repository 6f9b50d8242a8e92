"""Random numbers of a bank's crosspoints, compiled."""

from __future__ import annotations

import numpy as np

from ...machine.intrinsics import wide_vectors
from ...machine.jit import kernel
from ...rng.cpu import normal_pair, philox4x32


@kernel
def words(keys_T2, row_start, row_stop, columns, c2, c3):
    """Words [4, tiles, rows, columns]."""
    wide_vectors()
    tiles = keys_T2.shape[0]
    drawn = np.empty((4, tiles, row_stop - row_start, columns), np.uint32)
    for t in range(tiles):
        for row in range(row_start, row_stop):
            r = row - row_start
            for column in range(columns):
                a, b, c, d = philox4x32(
                    keys_T2[t, 0], keys_T2[t, 1], np.uint32(column), np.uint32(row), c2, c3
                )
                drawn[0, t, r, column] = a
                drawn[1, t, r, column] = b
                drawn[2, t, r, column] = c
                drawn[3, t, r, column] = d
    return drawn


@kernel
def normals(keys_T2, row_start, row_stop, columns, c2, c3):
    """Standard normals [4, tiles, rows, columns]."""
    wide_vectors()
    drawn = words(keys_T2, row_start, row_stop, columns, c2, c3).reshape(4, -1)
    out = np.empty(drawn.shape, np.float32)
    for i in range(drawn.shape[1]):
        out[0, i], out[1, i] = normal_pair(drawn[0, i])
        out[2, i], out[3, i] = normal_pair(drawn[1, i])
    return out.reshape(4, keys_T2.shape[0], row_stop - row_start, columns)
