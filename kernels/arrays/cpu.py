"""Draws for crosspoints, compiled."""

from __future__ import annotations

import numpy as np

from ..machine.jit import kernel
from ..rng.cpu import normal_pair, philox4x32


@kernel
def crosspoint_words(keys_T2, row_start, row_stop, columns, c2, c3):
    """Words [4, tiles, rows, columns]."""
    tiles = keys_T2.shape[0]
    words = np.empty((4, tiles, row_stop - row_start, columns), np.uint32)
    for t in range(tiles):
        for row in range(row_start, row_stop):
            r = row - row_start
            for column in range(columns):
                a, b, c, d = philox4x32(
                    keys_T2[t, 0], keys_T2[t, 1], np.uint32(column), np.uint32(row), c2, c3
                )
                words[0, t, r, column] = a
                words[1, t, r, column] = b
                words[2, t, r, column] = c
                words[3, t, r, column] = d
    return words


@kernel
def crosspoint_normals(keys_T2, row_start, row_stop, columns, c2, c3):
    """Standard normals [4, tiles, rows, columns]."""
    words = crosspoint_words(keys_T2, row_start, row_stop, columns, c2, c3).reshape(4, -1)
    normals = np.empty(words.shape, np.float32)
    for i in range(words.shape[1]):
        normals[0, i], normals[1, i] = normal_pair(words[0, i])
        normals[2, i], normals[3, i] = normal_pair(words[1, i])
    return normals.reshape(4, keys_T2.shape[0], row_stop - row_start, columns)
