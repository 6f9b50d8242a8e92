"""Addressed normals and uniforms for numba."""

from __future__ import annotations

import numpy as np

from ...machine.intrinsics import wide_vectors
from ...machine.jit import kernel
from ...rng.cpu import normal_pair, philox4x32, unit_interval


@kernel
def row_words(words, counters, k0, k1, row, low, high):
    """Words of the counters (0 ..., row, low, high): plane k of ``words`` holds word k of each."""
    wide_vectors()
    for j in range(counters):
        w0, w1, w2, w3 = philox4x32(k0, k1, np.uint32(j), row, low, high)
        words[j] = w0
        words[counters + j] = w1
        words[2 * counters + j] = w2
        words[3 * counters + j] = w3


@kernel
def row_normals(drawn, words, k0, k1, row, low, high):
    """Fill ``drawn`` [8 counters] with the normals of a row; ``words`` has room for half as many."""
    wide_vectors()
    counters = len(drawn) // 8
    row_words(words, counters, k0, k1, row, low, high)
    for k in range(4):
        for j in range(counters):
            a, b = normal_pair(words[k * counters + j])
            drawn[2 * k * counters + j] = a
            drawn[(2 * k + 1) * counters + j] = b


@kernel
def normals(out_OI, k0, k1, first_row, low, high):
    """Fill ``out_OI`` with standard normals."""
    rows, columns = out_OI.shape
    counters = (columns + 7) // 8
    words = np.empty(4 * counters, np.uint32)
    drawn = np.empty(8 * counters, np.float32)
    for i in range(rows):
        row_normals(drawn, words, k0, k1, np.uint32(first_row + np.uint32(i)), low, high)
        for j in range(columns):
            out_OI[i, j] = drawn[j]


@kernel
def uniforms(out_OI, k0, k1, first_row, low, high):
    """Fill ``out_OI`` with uniform numbers in [0, 1)."""
    rows, columns = out_OI.shape
    counters = (columns + 3) // 4
    words = np.empty(4 * counters, np.uint32)
    for i in range(rows):
        row_words(words, counters, k0, k1, np.uint32(first_row + np.uint32(i)), low, high)
        for j in range(columns):
            out_OI[i, j] = unit_interval(words[j])
