"""Lengths and scales of pulse trains on the CPU, from each vector's largest magnitude."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from ...finite import NOT_FINITE, largest_bits
from ...rng.cpu import compiled
from .. import formulas

OK, BAD_X, BAD_D, TOO_LONG = 0, 1, 2, 3
VECTORS = 512  # whose magnitudes are one task

train_length = compiled(formulas.train_length)
train_scale = compiled(formulas.train_scale)


class Inputs(NamedTuple):
    """The vectors of an update, and which of them each tile takes."""

    x_XBI: Any
    x_of_T: Any
    d_DBO: Any
    d_of_T: Any


@numba.njit(error_model="numpy", forceinline=True)
def magnitudes(values_XBL, first, out_XB):
    """Bits of the largest |value| of vectors ``first``..; those of infinity or more if one is not finite."""
    vectors, lines = values_XBL.shape[1:]
    bits = values_XBL.reshape(-1).view(np.int32)  # one view: to make one a vector takes as long as to read it
    for n in range(out_XB.shape[0]):
        for b in range(out_XB.shape[1]):
            out_XB[n, b] = largest_bits(bits, (n * vectors + first + b) * lines, lines)


@numba.njit(error_model="numpy")
def plan_vectors(inputs, active_TB, rule, rate, granularity, own, lengths_TB, scales_2TB):
    """``plan`` for the vectors in slice ``own``."""
    vectors = own.stop - own.start
    x_max_XB = np.empty((inputs.x_XBI.shape[0], vectors), np.int32)
    d_max_DB = np.empty((inputs.d_DBO.shape[0], vectors), np.int32)
    magnitudes(inputs.x_XBI, own.start, x_max_XB)
    magnitudes(inputs.d_DBO, own.start, d_max_DB)
    if x_max_XB.max() >= NOT_FINITE:
        return BAD_X, 0
    if d_max_DB.max() >= NOT_FINITE:
        return BAD_D, 0
    longest = 0
    x_top_XB, d_top_DB = x_max_XB.view(np.float32), d_max_DB.view(np.float32)
    for t in range(lengths_TB.shape[0]):
        for b in range(vectors):
            x_max = x_top_XB[inputs.x_of_T[t], b]
            d_max = d_top_DB[inputs.d_of_T[t], b] * rule.grad_scale
            length = train_length(x_max, d_max, rate, granularity, rule.desired, rule.scaling)
            if active_TB.size > 0 and active_TB[t, own.start + b] == 0:
                length = np.float32(0.0)
            if length > np.float32(31.0):
                return TOO_LONG, 0
            of_d, of_x = train_scale(x_max, d_max, rate, granularity, rule.desired, rule.scaling, length)
            lengths_TB[t, own.start + b] = np.int32(length)
            longest = max(longest, np.int32(length))
            scales_2TB[0, t, own.start + b] = of_x
            scales_2TB[1, t, own.start + b] = of_d
    return OK, longest


@numba.njit(error_model="numpy", parallel=True)
def plan_in_parallel(inputs, active_TB, rule, rate, granularity, lengths_TB, scales_2TB, status_K, longest_K):
    for task in prange(len(status_K)):
        own = slice(np.int64(task) * VECTORS, min(inputs.x_XBI.shape[1], (np.int64(task) + 1) * VECTORS))
        status_K[task], longest_K[task] = plan_vectors(
            inputs, active_TB, rule, rate, granularity, own, lengths_TB, scales_2TB
        )


@numba.njit(error_model="numpy")
def plan(inputs, active_TB, rule, rate, granularity, lengths_TB, scales_2TB, in_parallel):
    """Train length and scales of every tile's vectors; returns (OK or what is wrong, the longest)."""
    vectors = inputs.x_XBI.shape[1]
    blocks = (vectors + VECTORS - 1) // VECTORS
    if blocks == 1 or not in_parallel:
        every = slice(0, vectors)
        return plan_vectors(inputs, active_TB, rule, rate, granularity, every, lengths_TB, scales_2TB)
    status_K, longest_K = np.empty(blocks, np.int64), np.empty(blocks, np.int64)
    plan_in_parallel(inputs, active_TB, rule, rate, granularity, lengths_TB, scales_2TB, status_K, longest_K)
    for status in (BAD_X, BAD_D, TOO_LONG):
        if (status_K == status).any():
            return status, np.int64(0)
    return OK, longest_K.max()
