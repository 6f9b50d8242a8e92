"""Passes over many numbers that allocate nothing as large: whether they are finite, how large they are."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np

from .machine.jit import kernel

NOT_FINITE = np.int32(0x7F800000)  # bits of infinity; those of NaN are larger


@numba.njit(error_model="numpy", forceinline=True)
def largest_bits(bits, first, count):
    """Bits of the largest magnitude of ``count`` float32 values, given as flat int32, from ``first`` on.

    Those of infinity or more if one is not finite. Integers are compared because that vectorises.
    """
    largest = np.int32(0)
    for i in range(first, first + count):
        largest = max(largest, np.int32(bits[np.uint64(i)] & np.int32(0x7FFFFFFF)))
    return largest


@kernel
def largest_of_lines(values_BL):
    """As ``largest_bits``, of each line's values [L]: 0 where all of them are 0."""
    bits_BL, largest_L = values_BL.view(np.int32), np.zeros(values_BL.shape[1], np.int32)
    for b in range(len(bits_BL)):
        for line in range(len(largest_L)):
            largest_L[line] = max(largest_L[line], bits_BL[b, line] & np.int32(0x7FFFFFFF))
    return largest_L


@kernel
def add_magnitudes(values_BL, total_L):
    """Adds to the float64 total of each line the magnitudes of its values, in order."""
    sums_L = np.zeros(len(total_L))
    for b in range(len(values_BL)):
        for line in range(len(sums_L)):
            sums_L[line] += np.float64(abs(values_BL[b, line]))
    for line in range(len(sums_L)):
        total_L[line] += sums_L[line]


@kernel
def all_finite(values):
    """Whether flat float32 values are neither NaN nor infinite."""
    return largest_bits(values.view(np.int32), 0, values.size) < NOT_FINITE
