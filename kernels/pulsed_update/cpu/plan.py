"""Lengths and scales of pulse trains on the CPU, from each vector's largest magnitude."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from ...finite import NOT_FINITE, largest_bits
from ...machine.intrinsics import wide_vectors
from ...rng.cpu import compiled
from .. import formulas
from ..arguments import Status

DONE, BAD_X, BAD_D, TOO_LONG = map(int, (Status.DONE, Status.BAD_X, Status.BAD_D, Status.TOO_LONG))
VECTORS = 512  # whose magnitudes are one task

train_length = compiled(formulas.train_length)
train_scale = compiled(formulas.train_scale)
part_length = compiled(formulas.part_length)


class Plan(NamedTuple):
    """Length and scales of every tile's trains."""

    lengths_TB: Any
    scales_2TB: Any  # of x, of d: from a magnitude to a firing probability


@numba.njit(error_model="numpy", forceinline=True)
def magnitudes(values_XBL, first, out_XB):
    """Bits of the largest |value| of vectors ``first``..; those of infinity or more if one is not finite."""
    vectors, lines = values_XBL.shape[1:]
    bits = values_XBL.reshape(-1).view(np.int32)  # one view: to make one a vector takes as long as to read it
    for n in range(out_XB.shape[0]):
        for b in range(out_XB.shape[1]):
            out_XB[n, b] = largest_bits(bits, (n * vectors + first + b) * lines, lines)


@numba.njit(error_model="numpy")
def plan_trains(x_max_B, d_max_B, active_B, first, rule, rate, granularity, slots_B, of_x_B, of_d_B):
    """Trains of a tile's vectors from ``first`` on; returns (DONE or TOO_LONG, the longest train's slots).

    Loops of plain arithmetic without a way out, which are vectorised.
    """
    wide_vectors()
    vectors, beyond, longest = len(x_max_B), np.int32(0), np.int32(0)
    length_B = np.empty(vectors, np.float32)
    desired, scaling = rule.desired, rule.scaling
    for b in range(vectors):
        d_max = d_max_B[b] * rule.grad_scale
        length_B[b] = train_length(x_max_B[b], d_max, rate, granularity, desired, scaling)
    if active_B.size > 0:
        for b in range(vectors):
            length_B[b] = np.float32(0) if active_B[b] == 0 else length_B[b]
    for b in range(vectors):
        d_max, length = d_max_B[b] * rule.grad_scale, length_B[b]
        of_d_B[b], of_x_B[b] = train_scale(x_max_B[b], d_max, rate, granularity, desired, scaling, length)
        beyond += np.int32(length > rule.longest)
    if beyond > 0:
        return TOO_LONG, longest
    if rule.parts > 1:
        for b in range(vectors):
            length_B[b] = part_length(length_B[b], np.float32((first + b) % rule.parts), rule.parts)
    for b in range(vectors):
        slots_B[b] = np.int32(length_B[b])
        longest = max(longest, slots_B[b])
    return DONE, longest


@numba.njit(error_model="numpy")
def plan_vectors(vectors, active_TB, rule, rate, granularity, own, plan):
    """``plan_all`` for the vectors in slice ``own``."""
    count = own.stop - own.start
    x_max_XB = np.empty((vectors.x_XBI.shape[0], count), np.int32)
    d_max_DB = np.empty((vectors.d_DBO.shape[0], count), np.int32)
    magnitudes(vectors.x_XBI, own.start, x_max_XB)
    magnitudes(vectors.d_DBO, own.start, d_max_DB)
    if x_max_XB.max() >= NOT_FINITE:
        return BAD_X, 0
    if d_max_DB.max() >= NOT_FINITE:
        return BAD_D, 0
    longest = 0
    x_top_XB, d_top_DB = x_max_XB.view(np.float32), d_max_DB.view(np.float32)
    for t in range(plan.lengths_TB.shape[0]):
        active_B = active_TB[t, own] if active_TB.size > 0 else active_TB.reshape(-1)
        status, own_longest = plan_trains(
            x_top_XB[vectors.x_of_T[t]], d_top_DB[vectors.d_of_T[t]], active_B, own.start, rule, rate,
            granularity, plan.lengths_TB[t, own], plan.scales_2TB[0, t, own], plan.scales_2TB[1, t, own],
        )  # fmt: skip
        if status != DONE:
            return status, 0
        longest = max(longest, own_longest)
    return DONE, longest


@numba.njit(error_model="numpy", parallel=True)
def plan_in_parallel(vectors, active_TB, rule, rate, granularity, plan, status_K, longest_K):
    for task in prange(len(status_K)):
        own = slice(np.int64(task) * VECTORS, min(vectors.x_XBI.shape[1], (np.int64(task) + 1) * VECTORS))
        status_K[task], longest_K[task] = plan_vectors(vectors, active_TB, rule, rate, granularity, own, plan)


@numba.njit(error_model="numpy")
def plan_all(vectors, active_TB, pulsing, plan, in_parallel):
    """Fill ``plan`` for all vectors; returns (DONE or what is wrong, the longest train)."""
    rule, rate, granularity = pulsing.rule, abs(pulsing.rate), pulsing.granularity
    batch = vectors.x_XBI.shape[1]
    blocks = (batch + VECTORS - 1) // VECTORS
    if blocks == 1 or not in_parallel:
        every = slice(0, batch)
        return plan_vectors(vectors, active_TB, rule, rate, granularity, every, plan)
    status_K, longest_K = np.empty(blocks, np.int64), np.empty(blocks, np.int64)
    plan_in_parallel(vectors, active_TB, rule, rate, granularity, plan, status_K, longest_K)
    for status in (BAD_X, BAD_D, TOO_LONG):
        if (status_K == status).any():
            return status, np.int64(0)
    return DONE, longest_K.max()
