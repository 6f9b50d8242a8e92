"""Weight modifiers for numba: draw and modify in one pass, a row at a time in the first-level cache."""

from __future__ import annotations

import numba
import numpy as np

from ...rng import Stream
from ...rng.cpu import compiled, natural_log, unit_interval
from ..draws.cpu import inline, row_words
from . import formulas
from .plan import Extra, Kind, Slot, byte_normals

rotated = compiled(formulas.rotated)
round_half_away = compiled(formulas.round_half_away)
discretized = compiled(formulas.discretized, round_half_away=round_half_away)
tanh = compiled(formulas.tanh)
dorefa = compiled(formulas.dorefa, tanh=tanh, round_half_away=round_half_away)
polynomial = compiled(formulas.polynomial)
reflected = compiled(formulas.reflected)
pcm_target = compiled(formulas.pcm_target)
pcm_failed = compiled(formulas.pcm_failed)
pcm_noisy = compiled(formulas.pcm_noisy, natural_log=natural_log)

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
NORMAL, NORMAL_DRIFT, NORMAL_READ = int(Extra.NORMAL), int(Extra.NORMAL_DRIFT), int(Extra.NORMAL_READ)
ROUND, DROP, FAIL_RESET, FAIL_GMAX = (
    int(Extra.ROUND),
    int(Extra.DROP),
    int(Extra.FAIL_RESET),
    int(Extra.FAIL_GMAX),
)
FAIL_RANDOM, FAIL_SIDE, FAIL_LEVEL = int(Extra.FAIL_RANDOM), int(Extra.FAIL_SIDE), int(Extra.FAIL_LEVEL)
STREAM = np.uint32(int(Stream.MODIFIER) << 24)


@inline
def high_word(extra, tick):
    """The last counter word of a modifier's draw."""
    return np.uint32(STREAM | np.uint32(extra << 16) | np.uint32(tick >> 32))


@inline
def row_normals(xi, words, columns, k0, k1, row, tick, extra):
    """Fast normals of one row; ``xi`` has room for whole counters of 16."""
    counters = (columns + 15) // 16
    row_words(words, counters, k0, k1, row, np.uint32(tick & 0xFFFFFFFF), high_word(extra, tick))
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


@inline
def row_uniforms(u, words, columns, k0, k1, row, tick, extra):
    """Uniform numbers of one row."""
    counters = (columns + 3) // 4
    row_words(words, counters, k0, k1, row, np.uint32(tick & 0xFFFFFFFF), high_word(extra, tick))
    for j in range(columns):
        u[j] = unit_interval(words[j])


@inline
def scratch_size(columns):
    """Room for one row of whole counters."""
    return 16 * ((columns + 15) // 16)


@inline
def modify_row(out, w, columns, kind, stochastic, values, w_max, k0, k1, row, tick, words, scratch):
    """One row as the mini-batch sees it. ``words`` [scratch_size], ``scratch`` [8, scratch_size]."""
    if kind in (ADD_NORMAL, MULT_NORMAL, POLY, PROG_NOISE):
        row_normals(scratch[0], words, columns, k0, k1, row, tick, NORMAL)
        _row_normal(out, w, columns, kind, values, w_max, scratch[0])
    elif kind in (DISCRETIZE, DISCRETIZE_ADD_NORMAL, DOREFA):
        _row_grid(out, w, columns, kind, stochastic, values, w_max, k0, k1, row, tick, words, scratch)
    elif kind == PCM_NOISE:
        _row_pcm(out, w, columns, values, w_max, k0, k1, row, tick, words, scratch)
    else:
        for j in range(columns):
            out[j] = w[j]
    if values[P_DROP] > np.float32(0.0):
        row_uniforms(scratch[0], words, columns, k0, k1, row, tick, DROP)
        for j in range(columns):
            out[j] = np.float32(0.0) if scratch[0, j] < values[P_DROP] else out[j]


@inline
def _row_normal(out, w, columns, kind, values, w_max, xi):
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


@numba.njit(error_model="numpy", cache=True)
def _row_poly(out, w, columns, values, scale, w_max, xi):
    c0, c1, c2 = values[COEFF], values[COEFF + 1], values[COEFF + 2]
    c3, c4, c5 = values[COEFF + 3], values[COEFF + 4], values[COEFF + 5]
    for j in range(columns):
        sigma = scale * polynomial(abs(w[j]) / w_max, c0, c1, c2, c3, c4, c5)
        out[j] = w[j] + w_max * sigma * xi[j]


@numba.njit(error_model="numpy", cache=True)
def _row_grid(out, w, columns, kind, stochastic, values, w_max, k0, k1, row, tick, words, scratch):
    xi, jitter = scratch[0], scratch[1]
    if stochastic:
        row_uniforms(jitter, words, columns, k0, k1, row, tick, ROUND)
        for j in range(columns):
            jitter[j] = jitter[j] - np.float32(0.5)
    else:
        jitter[:] = np.float32(0.0)
    if kind == DOREFA:
        for j in range(columns):
            out[j] = dorefa(w[j], w_max, values[CLIP], values[RES], jitter[j])
        return
    if kind == DISCRETIZE:
        for j in range(columns):
            out[j] = discretized(w[j], w_max, values[RES], jitter[j])
        return
    row_normals(xi, words, columns, k0, k1, row, tick, NORMAL)
    strength = values[STD] * w_max
    for j in range(columns):
        out[j] = discretized(w[j], w_max, values[RES], jitter[j]) + strength * xi[j]


@numba.njit(error_model="numpy", cache=True)
def _row_pcm(out, w, columns, values, w_max, k0, k1, row, tick, words, scratch):
    g, target = scratch[0], scratch[1]
    g_max = values[G_MAX]
    for j in range(columns):
        target[j] = pcm_target(w[j], w_max, g_max, values[THRESHOLD])
        g[j] = target[j]
    if values[P_RESET] + values[P_GMAX] + values[P_RANDOM] > np.float32(0.0):
        row_uniforms(scratch[2], words, columns, k0, k1, row, tick, FAIL_RESET)
        row_uniforms(scratch[3], words, columns, k0, k1, row, tick, FAIL_GMAX)
        row_uniforms(scratch[4], words, columns, k0, k1, row, tick, FAIL_RANDOM)
        row_uniforms(scratch[5], words, columns, k0, k1, row, tick, FAIL_SIDE)
        row_uniforms(scratch[6], words, columns, k0, k1, row, tick, FAIL_LEVEL)
        for j in range(columns):
            g[j] = pcm_failed(
                g[j], g_max, scratch[2, j], scratch[3, j], scratch[4, j],
                values[P_RESET], values[P_GMAX], values[P_RANDOM], scratch[5, j], scratch[6, j],
            )  # fmt: skip
    row_normals(scratch[2], words, columns, k0, k1, row, tick, NORMAL)
    row_normals(scratch[3], words, columns, k0, k1, row, tick, NORMAL_DRIFT)
    row_normals(scratch[4], words, columns, k0, k1, row, tick, NORMAL_READ)
    for j in range(columns):
        noisy = pcm_noisy(
            g[j],
            g_max,
            values[STD],
            values[LOG_AGE],
            values[SPREAD],
            scratch[2, j],
            scratch[3, j],
            scratch[4, j],
        )
        out[j] = reflected(target[j], noisy / g_max * w_max)


@numba.njit(error_model="numpy", cache=True, nogil=True)
def modify_rows(out_OI, w_OI, first_row, last_row, kind, stochastic, keep_last, values, w_max, k0, k1, tick):
    """Rows ``first_row`` ... ``last_row`` - 1 of one tile as the mini-batch at ``tick`` sees them.

    ``out_OI`` [rows, in] receives them from its row 0 on; ``w_OI`` [out, in] is the whole tile. Made to be
    called from a product's kernel with an ``out_OI`` that stays in the cache.
    """
    columns = w_OI.shape[1]
    width = scratch_size(columns)
    words = np.empty(width, np.uint32)
    scratch = np.empty((8, width), np.float32)
    for row in range(first_row, last_row):
        out, w = out_OI[row - first_row], w_OI[row]
        modify_row(
            out, w, columns, kind, stochastic, values, w_max, k0, k1, np.uint32(row), tick, words, scratch
        )
        if keep_last:
            out[columns - 1] = w[columns - 1]


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _modify_task(task, out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T):
    rows = w_TOI.shape[1]
    tasks_a_tile = (rows + ROWS_A_TASK - 1) // ROWS_A_TASK
    t = task // tasks_a_tile
    first = (task % tasks_a_tile) * ROWS_A_TASK
    last = min(first + ROWS_A_TASK, rows)
    modify_rows(
        out_TOI[t, first:last], w_TOI[t], first, last, kind, stochastic, keep_last, values, w_max_T[t],
        keys_T2[t, 0], keys_T2[t, 1], tick,
    )  # fmt: skip


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _modify_serial(tasks, out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T):
    for task in range(tasks):
        _modify_task(task, out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T)


@numba.njit(error_model="numpy", cache=True, parallel=True)
def _modify_parallel(tasks, out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T):
    for task in numba.prange(tasks):
        _modify_task(task, out_TOI, w_TOI, keys_T2, tick, kind, stochastic, keep_last, values, w_max_T)


def modify(out_TOI, w_TOI, keys_T2, tick, plan, w_max_T):
    """Write the weights as the mini-batch at ``tick`` sees them."""
    tasks = w_TOI.shape[0] * -(-w_TOI.shape[1] // ROWS_A_TASK)
    kernel = _modify_serial if w_TOI.size < SERIAL_BELOW else _modify_parallel
    kernel(
        tasks, out_TOI, w_TOI, keys_T2, np.int64(tick), int(plan.kind), plan.stochastic, plan.keep_last,
        plan.values, w_max_T,
    )  # fmt: skip


@inline
def _largest_of_tile(w_OI, columns):
    bits = np.int32(0)
    for i in range(w_OI.shape[0]):
        row = w_OI[i].view(np.int32)
        for j in range(columns):
            bits = max(bits, np.int32(row[j] & np.int32(0x7FFFFFFF)))
    return bits


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _largest_serial(bits_T, w_TOI, columns):
    for t in range(w_TOI.shape[0]):
        bits_T[t] = _largest_of_tile(w_TOI[t], columns)


@numba.njit(error_model="numpy", cache=True, parallel=True)
def _largest_parallel(bits_TK, w_TOI, columns):
    tiles, parts = bits_TK.shape
    rows = (w_TOI.shape[1] + parts - 1) // parts
    for task in numba.prange(tiles * parts):
        t, k = task // parts, task % parts
        bits_TK[t, k] = _largest_of_tile(w_TOI[t, k * rows : (k + 1) * rows], columns)


def largest_magnitude(w_TOI, columns):
    """max |w| of the first ``columns`` columns of each tile [T]; NaN or infinity if one of them is."""
    if w_TOI.size < SERIAL_BELOW:
        bits_T = np.empty(w_TOI.shape[0], np.int32)
        _largest_serial(bits_T, w_TOI, columns)
    else:
        bits_TK = np.empty((w_TOI.shape[0], -(-w_TOI.shape[1] // ROWS_A_TASK)), np.int32)
        _largest_parallel(bits_TK, w_TOI, columns)
        bits_T = bits_TK.max(axis=1)
    return bits_T.view(np.float32)
