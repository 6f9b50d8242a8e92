"""The pulsed update on the CPU: rows in parallel, a row's coincidences gathered before they are applied.

The trains of all vectors come first (``cpu_trains``): for each vector the columns that fire, those of
positive inputs and those of negative ones apart, and a code for each row. A row then walks the vectors in
which it fires. Segments are collected until their noise fills a buffer, the noise is drawn in one
vectorised go, and the steps are applied in order (``cpu_steps``).
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange

from ..jit import data_of, kernel
from ..rng import Stream
from ..rng.cpu import normal_pair, philox4x32
from .cpu_steps import (
    COUNT,
    FEW,
    FIRST,
    HALF,
    LANES,
    NOISE,
    ROW,
    SINGLE,
    UP,
    VECTOR,
    applier,
    applier_at,
    inline,
)
from .cpu_trains import MAGNITUDE, OK, counter_top, make_chunk, plan
from .intrinsics import EIGHT, popcount, prefetch
from .rule import Looks

STEP_NOISE, WRITE_NOISE = int(Stream.STEP_NOISE), int(Stream.WRITE_NOISE)
PAIRS = 1024  # of normals that are drawn in one go: they stay in the first-level cache
NORMALS = 8  # of one Philox call
CHUNK_LINES = 1 << 18  # lines whose trains are kept at a time, to stay in the cache
SERIAL_WORK = 1_000_000  # crosspoints times vectors that one thread does before another has begun
NEAR, LINE = 1 << 17, 16  # numbers in a second-level cache, and in a line of it
TASKS_A_THREAD = 4  # parts that the rows are cut into


@inline
def coincidences(mode, train, d_level, length):
    """How many pulses a column's train and a row's make."""
    if mode <= 1:
        return np.int32(popcount(train & d_level))
    if mode == 2:
        return np.int32(np.rint(np.float32(train) * np.float32(d_level) / length))
    product = np.uint32(train).view(np.float32) * np.uint32(d_level).view(np.float32)
    return np.int32(np.rint(length * product))


@inline
def gather(columns_L, trains_L, n_columns, d_level, length, mode, at, events_E, counts_E):
    """Append a row's coincidences with one vector's columns as events from ``at``; returns where they end."""
    for k in range(n_columns):
        count = coincidences(mode, trains_L[k], d_level, length)
        events_E[at] = columns_L[k]
        counts_E[at] = count
        at += count > 0
    return at


@numba.njit(error_model="numpy")
def draw_noise(k0, k1, calls_4N, c3, n, words, noise):
    """Two standard normals a word: of each call as many words as calls_4N[3] says, one after the other."""
    for i in range(n):
        a, b, c, d = philox4x32(k0, k1, calls_4N[0, i], calls_4N[1, i], calls_4N[2, i], c3)
        words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3] = a, b, c, d
    pairs = 0
    for i in range(n):
        for word in range(4):
            words[pairs + word] = words[4 * i + word]
        pairs += calls_4N[3, i]
    for i in range(pairs):
        noise[2 * i], noise[2 * i + 1] = normal_pair(words[i])


@inline
def address_noise(normals, row, low, calls_4N, calls, pairs):
    """Append the calls of one row's and vector's normals; returns (calls, pairs)."""
    more = (normals + NORMALS - 1) // NORMALS
    for call in range(more):
        at = np.uint64(calls + call)
        calls_4N[0, at], calls_4N[1, at], calls_4N[2, at] = call, row, low
        calls_4N[3, at] = min(np.int64(4), (normals - NORMALS * call + 1) // 2)
    return calls + more, pairs + (normals + 1) // 2


@numba.njit(error_model="numpy")
def find_hits(d_codes_BO, d_second_BO, n_columns_B2, vectors, first, rows, hits_RB, n_hits_R):
    """For each of ``rows`` rows from ``first``: the vectors in which it fires while a column does."""
    n_hits_R[:rows] = 0
    hits, n_hits, room = data_of(hits_RB), data_of(n_hits_R), hits_RB.shape[1]
    codes, second, lines = data_of(d_codes_BO), data_of(d_second_BO), d_codes_BO.shape[1]
    for b in range(vectors):
        if n_columns_B2[b, 0] + n_columns_B2[b, 1] == 0:
            continue
        at = b * lines + first
        for r in range(rows):
            hits[r * room + n_hits[r]] = b
            n_hits[r] += np.int32((codes[at + r] | second[at + r]) & MAGNITUDE != 0)


@numba.njit(error_model="numpy")
def make_buffers(rows, columns, vectors, longest, aggregates, noisy, remembers, parameters, in_turns):
    """What one thread works in; see where ``pulse_rows`` unpacks it."""
    events = 2 * PAIRS + columns + 1
    calls = PAIRS + (columns * (1 if aggregates else longest) + LANES) // NORMALS + 1
    lanes = max(columns, events if in_turns else 0) + LANES
    noise = np.empty(2 * PAIRS + columns * (1 if aggregates else longest) + LANES, np.float32)
    if not noisy:
        noise[:] = np.float32(0.0)
    return (
        np.empty((rows, vectors + 1), np.int32), np.empty(rows, np.int32), np.empty(events, np.int32),
        np.empty(events, np.int32), np.empty((4, calls), np.uint32), np.empty(4 * calls, np.uint32), noise,
        np.empty((2 * PAIRS + 2, 7), np.int32), np.empty(columns if remembers else 1, np.int32),
        np.zeros(lanes, np.float32), np.zeros((parameters + 1, lanes), np.float32),
        np.empty((4, events if in_turns else 1), np.int32),
        np.zeros(2 * events + 3 if in_turns else 1, np.int32),
        np.zeros(rows * columns if in_turns else 1, np.int32),
    )  # fmt: skip


@inline
def add_segments(
    trains_B2I, columns_B2I, n_columns_B2, d_code, d_second, length, row, b, mode, neg_rate, side, aggregates,
    events_E, counts_E, segments, at, n_segments, pairs,
):  # fmt: skip
    """Append the one or two segments of a row and vector; returns (events, segments, normals, pulses)."""
    flip = np.int64(d_code >> np.uint32(31)) ^ neg_rate
    once = mode == 0 and length == 1
    normals, pulses = 0, 0
    for half in range(2):
        up = half ^ flip
        taken = np.int64(side == 0) | (np.int64(side == 1) & up) | (np.int64(side == 2) & (1 - up))
        columns = n_columns_B2[b, half] * taken
        first, count, total = np.int64(SINGLE), columns, columns
        if not once:
            level = (d_second if mode == 1 and half == 1 else d_code) & MAGNITUDE
            first = at
            at = gather(
                columns_B2I[b, half], trains_B2I[b, half], columns, level, np.float32(length), mode, at,
                events_E, counts_E,
            )  # fmt: skip
            count, total = at - first, 0
            for e in range(first, at):
                total += counts_E[e]
        segments[n_segments, ROW], segments[n_segments, VECTOR] = row, b
        segments[n_segments, HALF], segments[n_segments, UP] = half, 1 if side == 2 else up
        segments[n_segments, FIRST], segments[n_segments, COUNT] = first, count
        segments[n_segments, NOISE] = 2 * pairs + normals
        n_segments += np.int64(count > 0)  # not a branch: whether there is one is hard to predict
        normals += count if aggregates else total
        pulses += total
    return at, n_segments, normals, pulses


@inline
def note_last(columns_B2I, events_E, segments, n_segments, last_I):
    """Note the last vector that pulsed each crosspoint of a row."""
    for s in range(n_segments):
        b, first = segments[s, VECTOR], segments[s, FIRST]
        for e in range(segments[s, COUNT]):
            column = columns_B2I[b, segments[s, HALF], e] if first == SINGLE else events_E[first + e]
            last_I[column] = b


@numba.njit(error_model="numpy")
def see_pulsed(w_I, seen_I, write_noise, last_I, k0, k1, row, tick, extra):
    """Redraw the weight that is seen of each crosspoint that was pulsed, at its last vector's tick."""
    top = counter_top(WRITE_NOISE, extra, tick)
    for column in range(w_I.size):
        if last_I[column] >= 0:
            low = np.uint32((tick + last_I[column]) & 0xFFFFFFFF)
            a, _, _, _ = philox4x32(k0, k1, np.uint32(column), np.uint32(row), low, top)
            xi, _ = normal_pair(a)
            seen_I[column] = w_I[column] + write_noise * xi


@inline
def look(seen_OI, row, line, of_columns, look_M):
    """Note a row's part of a line that is looked at."""
    if of_columns:
        look_M[row] = seen_OI[row, line]
    elif line == row:
        look_M[:] = seen_OI[row]


@inline
def fetch(data, first, count):
    """Ask for ``count`` numbers at a pointer: they come while others are worked on."""
    for i in range(first, first + count, LINE):
        prefetch(data, i)


@numba.njit(error_model="numpy")
def pulse_rows(
    apply, may_turn, w_OI, p_OIP, c, seen_OI, write_noise, k0, k1, columns_B2I, trains_B2I, n_columns_B2,
    d_codes_BO, d_second_BO, lengths_B, vectors, first_row, rows, longest, mode, neg_rate, side, tick, extra,
    noisy, aggregates, after_N, lines_N, of_columns, looks_NM,
):  # fmt: skip
    """All coincidences of some rows of one tile with the vectors of a chunk; returns their number.

    ``may_turn``: whether the device's steps are worth ``step_in_turns``, where segments are short. Look n is
    taken after vector after_N[n] of the chunk. ``seen_OI`` is brought up to date before it, and at
    a row's end, if the devices have write noise.
    """
    remembers = write_noise > 0
    fired = n_columns_B2[:vectors].sum()
    in_turns = may_turn and mode == 0 and longest == 1 and fired < 2 * FEW * vectors
    (
        hits_RB, n_hits_R, events_E, counts_E, calls_4N, words, noise, segments, last_I, w_E, p_PE, events_4E,
        starts_E, turns_RI,
    ) = make_buffers(
        rows, w_OI.shape[1], vectors, longest, aggregates, noisy, remembers, p_OIP.shape[2], in_turns
    )  # fmt: skip
    find_hits(d_codes_BO, d_second_BO, n_columns_B2, vectors, first_row, rows, hits_RB, n_hits_R)
    top = counter_top(STEP_NOISE, extra, tick)
    looks = after_N.size
    pulses, events, n_segments, calls, pairs = 0, 0, 0, 0, 0
    width, numbers = w_OI.shape[1], p_OIP.shape[2]
    w, p, far = data_of(w_OI), data_of(p_OIP), w_OI.size * (1 + numbers) > NEAR
    for r in range(rows):
        row, h, n = first_row + r, 0, 0
        if far:
            fetch(w, row * width, width)
            fetch(p, row * width * numbers, width * numbers)
        last_I[:] = -1
        while True:
            limit = after_N[n] if n < looks else vectors
            while h < n_hits_R[r] and hits_RB[r, h] < limit and pairs < PAIRS:
                b = hits_RB[r, h]
                h += 1
                events, n_segments, normals, more = add_segments(
                    trains_B2I, columns_B2I, n_columns_B2, d_codes_BO[b, row], d_second_BO[b, row],
                    lengths_B[b], row, b, mode, neg_rate, side, aggregates, events_E, counts_E, segments,
                    events, n_segments, pairs,
                )  # fmt: skip
                pulses += more
                low = np.uint32((tick + b) & 0xFFFFFFFF)
                calls, pairs = address_noise(normals, row, low, calls_4N, calls, pairs)
            at_limit = h == n_hits_R[r] or hits_RB[r, h] >= limit
            ends = at_limit and n == looks
            if pairs >= PAIRS or (at_limit and n < looks) or (ends and (remembers or r == rows - 1)):
                if noisy:
                    draw_noise(k0, k1, calls_4N, top, calls, words, noise)
                apply(
                    w_OI, p_OIP, c, columns_B2I, events_E, counts_E, segments, n_segments, noise, aggregates,
                    w_E, p_PE, in_turns, events_4E, starts_E, turns_RI,
                )  # fmt: skip
                if remembers:
                    note_last(columns_B2I, events_E, segments, n_segments, last_I)
                events, n_segments, calls, pairs = 0, 0, 0, 0
            if at_limit and remembers:
                see_pulsed(w_OI[row], seen_OI[row], write_noise, last_I, k0, k1, row, tick, extra)
                last_I[:] = -1
            if ends:
                break
            if at_limit:
                look(seen_OI, row, lines_N[n], of_columns, looks_NM[n])
                n += 1
    return pulses


@numba.njit(error_model="numpy")
def step_task(
    task, block, blocks, apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TB2I,
    trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors, longest, mode, neg_rate, side,
    tick, extra, noisy, aggregates, after_N, lines_TN, of_columns, looks_TNM,
):  # fmt: skip
    """``pulse_rows`` for one of the ``blocks`` blocks of rows of a tile."""
    t = task // blocks
    first = (task - t * blocks) * block
    return pulse_rows(
        apply, may_turn, w_TOI[t], p_TOIP[t], c, seen_TOI[t], write_noise, keys_T2[t, 0], keys_T2[t, 1],
        columns_TB2I[t], trains_TB2I[t], n_columns_TB2[t], d_codes_TBO[t], d_second_TBO[t], lengths_TB[t],
        vectors, first, min(block, w_TOI.shape[1] - first), longest, mode, neg_rate, side, tick, extra, noisy,
        aggregates, after_N, lines_TN[t], of_columns, looks_TNM[t],
    )  # fmt: skip


@numba.njit(error_model="numpy", parallel=True)
def step_in_parallel(
    block, blocks, apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TB2I,
    trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors, longest, mode, neg_rate, side,
    tick, extra, noisy, aggregates, after_N, lines_TN, of_columns, looks_TNM, pulses_K,
):  # fmt: skip
    for task in prange(len(pulses_K)):
        pulses_K[task] = step_task(
            np.int64(task), block, blocks, apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2,
            columns_TB2I, trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors, longest,
            mode, neg_rate, side, tick, extra, noisy, aggregates, after_N, lines_TN, of_columns, looks_TNM,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def step_chunk(
    apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TB2I, trains_TB2I,
    n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors, longest, mode, neg_rate, side, tick, extra,
    noisy, aggregates, pulses_T, tasks, after_N, lines_TN, of_columns, looks_TNM,
):  # fmt: skip
    """Apply the coincidences of a chunk of vectors to all rows of all tiles."""
    tiles, rows = w_TOI.shape[:2]
    block = max(1, min((rows * tiles + tasks - 1) // tasks, rows))
    blocks = (rows + block - 1) // block
    pulses_K = np.zeros(tiles * blocks, np.int64)
    if tasks > 1:
        step_in_parallel(
            block, blocks, apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TB2I,
            trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors, longest, mode,
            neg_rate, side, tick, extra, noisy, aggregates, after_N, lines_TN, of_columns, looks_TNM,
            pulses_K,
        )  # fmt: skip
    else:
        for task in range(tiles * blocks):
            pulses_K[task] = step_task(
                task, block, blocks, apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2,
                columns_TB2I, trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB, vectors,
                longest, mode, neg_rate, side, tick, extra, noisy, aggregates, after_N, lines_TN, of_columns,
                looks_TNM,
            )  # fmt: skip
    for task in range(tiles * blocks):
        pulses_T[task // blocks] += pulses_K[task]


def update(
    applier_address, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, train_keys_T2, x_XBI, x_of_T,
    d_DBO, d_of_T, active_TB, rule, rate, granularity, tick, extra, side, noisy, aggregates, pulses_T, tasks,
    after_N, lines_TN, of_columns, looks_TNM,
):  # fmt: skip
    """Pulse all vectors in order into every tile; adds to ``pulses_T`` and returns OK or what is wrong.

    ``tasks``: how many parts to cut rows into, in threads of their own if there are several.
    """
    apply = applier_at(applier_address)
    tiles, rows, columns = w_TOI.shape
    vectors = x_XBI.shape[1]
    lengths_TB, scales_2TB = np.empty((tiles, vectors), np.int32), np.empty((2, tiles, vectors), np.float32)
    status, longest = plan(
        x_XBI, x_of_T, d_DBO, d_of_T, active_TB, rule, abs(rate), granularity, lengths_TB, scales_2TB,
        tasks > 1,
    )  # fmt: skip
    if status != OK:
        return status
    widest = max(rows, columns)
    size = min(vectors, max(CHUNK_LINES // (tiles * widest), widest // 16, 8))
    room = columns + EIGHT
    columns_TB2I = np.empty((tiles, size, 2, room), np.int32)
    once = longest == 1 and rule.mode == 0
    trains_TB2I = np.empty((tiles, size, 2, 1 if once else room), np.uint32)
    n_columns_TB2 = np.empty((tiles, size, 2), np.int32)
    d_codes_TBO = np.empty((tiles, size, (rows + EIGHT - 1) // EIGHT * EIGHT), np.uint32)
    d_second_TBO = np.empty_like(d_codes_TBO) if rule.mode == 1 else d_codes_TBO
    start, n = np.int64(0), 0  # a plain 0 would be a type of its own in the first round of the loop
    while start < vectors:
        same_top = ((tick + start) | 0xFFFFFFFF) + 1 - tick
        stop = min(start + size, vectors, same_top)
        make_chunk(
            x_XBI, x_of_T, d_DBO, d_of_T, lengths_TB, scales_2TB, start, stop, rule, train_keys_T2, tick,
            extra, columns_TB2I, trains_TB2I, n_columns_TB2, d_codes_TBO, d_second_TBO, tasks > 1,
        )  # fmt: skip
        first = n
        while n < after_N.size and after_N[n] <= stop:
            n += 1
        step_chunk(
            apply, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TB2I, trains_TB2I,
            n_columns_TB2, d_codes_TBO, d_second_TBO, lengths_TB[:, start:stop], stop - start, longest,
            rule.mode, int(rate < 0), side, tick + start, extra, noisy, aggregates, pulses_T, tasks,
            after_N[first:n] - start, lines_TN[:, first:n], of_columns, looks_TNM[:, first:n],
        )  # fmt: skip
        start = stop
    return OK


@functools.cache
def update_kernel() -> Callable[..., Any]:
    """``update``, compiled."""
    return kernel(update)


def run(device: Any, arguments: tuple[Any, ...], looks: Looks) -> int:
    """The update with as many threads as it is worth; adds to ``pulses_T``, returns OK or what is wrong."""
    w_TOI, p_TOIP = arguments[0], arguments[1]
    apply = applier(type(device).step, p_TOIP.shape[3], type(device).blockwise)
    threads = numba.get_num_threads() if w_TOI.size * arguments[7].shape[1] >= SERIAL_WORK else 1
    return update_kernel()(
        apply.address,
        type(device).blockwise,
        *arguments,
        TASKS_A_THREAD * threads if threads > 1 else 1,
        *looks,
    )
