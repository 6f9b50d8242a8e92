"""All coincidences of some rows of a tile on the CPU: gathered, their noise drawn, then applied in order.

A row walks the vectors in which it fires. Segments are collected until their noise fills a buffer, the noise
is drawn in one vectorised go, and the steps are applied in order (``steps``).
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import popcount, prefetch, wide_vectors
from ...machine.jit import data_of
from ...rng import Stream
from ...rng.cpu import normal_pair, philox4x32
from .codes import MAGNITUDE, counter_top
from .steps import (
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
    Lanes,
    Segments,
    inline,
)  # fmt: skip

STEP_NOISE, WRITE_NOISE = int(Stream.STEP_NOISE), int(Stream.WRITE_NOISE)
PAIRS = 1024  # of normals that are drawn in one go: they stay in the first-level cache
NORMALS = 8  # of one Philox call
NEAR, LINE = 1 << 17, 16  # numbers in a second-level cache, and in a line of it


class Chunk(NamedTuple):
    """How the coincidences of a chunk of vectors become steps."""

    mode: int
    longest: int  # train
    neg_rate: int  # 1: the learning rate is negative
    side: int
    tick: int  # of the chunk's first vector
    extra: int
    noisy: bool
    aggregates: bool


class Fired(NamedTuple):
    """The trains of a chunk of vectors for one tile, see ``Trains``."""

    columns_B2I: Any
    trains_B2I: Any
    n_columns_B2: Any
    d_codes_BO: Any
    d_second_BO: Any
    lengths_B: Any


class Filled(NamedTuple):
    """How much of a ``Room`` is in use."""

    events: int
    segments: int
    calls: int  # of Philox
    pairs: int  # of normals


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
    wide_vectors()
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


class Firing(NamedTuple):
    """The vectors of a chunk of which a column fires, for each tile."""

    vectors_TB: Any
    n_T: Any  # how many these are
    columns_T: Any  # that fire, of all of them
    vectors: int  # of the chunk


@numba.njit(error_model="numpy")
def find_firing(n_columns_TB2, vectors):
    """``Firing`` of a chunk of so many vectors."""
    tiles = len(n_columns_TB2)
    vectors_TB, n_T = np.empty((tiles, vectors + 1), np.int32), np.empty(tiles, np.int64)
    columns_T = np.empty(tiles, np.int64)
    for t in range(tiles):
        n_columns, own, n, columns = n_columns_TB2[t].reshape(-1), vectors_TB[t], np.int64(0), np.int64(0)
        for b in range(vectors):
            of_vector = n_columns[np.uint64(2 * b)] + n_columns[np.uint64(2 * b + 1)]
            own[np.uint64(n)] = b
            n += np.int64(of_vector > 0)
            columns += of_vector
        n_T[t], columns_T[t] = n, columns
    return Firing(vectors_TB, n_T, columns_T, vectors)


@numba.njit(error_model="numpy")
def find_hits(d_codes_BO, d_second_BO, firing_B, first, rows, hits_RB, n_hits_R):
    """For each of ``rows`` rows from ``first``: the vectors of ``firing_B`` in which it fires."""
    n_hits_R[:rows] = 0
    hits, n_hits, room = data_of(hits_RB), data_of(n_hits_R), hits_RB.shape[1]
    codes, second, lines = data_of(d_codes_BO), data_of(d_second_BO), d_codes_BO.shape[1]
    for b in firing_B:
        at = b * lines + first
        for r in range(rows):
            hits[r * room + n_hits[r]] = b
            n_hits[r] += np.int32((codes[at + r] | second[at + r]) & MAGNITUDE != 0)


class Room(NamedTuple):
    """What one thread works in."""

    hits_RB: Any  # the vectors in which each row fires, and their number
    n_hits_R: Any
    collected: Any  # see ``Segments``
    calls_4N: Any  # of Philox: call, row, tick and how many words are needed
    words: Any
    last_I: Any  # the last vector that pulsed each crosspoint of a row
    side_by_side: Any  # see ``Lanes``


@numba.njit(error_model="numpy")
def make_room(rows, columns, parameters, vectors, chunk, remembers, in_turns):
    """``Room`` for a thread that pulses some rows of devices with so many ``parameters``."""
    events, draws = 2 * PAIRS + columns + 1, columns * (1 if chunk.aggregates else chunk.longest) + LANES
    calls = PAIRS + draws // NORMALS + 1
    lanes = max(columns, events if in_turns else 0) + LANES
    noise = np.empty(2 * PAIRS + draws, np.float32)
    if not chunk.noisy:
        noise[:] = np.float32(0.0)
    collected = Segments(
        np.empty((2 * PAIRS + 2, 7), np.int32), np.empty(events, np.int32), np.empty(events, np.int32), noise
    )
    side_by_side = Lanes(
        np.zeros(lanes, np.float32), np.zeros((parameters + 1, lanes), np.float32),
        np.empty((4, events if in_turns else 1), np.int32),
        np.zeros(2 * events + 3 if in_turns else 1, np.int32),
        np.zeros(rows * columns if in_turns else 1, np.int32),
    )  # fmt: skip
    return Room(
        np.empty((rows, vectors + 1), np.int32), np.empty(rows, np.int32), collected,
        np.empty((4, calls), np.uint32), np.empty(4 * calls, np.uint32),
        np.empty(columns if remembers else 1, np.int32), side_by_side,
    )  # fmt: skip


@inline
def add_segments(fired, row, b, chunk, into, at, n_segments, pairs):
    """Append the one or two segments of a row and vector; returns (events, segments, normals, pulses)."""
    d_code, d_second, length = fired.d_codes_BO[b, row], fired.d_second_BO[b, row], fired.lengths_B[b]
    segments, events_E, counts_E = into.segments, into.events_E, into.counts_E
    mode, side = chunk.mode, chunk.side
    flip = np.int64(d_code >> np.uint32(31)) ^ chunk.neg_rate
    once = mode == 0 and length == 1
    normals, pulses = 0, 0
    for half in range(2):
        up = half ^ flip
        taken = np.int64(side == 0) | (np.int64(side == 1) & up) | (np.int64(side == 2) & (1 - up))
        columns = fired.n_columns_B2[b, half] * taken
        first, count, total = np.int64(SINGLE), columns, columns
        if not once:
            level = (d_second if mode == 1 and half == 1 else d_code) & MAGNITUDE
            first = at
            at = gather(
                fired.columns_B2I[b, half], fired.trains_B2I[b, half], columns, level, np.float32(length),
                mode, at, events_E, counts_E,
            )  # fmt: skip
            count, total = at - first, 0
            for e in range(first, at):
                total += counts_E[e]
        segments[n_segments, ROW], segments[n_segments, VECTOR] = row, b
        segments[n_segments, HALF], segments[n_segments, UP] = half, 1 if side == 2 else up
        segments[n_segments, FIRST], segments[n_segments, COUNT] = first, count
        segments[n_segments, NOISE] = 2 * pairs + normals
        n_segments += np.int64(count > 0)  # not a branch: whether there is one is hard to predict
        normals += count if chunk.aggregates else total
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
def fetch_row(w_OI, p_OIP, row):
    """Ask for a row's weights and parameters where they are far: they come while others are worked on."""
    width, numbers = w_OI.shape[1], p_OIP.shape[2]
    if w_OI.size * (1 + numbers) > NEAR:
        w, p = data_of(w_OI), data_of(p_OIP)
        for i in range(row * width, (row + 1) * width, LINE):
            prefetch(w, i)
        for i in range(row * width * numbers, (row + 1) * width * numbers, LINE):
            prefetch(p, i)


@inline
def collect(fired, row, hits_B, h, n_hits, limit, chunk, room, filled):
    """Append a row's segments with vectors hits_B[h].. below ``limit``, until their noise fills a buffer.

    Returns (h, what is filled, pulses) after them.
    """
    events, n_segments, calls, pairs = filled
    pulses = 0
    while h < n_hits and hits_B[h] < limit and pairs < PAIRS:
        b = hits_B[h]
        h += 1
        events, n_segments, normals, more = add_segments(
            fired, row, b, chunk, room.collected, events, n_segments, pairs
        )
        pulses += more
        low = np.uint32((chunk.tick + b) & 0xFFFFFFFF)
        calls, pairs = address_noise(normals, row, low, room.calls_4N, calls, pairs)
    return h, Filled(events, n_segments, calls, pairs), pulses


@inline
def step_segments(apply, w_OI, p_OIP, c, columns_B2I, room, filled, in_turns, chunk, k0, k1):
    """Draw the noise of the collected segments and apply their steps."""
    if chunk.noisy:
        top = counter_top(STEP_NOISE, chunk.extra, chunk.tick)
        draw_noise(k0, k1, room.calls_4N, top, filled.calls, room.words, room.collected.noise_E)
    apply(
        w_OI, p_OIP, c, columns_B2I, room.collected, filled.segments, chunk.aggregates, in_turns,
        room.side_by_side,
    )  # fmt: skip


@numba.njit(error_model="numpy")
def pulse_rows(apply, may_turn, devices, trains, lengths_TB, firing, t, first_row, rows, chunk, looks):
    """All coincidences of some rows of tile ``t`` with the vectors of a chunk; returns their number.

    ``may_turn``: whether the device's steps are worth ``step_in_turns``, where segments are short. Look n is
    taken after vector after_N[n] of the chunk. What is seen is brought up to date before it, and at
    a row's end, if the devices have write noise.
    """
    w_OI, p_OIP, c, seen_OI = devices.w_TOI[t], devices.p_TOIP[t], devices.c, devices.seen_TOI[t]
    k0, k1, write_noise = devices.keys_T2[t, 0], devices.keys_T2[t, 1], devices.write_noise
    columns_B2I, n_columns_B2 = trains.columns_TB2I[t], trains.n_columns_TB2[t]
    fired = Fired(
        columns_B2I, trains.trains_TB2I[t], n_columns_B2, trains.d_codes_TBO[t], trains.d_second_TBO[t],
        lengths_TB[t],
    )  # fmt: skip
    tick, extra, remembers = chunk.tick, chunk.extra, write_noise > 0
    in_turns = may_turn and chunk.mode == 0 and chunk.longest == 1
    vectors, firing_B = firing.vectors, firing.vectors_TB[t, : firing.n_T[t]]
    in_turns = in_turns and firing.columns_T[t] < 2 * FEW * vectors
    room = make_room(rows, w_OI.shape[1], p_OIP.shape[2], len(firing_B), chunk, remembers, in_turns)
    hits_RB, n_hits_R, last_I = room.hits_RB, room.n_hits_R, room.last_I
    find_hits(fired.d_codes_BO, fired.d_second_BO, firing_B, first_row, rows, hits_RB, n_hits_R)
    pulses, filled, after_N = 0, Filled(0, 0, 0, 0), looks.after_N
    for r in range(rows):
        row, n_hits, h, n = first_row + r, n_hits_R[r], 0, 0
        fetch_row(w_OI, p_OIP, row)
        last_I[:] = -1
        while True:
            limit = after_N[n] if n < after_N.size else vectors
            h, filled, more = collect(fired, row, hits_RB[r], h, n_hits, limit, chunk, room, filled)
            pulses += more
            at_limit = h == n_hits or hits_RB[r, h] >= limit
            ends = at_limit and n == after_N.size
            if filled.pairs >= PAIRS or (at_limit and not ends) or (ends and (remembers or r == rows - 1)):
                step_segments(apply, w_OI, p_OIP, c, columns_B2I, room, filled, in_turns, chunk, k0, k1)
                if remembers:
                    collected = room.collected
                    note_last(columns_B2I, collected.events_E, collected.segments, filled.segments, last_I)
                filled = Filled(0, 0, 0, 0)
            if at_limit and remembers:
                see_pulsed(w_OI[row], seen_OI[row], write_noise, last_I, k0, k1, row, tick, extra)
                last_I[:] = -1
            if ends:
                break
            if at_limit:
                look(seen_OI, row, looks.lines_TN[t, n], looks.of_columns, looks.lines_TNM[t, n])
                n += 1
    return pulses
