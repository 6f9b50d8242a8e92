"""The pulsed update on CPUs: threads over rows, each row's coincidences gathered, then applied in order.

For every vector the columns that fire are listed once. A row that fires meets all of them, so its
coincidences are that list (trains of one slot, the usual case) or what the AND of the trains leaves of
it. A row gathers the coincidences of many vectors, draws their noise in one vectorised loop, and then
steps its crosspoints in the order of the vectors.

The noise of a coincidence has the address (row, tick, ordinal of the coincidence in this row and
vector, by column); four ordinals share a call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange, types

from ..bind import rebind, with_float32_literals
from ..jit import callback, code_hash, kernel, named_copy
from ..rng import Stream, numba_math
from ..rng.cpu import normal_pair, philox4x32
from .cpu_trains import MAGNITUDE, OK, counter_top, plan_kernel, train_kernel
from .intrinsics import popcount

STEP_NOISE, WRITE_NOISE = int(Stream.STEP_NOISE), int(Stream.WRITE_NOISE)
CALLS = 512  # Philox calls that are computed in one go
CHUNK_LINES = 1 << 18  # lines whose trains are kept at a time, to stay in the cache
SERIAL_WORK = 200_000  # crosspoints times vectors that one thread does before another has begun
BLOCKS = 8  # parts that the rows are cut into, for the threads


@numba.njit(error_model="numpy", forceinline=True)
def coincidences(mode, train, d_code, length):
    """How many pulses a column's train and a row's code make."""
    level = np.uint32(d_code & MAGNITUDE)
    if mode <= 1:
        return np.int32(popcount(train & level))
    if mode == 2:
        return np.int32(np.rint(np.float32(train) * np.float32(level) / length))
    product = np.uint32(train).view(np.float32) * np.uint32(level).view(np.float32)
    return np.int32(np.rint(length * product))


@numba.njit(error_model="numpy")
def gather(columns_L, trains_L, n_columns, d_code, d_second, flip, length, mode, side, at, codes_E, counts_E):
    """Append a row's coincidences with one vector as events from ``at``; returns where they end."""
    for k in range(n_columns):
        column = columns_L[k]
        code = d_second if (mode == 1 and (column & 1) == 1) else d_code
        count = coincidences(mode, trains_L[k], code, length)
        event = column ^ flip
        if side == 1 and (event & 1) == 0:
            count = np.int32(0)
        if side == 2:
            count = np.int32(0) if (event & 1) == 1 else count
            event = event | 1
        codes_E[at] = event
        counts_E[at] = count
        at += count > 0
    return at


@numba.njit(error_model="numpy")
def draw_noise(k0, k1, c0_N, row, c2_N, c3, n, noise):
    """Four standard normals a call."""
    for i in range(n):
        a, b, c, d = philox4x32(k0, k1, c0_N[i], row, c2_N[i], c3)
        xi_0, xi_1 = normal_pair(a, b)
        xi_2, xi_3 = normal_pair(c, d)
        noise[4 * i] = xi_0
        noise[4 * i + 1] = xi_1
        noise[4 * i + 2] = xi_2
        noise[4 * i + 3] = xi_3


def step(w, up, n, xi, p, c):
    """Bound to a device's formula by ``applier``."""
    raise NotImplementedError


PARAMETERS = 0  # bound to the number of a device's parameters


def apply_segments(w_I, p_IP, c, codes_E, counts_E, segments, n_segments, noise, aggregates, w_E, p_PE):
    """Step the crosspoints of the events of all segments, in order."""
    for s in range(n_segments):
        first, stop, k = segments[s, 0], segments[s, 1], 4 * segments[s, 2]
        if segments[s, 4]:
            step_once(w_I, p_IP, c, codes_E[first:stop], noise[k:], w_E, p_PE)
            continue
        for e in range(first, stop):
            column = np.uint64(np.uint32(codes_E[e]) >> np.uint32(1))
            up = (codes_E[e] & np.int32(1)) != 0
            repeats = np.int32(1) if aggregates else counts_E[e]
            n = np.float32(counts_E[e]) if aggregates else np.float32(1.0)
            w = w_I[column]
            for _ in range(repeats):
                w = step(w, up, n, noise[k], p_IP[column], c)
                k += 1
            w_I[column] = w


def step_once(w_I, p_IP, c, codes_N, noise, w_E, p_PE):
    """Step the crosspoints of events that are all different, once each."""
    for e in range(codes_N.size):
        code = np.uint32(codes_N[e])
        column = np.uint64(code >> np.uint32(1))
        up = (code & np.uint32(1)) != 0
        w_I[column] = step(w_I[column], up, np.float32(1.0), noise[e], p_IP[column], c)


def step_gathered(w_I, p_IP, c, codes_N, noise, w_E, p_PE):
    """``step_once`` for steps that are worth vectorising: gather, step, scatter."""
    for e in range(codes_N.size):
        column = np.uint64(np.uint32(codes_N[e]) >> np.uint32(1))
        w_E[e] = w_I[column]
        for k in range(PARAMETERS):
            p_PE[k, e] = p_IP[column, k]
    for e in range(codes_N.size):
        up = (codes_N[e] & np.int32(1)) != 0
        w_E[e] = step(w_E[e], up, np.float32(1.0), noise[e], p_PE[:, e], c)
    for e in range(codes_N.size):
        w_I[np.uint64(np.uint32(codes_N[e]) >> np.uint32(1))] = w_E[e]


@numba.njit(error_model="numpy")
def count_events(counts_E, first, stop):
    """Pulses of events first..stop."""
    total = 0
    for e in range(first, stop):
        total += counts_E[e]
    return total


@numba.njit(error_model="numpy")
def pulse_row(
    apply, w_I, p_IP, c, seen_I, write_noise, k0, k1, row, d_codes_B, d_second_B, neg_rate, n_columns_B,
    columns_BI, trains_BI, lengths_B, mode, side, tick, extra, noisy, aggregates,
    hits_B, n_hits, codes_E, counts_E, c0_N, c2_N, noise, segments, last_I, w_E, p_PE,
):  # fmt: skip
    """All coincidences of one row with the vectors of a chunk; returns their number."""
    if write_noise > 0:
        last_I[:] = -1
    top = counter_top(STEP_NOISE, extra, tick)
    pulses, h = 0, 0
    while h < n_hits:
        events, calls, n_segments = 0, 0, 0
        while h < n_hits and calls < CALLS and n_segments < segments.shape[0]:
            b = hits_B[h]
            h += 1
            flip = np.int32(d_codes_B[b] >> np.uint32(31)) ^ neg_rate
            single = mode == 0 and lengths_B[b] == 1 and side == 0
            first = events
            if single:
                number = n_columns_B[b]
                columns_N, codes_N, flip_32 = columns_BI[b], codes_E[events:], np.int32(flip)
                for k in range(number):
                    codes_N[k] = columns_N[k] ^ flip_32
                events += number
                pulses += number
            else:
                events = gather(
                    columns_BI[b], trains_BI[b], n_columns_B[b], d_codes_B[b], d_second_B[b], flip,
                    np.float32(lengths_B[b]), mode, side, events, codes_E, counts_E,
                )  # fmt: skip
                total = count_events(counts_E, first, events)
                pulses += total
                number = events - first if aggregates else total
            if number == 0:
                continue
            n_calls = (number + 3) // 4
            low = np.uint32((tick + b) & 0xFFFFFFFF)
            c0_here, c2_here = c0_N[calls:], c2_N[calls:]
            for k in range(n_calls):
                c0_here[k] = k
                c2_here[k] = low
            segments[n_segments, 0], segments[n_segments, 1] = first, events
            segments[n_segments, 2], segments[n_segments, 3] = calls, b
            segments[n_segments, 4] = single
            calls += n_calls
            n_segments += 1
        if noisy:
            draw_noise(k0, k1, c0_N, np.uint32(row), c2_N, top, calls, noise)
        apply(
            w_I, p_IP, c, codes_E, counts_E, segments, n_segments, noise, aggregates, w_E, p_PE
        )  # fmt: skip
        if write_noise > 0:
            note_last(codes_E, segments, n_segments, last_I)
    if write_noise > 0:
        see_pulsed(w_I, seen_I, write_noise, last_I, k0, k1, row, tick, extra)
    return pulses


@numba.njit(error_model="numpy")
def note_last(codes_E, segments, n_segments, last_I):
    """Note the last vector that pulsed each crosspoint."""
    for s in range(n_segments):
        for e in range(segments[s, 0], segments[s, 1]):
            last_I[codes_E[e] >> 1] = segments[s, 3]


@numba.njit(error_model="numpy")
def find_hits(d_codes_BO, d_second_BO, n_columns_B, vectors, first, rows, hits_RB, n_hits_R):
    """For each of ``rows`` rows from ``first``: the vectors in which it fires while a column does."""
    n_hits_R[:rows] = 0
    for b in range(vectors):
        if n_columns_B[b] == 0:
            continue
        codes_O, second_O = d_codes_BO[b], d_second_BO[b]
        for r in range(rows):
            hits_RB[r, n_hits_R[r]] = b
            code = (codes_O[first + r] | second_O[first + r]) & MAGNITUDE
            n_hits_R[r] += np.int32(code != 0)


@numba.njit(error_model="numpy")
def see_pulsed(w_I, seen_I, write_noise, last_I, k0, k1, row, tick, extra):
    """Redraw the weight that is seen of each crosspoint that was pulsed, at its last vector's tick."""
    top = counter_top(WRITE_NOISE, extra, tick)
    for column in range(w_I.size):
        if last_I[column] >= 0:
            low = np.uint32((tick + last_I[column]) & 0xFFFFFFFF)
            a, b, _, _ = philox4x32(k0, k1, np.uint32(column), np.uint32(row), low, top)
            xi, _ = normal_pair(a, b)
            seen_I[column] = w_I[column] + write_noise * xi


def step_rows(
    apply, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TBI, trains_TBI, n_columns_TB,
    d_codes_TBO,
    d_second_TBO, lengths_TB, start, vectors, longest, mode, neg_rate, side, tick, extra, noisy, aggregates,
    pulses_T,
):  # fmt: skip
    """Apply the coincidences of a chunk of vectors, from vector ``start``, to all rows of all tiles."""
    tiles, rows, columns = w_TOI.shape
    block = max(1, min((rows * tiles + BLOCKS - 1) // BLOCKS, rows))
    blocks = (rows + block - 1) // block
    block_pulses = np.zeros(tiles * blocks, np.int64)
    for task in prange(tiles * blocks):
        t = task // blocks
        first = (task - t * blocks) * block
        here = min(block, rows - first)
        room = CALLS + (columns * (1 if aggregates else longest)) // 4 + 1
        hits, n_hits = np.empty((here, vectors + 1), np.int32), np.empty(here, np.int32)
        codes_E = np.empty(4 * CALLS + columns + 1, np.int32)
        counts_E = np.empty(4 * CALLS + columns + 1, np.int32)
        c0, c2 = np.empty(room, np.uint32), np.empty(room, np.uint32)
        noise = np.zeros(4 * room, np.float32)
        segments = np.empty((CALLS, 5), np.int32)
        last = np.empty(columns if write_noise > 0 else 1, np.int32)
        w_E, p_PE = np.empty(columns, np.float32), np.empty((p_TOIP.shape[3], columns), np.float32)
        find_hits(d_codes_TBO[t], d_second_TBO[t], n_columns_TB[t], vectors, first, here, hits, n_hits)
        for r in range(here):
            row = first + r
            block_pulses[task] += pulse_row(
                apply, w_TOI[t, row], p_TOIP[t, row], c, seen_TOI[t, row], write_noise, keys_T2[t, 0],
                keys_T2[t, 1], row, d_codes_TBO[t, :vectors, row], d_second_TBO[t, :vectors, row], neg_rate,
                n_columns_TB[t],
                columns_TBI[t], trains_TBI[t], lengths_TB[t, start:], mode, side, tick, extra, noisy,
                aggregates, hits[r], n_hits[r], codes_E, counts_E, c0, c2, noise, segments, last, w_E, p_PE,
            )  # fmt: skip
    for task in range(tiles * blocks):
        pulses_T[task // blocks] += block_pulses[task]


_FLOATS, _INTS = types.float32[::1], types.int32[::1]
_FLOAT_ROWS, _INT_ROWS = types.float32[:, ::1], types.int32[:, ::1]
_APPLY = types.void(
    _FLOATS, _FLOAT_ROWS, _FLOATS, _INTS, _INTS, _INT_ROWS, types.int64, _FLOATS, types.boolean, _FLOATS,
    _FLOAT_ROWS,
)  # fmt: skip


_TILES, _WORDS, _CODES = types.float32[:, :, ::1], types.uint32[:, :, ::1], types.int32[:, :, ::1]
_N = types.int64
_STEP_ROWS = types.void(
    types.FunctionType(_APPLY), _TILES, types.float32[:, :, :, ::1], _FLOATS, _TILES, types.float32,
    types.uint32[:, ::1], _CODES, _WORDS, _INT_ROWS, _WORDS, _WORDS, _INT_ROWS, _N, _N, _N, _N, _N, _N, _N,
    _N, types.boolean, types.boolean, types.int64[::1],
)  # fmt: skip


@functools.cache
def applier(formula: Callable[..., Any], parameters: int, blockwise: bool) -> Any:
    """``apply_segments`` for devices of so many ``parameters`` that step by ``formula``."""
    inline = numba.njit(error_model="numpy", forceinline=True)
    bound = with_float32_literals(rebind(formula, numba_math))
    tag = f"{code_hash(bound)} {parameters} {blockwise}"
    own = {"step": inline(bound), "PARAMETERS": parameters}
    once = step_gathered if blockwise else step_once
    own["step_once"] = inline(named_copy(once, own, tag))
    return callback(apply_segments, _APPLY, own, tag)


@functools.cache
def step_kernel() -> Callable[..., Any]:
    """``step_rows``, compiled."""
    return kernel(step_rows, _STEP_ROWS, parallel=True)


def run(device: Any, arguments: tuple[Any, ...]) -> int:
    """The update with as many threads as it is worth; adds to ``pulses_T``, returns OK or what is wrong."""
    if arguments[0].size * arguments[7].shape[1] >= SERIAL_WORK:
        return update(device, arguments)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return update(device, arguments)
    finally:
        numba.set_num_threads(threads)


def update(device: Any, arguments: tuple[Any, ...]) -> int:
    """Pulse all vectors in order into every tile; adds to ``pulses_T`` and returns OK or what is wrong."""
    (
        w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, train_keys_T2, x_XBI, x_of_T, d_DBO, d_of_T,
        active_TB, rule, rate, granularity, tick, extra, side, noisy, aggregates, pulses_T,
    ) = arguments  # fmt: skip
    tiles, rows, columns = w_TOI.shape
    vectors = x_XBI.shape[1]
    lengths_TB = np.empty((tiles, vectors), np.int32)
    scales_2TB = np.empty((2, tiles, vectors), np.float32)
    status, longest = plan_kernel()(
        x_XBI, x_of_T, d_DBO, d_of_T, active_TB, rule, abs(rate), granularity, lengths_TB, scales_2TB
    )
    if status != OK:
        return status
    apply = applier(type(device).step, p_TOIP.shape[3], type(device).blockwise)
    make_chunk, step_chunk = train_kernel(), step_kernel()
    widest = max(rows, columns)
    size = min(vectors, max(CHUNK_LINES // (tiles * widest), widest // 16, 8))
    trains = [np.empty((tiles, size, n), np.uint32) for n in (columns, columns, rows)]
    second = np.empty_like(trains[2]) if rule.mode == 1 else trains[2]
    fire = np.empty((tiles, size, columns), np.int32)
    n_columns = np.empty((tiles, size), np.int32)
    start = 0
    while start < vectors:
        same_top = ((tick + start) | 0xFFFFFFFF) + 1 - tick
        stop = min(start + size, vectors, same_top)
        make_chunk(
            x_XBI, x_of_T, d_DBO, d_of_T, lengths_TB, scales_2TB, start, stop, rule, train_keys_T2, tick,
            extra, trains[0], fire, trains[1], n_columns, trains[2], second,
        )  # fmt: skip
        step_chunk(
            apply, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, fire, trains[1], n_columns, trains[2],
            second, lengths_TB, start, stop - start, longest, rule.mode, int(rate < 0),
            side, tick + start, extra,
            noisy, aggregates, pulses_T,
        )  # fmt: skip
        start = stop
    return OK
