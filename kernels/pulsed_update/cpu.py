"""The pulsed update on CPUs: threads over rows, each row's coincidences gathered, then applied in order.

For every vector the columns that fire are listed once. A row that fires meets all of them, so its
coincidences are that list (trains of one slot, the usual case) or what the AND of the trains leaves of
it. A row gathers the coincidences of many vectors, draws their noise in one vectorised loop, and then
steps its crosspoints in the order of the vectors.

The noise of a coincidence has the address (row, tick, ordinal of the coincidence in this row and
vector, by column); of n ordinals number k is word k // calls of call k % calls, calls = ceil(n / 4).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange

from ..bind import rebind, with_float32_literals
from ..jit import code_hash, kernel
from ..rng import Stream, numba_math
from ..rng.cpu import normal_pair, philox4x32
from .cpu_trains import MAGNITUDE, OK, counter_top, plan_kernel, train_kernel
from .intrinsics import popcount

STEP_NOISE, WRITE_NOISE = int(Stream.STEP_NOISE), int(Stream.WRITE_NOISE)
CALLS = 512  # Philox calls that are computed in one go
CHUNK_LINES = 1 << 18  # lines whose trains are kept at a time, to stay in the cache
SERIAL_WORK = 20_000  # below this many crosspoint-vectors threads cost more than they give


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
def draw_noise(k0, k1, c0_N, row, c2_N, c3, n, noise_4N):
    """Four standard normals a call."""
    for i in range(n):
        a, b, c, d = philox4x32(k0, k1, c0_N[i], row, c2_N[i], c3)
        noise_4N[0, i], noise_4N[1, i] = normal_pair(a, b)
        noise_4N[2, i], noise_4N[3, i] = normal_pair(c, d)


def step(w, up, n, xi, p, c):
    """Bound to a device's formula by ``update_kernel``."""
    raise NotImplementedError


def apply_single(w_I, p_IP, c, codes_E, start, stop, noise_4N, call, calls):
    """Step the crosspoints of events start..stop once each."""
    one = np.float32(1.0)
    for q in range(4):
        first = start + q * calls
        for e in range(first, min(first + calls, stop)):
            column = codes_E[e] >> 1
            up = (codes_E[e] & 1) == 1
            w_I[column] = step(w_I[column], up, one, noise_4N[q, call + e - first], p_IP[column], c)


def apply_counted(w_I, p_IP, c, codes_E, counts_E, start, stop, noise_4N, call, calls, aggregates):
    """Step the crosspoints of events start..stop as often as each counts."""
    q, k = 0, call
    for e in range(start, stop):
        column = codes_E[e] >> 1
        up = (codes_E[e] & 1) == 1
        repeats = 1 if aggregates else counts_E[e]
        n = np.float32(counts_E[e]) if aggregates else np.float32(1.0)
        w = w_I[column]
        for _ in range(repeats):
            w = step(w, up, n, noise_4N[q, k], p_IP[column], c)
            k += 1
            if k == call + calls:
                q, k = q + 1, call
        w_I[column] = w
    return 0


def pulse_row(
    w_I, p_IP, c, seen_I, write_noise, k0, k1, row, d_codes_B, d_second_B, neg_rate, n_columns_B,
    columns_BI, trains_BI, lengths_B, start, mode, side, tick, extra, noisy, aggregates,
    vectors_B, codes_E, counts_E, c0_N, c2_N, noise_4N, segments, last_I,
):  # fmt: skip
    """All coincidences of one row with the vectors of a chunk; returns their number."""
    hits = 0
    for b in range(vectors_B.size):
        vectors_B[hits] = b
        hit = (d_codes_B[b] & MAGNITUDE) | (d_second_B[b] & MAGNITUDE)
        hits += (hit != 0) & (n_columns_B[b] > 0)
    if write_noise > 0:
        last_I[:] = -1
    top = counter_top(STEP_NOISE, extra, tick + start)
    pulses, h = 0, 0
    while h < hits:
        events, calls, n_segments = 0, 0, 0
        while h < hits and calls < CALLS and n_segments < segments.shape[0]:
            b = vectors_B[h]
            h += 1
            n_columns = n_columns_B[b]
            code = d_codes_B[b]
            flip = np.int32(code >> np.uint32(31)) ^ neg_rate
            single = mode == 0 and lengths_B[start + b] == 1 and side == 0
            first = events
            if single:
                for k in range(n_columns):
                    codes_E[events + k] = columns_BI[b, k] ^ flip
                events += n_columns
                number = n_columns
                pulses += number
            else:
                events = gather(
                    columns_BI[b], trains_BI[b], n_columns, code, d_second_B[b], flip,
                    np.float32(lengths_B[start + b]), mode, side, events, codes_E, counts_E,
                )  # fmt: skip
                total = 0
                for e in range(first, events):
                    total += counts_E[e]
                pulses += total
                number = events - first if aggregates else total
            if number == 0:
                continue
            n_calls = (number + 3) // 4
            for k in range(n_calls):
                c0_N[calls + k] = k
                c2_N[calls + k] = (tick + start + b) & 0xFFFFFFFF
            segments[n_segments, 0] = first
            segments[n_segments, 1] = events
            segments[n_segments, 2] = calls
            segments[n_segments, 3] = n_calls
            segments[n_segments, 4] = b
            segments[n_segments, 5] = single
            calls += n_calls
            n_segments += 1
        if noisy:
            draw_noise(k0, k1, c0_N, np.uint32(row), c2_N, top, calls, noise_4N)
        for s in range(n_segments):
            first, stop, call, n_calls = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
            if segments[s, 5]:
                apply_single(w_I, p_IP, c, codes_E, first, stop, noise_4N, call, n_calls)
            else:
                apply_counted(
                    w_I, p_IP, c, codes_E, counts_E, first, stop, noise_4N, call, n_calls, aggregates
                )
            if write_noise > 0:
                for e in range(first, stop):
                    last_I[codes_E[e] >> 1] = segments[s, 4]
    if write_noise > 0:
        see_pulsed(w_I, seen_I, write_noise, last_I, k0, k1, row, tick + start, extra)
    return pulses


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
    w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TBI, trains_TBI, n_columns_TB, d_codes_TBO,
    d_second_TBO, lengths_TB, start, vectors, longest, mode, neg_rate, side, tick, extra, noisy, aggregates,
    pulses_T,
):  # fmt: skip
    """Apply the coincidences of a chunk of vectors to all rows of all tiles."""
    tiles, rows, columns = w_TOI.shape
    block = max(1, (tiles * rows + 15) // 16)
    blocks = (tiles * rows + block - 1) // block
    block_pulses = np.zeros((blocks, tiles), np.int64)
    for task in prange(blocks):
        room = CALLS + (columns * (1 if aggregates else longest)) // 4 + 1
        hits = np.empty(vectors, np.int32)
        codes_E = np.empty(4 * CALLS + columns + 1, np.int32)
        counts_E = np.empty(4 * CALLS + columns + 1, np.int32)
        c0, c2 = np.empty(room, np.uint32), np.empty(room, np.uint32)
        noise = np.zeros((4, room), np.float32)
        segments = np.empty((CALLS, 6), np.int32)
        last = np.empty(columns if write_noise > 0 else 1, np.int32)
        for r in range(task * block, min((task + 1) * block, tiles * rows)):
            t = r // rows
            row = r - t * rows
            block_pulses[task, t] += pulse_row(
                w_TOI[t, row], p_TOIP[t, row], c, seen_TOI[t, row], write_noise, keys_T2[t, 0], keys_T2[t, 1],
                row, d_codes_TBO[t, :vectors, row], d_second_TBO[t, :vectors, row], neg_rate, n_columns_TB[t],
                columns_TBI[t], trains_TBI[t], lengths_TB[t], start, mode, side, tick, extra, noisy, aggregates,
                hits, codes_E, counts_E, c0, c2, noise, segments, last,
            )  # fmt: skip
    for task in range(blocks):
        for t in range(tiles):
            pulses_T[t] += block_pulses[task, t]


@functools.cache
def step_kernel(formula: Callable[..., Any], parallel: bool) -> Callable[..., Any]:
    """``step_rows`` for devices that step by ``formula``."""
    bound = with_float32_literals(rebind(formula, numba_math))
    stepper = numba.njit(error_model="numpy", forceinline=True)(bound)
    tag = code_hash(bound)
    single = kernel(apply_single, uses={"step": stepper}, tag=tag)
    counted = kernel(apply_counted, uses={"step": stepper}, tag=tag)
    row = kernel(pulse_row, uses={"apply_single": single, "apply_counted": counted}, tag=tag)
    return kernel(step_rows, parallel=parallel, uses={"pulse_row": row}, tag=tag)


def run(formula: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    """Pulse all vectors in order into every tile; adds to ``pulses_T`` and returns OK or what is wrong."""
    (
        w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, train_keys_T2, x_XBI, x_of_T, d_DBO, d_of_T,
        active_TB, rule, rate, granularity, tick, extra, side, noisy, aggregates, pulses_T,
    ) = arguments  # fmt: skip
    tiles, rows, columns = w_TOI.shape
    vectors = x_XBI.shape[1]
    threads = w_TOI.size * vectors >= SERIAL_WORK
    lengths_TB = np.empty((tiles, vectors), np.int32)
    scales_2TB = np.empty((2, tiles, vectors), np.float32)
    status, longest = plan_kernel()(
        x_XBI, x_of_T, d_DBO, d_of_T, active_TB, rule, abs(rate), granularity, lengths_TB, scales_2TB
    )
    if status != OK:
        return status
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
        train_kernel(threads)(
            x_XBI, x_of_T, d_DBO, d_of_T, lengths_TB, scales_2TB, start, stop, rule, train_keys_T2, tick, extra,
            trains[0], fire, trains[1], n_columns, trains[2], second,
        )  # fmt: skip
        step_kernel(formula, threads)(
            w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, fire, trains[1], n_columns, trains[2], second,
            lengths_TB, start, stop - start, longest, rule.mode, int(rate < 0), side, tick, extra, noisy,
            aggregates, pulses_T,
        )  # fmt: skip
        start = stop
    return OK
