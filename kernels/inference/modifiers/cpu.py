"""Weight modifiers for numba: draw and modify in one pass, a row at a time in the first-level cache."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import wide_vectors
from ...machine.jit import named_copy
from ...machine.threads import PROCESSORS
from ...rng import Stream
from ...rng.cpu import compiled, unit_interval
from ..draws.cpu import row_words
from . import formulas, naive
from .plan import Extra, Kind, Slot, byte_normals

rotated = compiled(formulas.rotated)
round_half_away = compiled(formulas.round_half_away)
discretized = compiled(formulas.discretized)
tanh = compiled(formulas.tanh)
dorefa = compiled(formulas.dorefa)
polynomial = compiled(formulas.polynomial)
reflected = compiled(formulas.reflected)
pcm_target = compiled(formulas.pcm_target)
pcm_failed = compiled(formulas.pcm_failed)
pcm_noisy = compiled(formulas.pcm_noisy)

inline = numba.njit(error_model="numpy", forceinline=True)


def fused(function, uses=None, tag="", parallel=False):
    """``function`` compiled for CPUs with the names in ``uses`` bound; ``tag`` tells what they are."""
    copy = named_copy(function, uses, f"{tag}{parallel}")
    return numba.njit(copy, parallel=parallel, cache=True, error_model="numpy", nogil=True)


empty_like = np.empty_like
TABLE = byte_normals()
ROWS_A_TASK = 32
SERIAL_BELOW = 1 << 15  # crosspoints: fewer cost less than waking the threads

KEEP, ADD_NORMAL, MULT_NORMAL = int(Kind.KEEP), int(Kind.ADD_NORMAL), int(Kind.MULT_NORMAL)
DISCRETIZE, DISCRETIZE_ADD_NORMAL = int(Kind.DISCRETIZE), int(Kind.DISCRETIZE_ADD_NORMAL)
DOREFA, POLY, PROG_NOISE, PCM_NOISE = (
    int(Kind.DOREFA),
    int(Kind.POLY),
    int(Kind.PROG_NOISE),
    int(Kind.PCM_NOISE),
)
STD, RES, CLIP, P_DROP, G_MAX = (
    int(Slot.STD),
    int(Slot.RES),
    int(Slot.CLIP),
    int(Slot.P_DROP),
    int(Slot.G_MAX),
)
THRESHOLD, P_RESET, P_GMAX = int(Slot.THRESHOLD), int(Slot.P_RESET), int(Slot.P_GMAX)
P_RANDOM, LOG_AGE, SPREAD, COEFF = int(Slot.P_RANDOM), int(Slot.LOG_AGE), int(Slot.SPREAD), int(Slot.COEFF)
NORMAL, ROUND, DROP, FAIL_RESET = int(Extra.NORMAL), int(Extra.ROUND), int(Extra.DROP), int(Extra.FAIL_RESET)
PCM_NORMALS, FAIL_DRAWS = 3, 5  # as numbered in Extra: from NORMAL and from FAIL_RESET on
STREAM = np.uint32(int(Stream.MODIFIER) << 24)


class Row(NamedTuple):
    """Where a row's random numbers have their addresses, and room for their words."""

    k0: Any
    k1: Any
    row: Any
    tick: Any
    words: Any


@inline
def high_word(extra, tick):
    """The last counter word of a modifier's draw."""
    return np.uint32(STREAM | np.uint32(extra << 16) | np.uint32(tick >> 32))


@fused
def row_normals(xi, columns, own, extra):
    """Fast normals of one row; ``xi`` has room for whole counters of 16."""
    wide_vectors()
    counters = (columns + 15) // 16
    words, low = own.words, np.uint32(own.tick & 0xFFFFFFFF)
    row_words(words, counters, own.k0, own.k1, own.row, low, high_word(extra, own.tick))
    for k in range(4):
        base = 4 * k * counters
        for j in range(counters):
            word = words[k * counters + j]
            xi[base + j] = TABLE[word & np.uint32(0xFF)]
            xi[base + counters + j] = TABLE[(word >> np.uint32(8)) & np.uint32(0xFF)]
            xi[base + 2 * counters + j] = TABLE[(word >> np.uint32(16)) & np.uint32(0xFF)]
            xi[base + 3 * counters + j] = TABLE[word >> np.uint32(24)]
        for j in range(counters):
            a, b, c, d = rotated(
                xi[base + j],
                xi[base + counters + j],
                xi[base + 2 * counters + j],
                xi[base + 3 * counters + j],
            )
            xi[base + j] = a
            xi[base + counters + j] = b
            xi[base + 2 * counters + j] = c
            xi[base + 3 * counters + j] = d


@fused
def row_uniforms(u, columns, own, extra):
    """Uniform numbers of one row."""
    counters = (columns + 3) // 4
    words, low = own.words, np.uint32(own.tick & 0xFFFFFFFF)
    row_words(words, counters, own.k0, own.k1, own.row, low, high_word(extra, own.tick))
    for j in range(columns):
        u[j] = unit_interval(words[j])


@fused
def _row_poly(out, w, columns, values, scale, w_max, xi):
    c0, c1, c2 = values[COEFF], values[COEFF + 1], values[COEFF + 2]
    c3, c4, c5 = values[COEFF + 3], values[COEFF + 4], values[COEFF + 5]
    for j in range(columns):
        sigma = scale * polynomial(abs(w[j]) / w_max, c0, c1, c2, c3, c4, c5)
        out[j] = w[j] + w_max * sigma * xi[j]


@fused
def row_with_normals(out, w, columns, kind, stochastic, values, w_max, own, scratch):
    """One row of the types that need a normal for each weight, or nothing."""
    wide_vectors()
    if kind == KEEP:
        for j in range(columns):
            out[j] = w[j]
        return
    xi = scratch[0]
    row_normals(xi, columns, own, NORMAL)
    strength = values[STD] * w_max
    if kind == ADD_NORMAL:
        for j in range(columns):
            out[j] = w[j] + strength * xi[j]
    elif kind == MULT_NORMAL:
        for j in range(columns):
            out[j] = w[j] + strength * w[j] * xi[j]
    elif kind == POLY:
        _row_poly(out, w, columns, values, values[STD], w_max, xi)
    else:
        _row_poly(out, w, columns, values, values[STD] / values[G_MAX], w_max, xi)
        for j in range(columns):
            out[j] = reflected(w[j], out[j])


@fused
def row_on_grid(out, w, columns, kind, stochastic, values, w_max, own, scratch):
    """One row of the types that round."""
    xi, jitter = scratch[0], scratch[1]
    if stochastic:
        row_uniforms(jitter, columns, own, ROUND)
        for j in range(columns):
            jitter[j] = jitter[j] - np.float32(0.5)
    else:
        jitter[:] = np.float32(0.0)
    if kind == DOREFA:
        for j in range(columns):
            out[j] = dorefa(w[j], w_max, values[CLIP], values[RES], jitter[j])
        return
    for j in range(columns):
        out[j] = discretized(w[j], w_max, values[RES], jitter[j])
    if kind == DISCRETIZE_ADD_NORMAL:
        row_normals(xi, columns, own, NORMAL)
        strength = values[STD] * w_max
        for j in range(columns):
            out[j] = out[j] + strength * xi[j]


@fused
def row_of_pcm(out, w, columns, kind, stochastic, values, w_max, own, scratch):
    """One row of PCM_NOISE."""
    g, target = scratch[0], scratch[1]
    g_max = values[G_MAX]
    for j in range(columns):
        target[j] = pcm_target(w[j], w_max, g_max, values[THRESHOLD])
        g[j] = target[j]
    if values[P_RESET] + values[P_GMAX] + values[P_RANDOM] > np.float32(0.0):
        for k in range(FAIL_DRAWS):
            row_uniforms(scratch[2 + k], columns, own, FAIL_RESET + k)
        for j in range(columns):
            g[j] = pcm_failed(
                g[j], g_max, scratch[2, j], scratch[3, j], scratch[4, j],
                values[P_RESET], values[P_GMAX], values[P_RANDOM], scratch[5, j], scratch[6, j],
            )  # fmt: skip
    for k in range(PCM_NORMALS):
        row_normals(scratch[2 + k], columns, own, NORMAL + k)
    for j in range(columns):
        noisy = pcm_noisy(
            g[j], g_max, values[STD], values[LOG_AGE], values[SPREAD],
            scratch[2, j], scratch[3, j], scratch[4, j],
        )  # fmt: skip
        out[j] = reflected(target[j], noisy / g_max * w_max)


def modify_rows(out_OI, w_OI, first_row, last_row, kind, stochastic, keep_last, values, w_max, k0, k1, tick):
    """Rows ``first_row`` ... ``last_row`` - 1 of one tile as the mini-batch at ``tick`` sees them.

    ``out_OI`` [rows, in] receives them from its row 0 on; ``w_OI`` [out, in] is the whole tile.
    """
    columns = w_OI.shape[1]
    width = 16 * ((columns + 15) // 16)  # whole counters of normals
    words = np.empty(width, np.uint32)
    scratch = np.empty((7, width), np.float32)
    for row in range(first_row, last_row):
        out, w, own = out_OI[row - first_row], w_OI[row], Row(k0, k1, np.uint32(row), tick, words)
        rule(  # noqa: F821 - bound by _rows_kernel
            out, w, columns, kind, stochastic, values, w_max, own, scratch
        )
        if values[P_DROP] > np.float32(0.0):
            row_uniforms(scratch[0], columns, own, DROP)
            for j in range(columns):
                out[j] = np.float32(0.0) if scratch[0, j] < values[P_DROP] else out[j]
        if keep_last:
            out[columns - 1] = w[columns - 1]


def modify_bank(out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T):
    """All rows of all tiles."""
    tiles, rows, _ = w_TOI.shape
    parts = (rows + ROWS_A_TASK - 1) // ROWS_A_TASK
    for task in numba.prange(tiles * parts):
        t = task // parts
        first = (task % parts) * ROWS_A_TASK
        last = min(first + ROWS_A_TASK, rows)
        modify_rows(
            out_TOI[t, first:last], w_TOI[t], first, last, kind, stochastic, keep_last, values, w_max_T[t],
            keys_T2[t, 0], keys_T2[t, 1], tick,
        )  # fmt: skip


ROW_RULES = {
    **dict.fromkeys((KEEP, ADD_NORMAL, MULT_NORMAL, POLY, PROG_NOISE), row_with_normals),
    **dict.fromkeys((DISCRETIZE, DISCRETIZE_ADD_NORMAL, DOREFA), row_on_grid),
    PCM_NOISE: row_of_pcm,
}


def rows_kernel(kind):
    """``modify_rows`` for this kind of modifier: made to be called from a product's kernel, with rows that
    stay in the cache. Kinds of one family share it."""
    return _rows_kernel(ROW_RULES[int(kind)])


@functools.cache
def _rows_kernel(rule):
    return fused(modify_rows, {"rule": rule}, rule.py_func.__name__)


@functools.cache
def _bank_kernel(rule):
    return fused(modify_bank, {"modify_rows": _rows_kernel(rule)}, rule.py_func.__name__, parallel=True)


def modify(out_TOI, w_TOI, keys_T2, tick, plan, w_max_T):
    """Write the weights as the mini-batch at ``tick`` sees them."""
    tick, kind = np.int64(tick), int(plan.kind)
    settings = (kind, plan.stochastic, plan.keep_last, plan.values)
    if w_TOI.size >= SERIAL_BELOW:
        with PROCESSORS.call(w_TOI.size, SERIAL_BELOW):
            _bank_kernel(ROW_RULES[kind])(out_TOI, w_TOI, keys_T2, tick, *settings, w_max_T)
        return
    for out_OI, w_OI, (k0, k1), w_max in zip(out_TOI, w_TOI, keys_T2, w_max_T, strict=True):
        rows_kernel(kind)(out_OI, w_OI, 0, len(w_OI), *settings, w_max, k0, k1, tick)


@inline
def _largest_of_tile(w_OI, columns):
    bits = np.int32(0)
    for i in range(w_OI.shape[0]):
        row = w_OI[i].view(np.int32)
        for j in range(columns):
            bits = max(bits, np.int32(row[j] & np.int32(0x7FFFFFFF)))
    return bits


@functools.partial(fused, parallel=True)
def _largest_parallel(bits_TK, w_TOI, columns):
    tiles, parts = bits_TK.shape
    rows = (w_TOI.shape[1] + parts - 1) // parts
    for task in numba.prange(tiles * parts):
        t, k = task // parts, task % parts
        bits_TK[t, k] = _largest_of_tile(w_TOI[t, k * rows : (k + 1) * rows], columns)


def largest_magnitude(w_TOI, columns):
    """max |w| of the first ``columns`` columns of each tile [T]; NaN or infinity if one of them is."""
    if w_TOI.size < SERIAL_BELOW:
        return naive.largest_magnitude(w_TOI, columns)
    bits_TK = np.empty((w_TOI.shape[0], -(-w_TOI.shape[1] // ROWS_A_TASK)), np.int32)
    with PROCESSORS.call(w_TOI.size, SERIAL_BELOW):
        _largest_parallel(bits_TK, w_TOI, columns)
    return bits_TK.max(axis=1).view(np.float32)
