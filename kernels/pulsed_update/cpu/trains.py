"""Pulse trains on the CPU: one 32-bit code a line and vector, bit 31 the sign, the rest the train."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from ...machine.intrinsics import EIGHT, fire_eight_by, popcount, put_eight, signs_of_eight, wide_vectors
from ...machine.jit import data_of
from ...rng import Stream
from ...rng.cpu import compiled, philox4x32, unit_interval
from .. import formulas
from ..rule import FINER, SECOND_PASS

SIGN = np.uint32(0x80000000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
CALLS = 512  # Philox calls that are computed in one go
#: flat, eight a byte: the numbers of its set bits, then zeros
SET_BITS = np.array(
    [[*(i for i in range(8) if n >> i & 1), *[0] * 8][:8] for n in range(256)], np.int32
).ravel()
LEAST_LINES, MOST_LINES = 4096, 16384  # whose trains are one task: each needs room of its own

quantised = compiled(formulas.quantised)
train_margin, fires = compiled(formulas.train_margin), compiled(formulas.fires)
surely, perhaps = compiled(formulas.surely), compiled(formulas.perhaps)
fire_eight = fire_eight_by(formulas.train_margin, formulas.surely, formulas.perhaps)

PULSE_X, PULSE_D = int(Stream.PULSE_X), int(Stream.PULSE_D)
ROUND_X, ROUND_D = int(Stream.ROUND_X), int(Stream.ROUND_D)


class Lines(NamedTuple):
    """The lines of one side of a tile, x or d, and what their trains are drawn from."""

    values_BL: Any
    lengths_B: Any  # of the trains
    scales_B: Any
    step: Any  # width that probabilities are rounded to
    jitter: Any  # whether at random
    stream: Any
    slot_0: Any  # number of the first slot
    k0: Any
    k1: Any
    tick: Any  # of vector 0
    extra: Any


class Trains(NamedTuple):
    """The trains of a chunk of vectors, for each tile."""

    columns_TB2I: Any  # that fire, those of positive inputs and those of negative ones apart
    trains_TB2I: Any  # of these, unless all have one slot
    n_columns_TB2: Any  # how many fire
    d_codes_TBO: Any  # of the rows, in whole eights; of vectors whose columns are all silent: anything
    d_second_TBO: Any  # in the pass of the negative inputs, where there is one


@numba.njit(error_model="numpy")
def empty_trains(tiles, vectors, rows, columns, mode, longest):
    """``Trains`` of ``vectors`` vectors, the longest of ``longest`` slots, to be filled."""
    room = columns + EIGHT
    once = longest == 1 and mode == 0
    d_codes_TBO = np.empty((tiles, vectors, (rows + EIGHT - 1) // EIGHT * EIGHT), np.uint32)
    return Trains(
        np.empty((tiles, vectors, 2, room), np.int32),
        np.empty((tiles, vectors, 2, 1 if once else room), np.uint32),
        np.empty((tiles, vectors, 2), np.int32),
        d_codes_TBO,
        np.empty_like(d_codes_TBO) if mode == 1 else d_codes_TBO,
    )


@numba.njit(error_model="numpy", forceinline=True)
def counter_top(stream, extra, tick):
    """Counter word 3 of an address."""
    return np.uint32((np.int64(stream) << 24) | (np.int64(extra) << 16) | (np.int64(tick) >> 32))


@numba.njit(error_model="numpy")
def line_levels(values_L, scale, step, jitter, k0, k1, tick, extra, round_stream, levels_L):
    """The scaled, rounded magnitudes of one vector's lines."""
    lines = values_L.size
    for line in range(lines):
        levels_L[line] = abs(values_L[line]) * scale
    if step <= np.float32(0.0):
        return
    low, top = np.uint32(tick & 0xFFFFFFFF), counter_top(round_stream, extra, tick)
    for call in range((lines + 3) // 4):
        words = philox4x32(k0, k1, np.uint32(call), np.uint32(0), low, top)
        for q in range(min(4, lines - 4 * call)):
            offset = unit_interval(words[q]) - np.float32(0.5) if jitter else np.float32(0.0)
            levels_L[4 * call + q] = quantised(levels_L[4 * call + q], step, offset)


@numba.njit(error_model="numpy")
def random_words(k0, k1, c0_N, c1_N, after_N, low, c3, n, words):
    """The words of ``n`` calls, four a call; counter word 2 is ``low`` plus ``after_N``."""
    wide_vectors()
    for i in range(n):
        a, b, c, d = philox4x32(k0, k1, c0_N[i], c1_N[i], low + after_N[i], c3)
        words[4 * i] = a
        words[4 * i + 1] = b
        words[4 * i + 2] = c
        words[4 * i + 3] = d


@numba.njit(error_model="numpy", forceinline=True)
def address_calls(calls, length, slot_0, vectors, c0_N, c1_N):
    """Call and slot of one Philox call after the other, for some ``vectors``."""
    n = 0
    while n + calls * length <= c0_N.size and vectors > 0:
        for slot in range(length):
            for call in range(calls):
                c0_N[n], c1_N[n] = call, slot_0 + slot
                n += 1
        vectors -= 1


@numba.njit(error_model="numpy", forceinline=True)
def equally_long(lengths_B, first, stop, most, own_N):
    """Put ``first`` and the next vectors with trains as long as its, up to ``most``, into ``own_N``.

    Returns how many these are, and the first vector behind them; those without a train are passed over.
    """
    n, b, length = np.int64(0), first, lengths_B[first]
    while b < stop and n < most:
        other = (lengths_B[b] != length) & (lengths_B[b] != 0)  # one branch: which is zero is hard to predict
        if other:
            break
        own_N[n] = b
        n += np.int64(lengths_B[b] == length)
        b += 1
    return n, b


@numba.njit(error_model="numpy")
def random_codes(own, start, stop, codes_BL, origin):
    """Random trains of vectors start..stop: bit s of a line's code is set if it fires in slot s."""
    values_BL, lengths_B, scales_B, slot_0 = own.values_BL, own.lengths_B, own.scales_B, own.slot_0
    k0, k1, tick, extra, step, jitter = own.k0, own.k1, own.tick, own.extra, own.step, own.jitter
    lines = values_BL.shape[1]
    calls = (lines + 7) // 8
    room = max(CALLS, calls * 31)
    c0, c1, after = np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint32)
    words = np.empty(4 * room, np.uint32)
    halves = words.view(np.uint16)
    levels = np.empty(lines, np.float32)
    values, codes = values_BL.reshape(-1), codes_BL.reshape(-1)
    top = counter_top(own.stream, extra, tick + start)
    round_stream = ROUND_X if own.stream == PULSE_X else ROUND_D
    own_N = np.empty(stop - start + 1, np.int64)
    first, addressed = start, 0
    while first < stop:
        length = lengths_B[first]
        if length == 0:
            first += 1
            continue
        if length != addressed:
            address_calls(calls, length, slot_0, stop - start, c0, c1)
            addressed = length
        of_vector = calls * length
        count, behind = equally_long(lengths_B, first, stop, room // of_vector, own_N)
        for n in range(count):
            for i in range(n * of_vector, (n + 1) * of_vector):
                after[np.uint64(i)] = own_N[n] - first
        low = np.uint32((tick + first) & 0xFFFFFFFF)
        random_words(k0, k1, c0, c1, after, low, top, count * of_vector, words)
        for n in range(count):
            b, at = own_N[n], 8 * of_vector * n
            low = np.uint32((tick + b) & 0xFFFFFFFF)
            if length == 1 and step <= np.float32(0.0):
                code = (b - origin) * codes_BL.shape[1]
                if not fire_once(values, b * lines, lines, scales_B[b], halves, at, codes, code):
                    levels[:] = np.abs(values_BL[b]) * scales_B[b]
                    decide(levels, halves, at, k0, k1, slot_0 + FINER, low, top, 0, codes_BL[b - origin])
                continue
            line_levels(
                values_BL[b], scales_B[b], step, jitter, k0, k1, tick + b, extra, round_stream, levels
            )
            fire(values_BL[b], levels, halves, at, length, k0, k1, slot_0, low, top, codes_BL[b - origin])
        first = behind


@numba.njit(error_model="numpy", forceinline=True)
def fire_once(values, first, lines, scale, halves, at, codes, code):
    """``fire`` for one slot and levels that are not rounded; returns whether no line is left to decide.

    Values from ``first`` on and codes, whole eights, from ``code`` on of flat arrays: to make a view of a row
    takes as long as eight lines.
    """
    undecided = np.uint32(0)
    for line in range(0, lines, EIGHT):
        undecided |= fire_eight(
            values, first + line, lines - line, scale, halves, at + line, codes, code + line
        )
    return undecided == 0


@numba.njit(error_model="numpy", forceinline=True)
def fire(values_L, levels_L, halves, at, length, k0, k1, slot_0, low, top, codes_L):
    """Trains of ``length`` slots from 16 random bits a line and slot, from ``at`` on.

    Where they are the first 16 bits of a line's own level, a further draw decides (``formulas.fires``).
    """
    lines = values_L.size
    stride = (lines + 7) // 8 * 8
    bits_L = values_L.view(np.uint32)
    for line in range(lines):
        codes_L[line] = bits_L[line] & SIGN
    for slot in range(length):
        undecided = np.int32(0)
        for line in range(lines):
            margin = train_margin(levels_L[line], np.float32(np.int32(halves[at + line])))
            codes_L[line] |= np.uint32(surely(margin)) << np.uint32(slot)
            undecided += np.int32(perhaps(margin)) - np.int32(surely(margin))
        if undecided > 0:
            decide(levels_L, halves, at, k0, k1, slot_0 + slot + FINER, low, top, slot, codes_L)
        at += stride


@numba.njit(error_model="numpy")
def decide(levels_L, halves, at, k0, k1, row, low, top, slot, codes_L):
    """Fire the lines whose 16 bits are those of their level, by a finer draw."""
    for line in range(levels_L.size):
        margin = train_margin(levels_L[line], np.float32(np.int32(halves[at + line])))
        if perhaps(margin) and not surely(margin):
            words = philox4x32(k0, k1, np.uint32(line // 4), np.uint32(row), low, top)
            codes_L[line] |= np.uint32(fires(margin, unit_interval(words[line % 4]))) << np.uint32(slot)


@numba.njit(error_model="numpy")
def level_codes(mode, own, start, stop, codes_BL, origin):
    """Codes of the deterministic modes: the number of pulses, or the level itself as float bits."""
    values_BL, lengths_B, scales_B, step, jitter = (
        own.values_BL,
        own.lengths_B,
        own.scales_B,
        own.step,
        own.jitter,
    )
    k0, k1, tick, extra = own.k0, own.k1, own.tick, own.extra
    lines = values_BL.shape[1]
    levels = np.empty(lines, np.float32)
    round_stream = ROUND_X if own.stream == PULSE_X else ROUND_D
    for b in range(start, stop):
        if lengths_B[b] == 0:
            continue
        signs = values_BL[b].view(np.uint32)
        line_levels(values_BL[b], scales_B[b], step, jitter, k0, k1, tick + b, extra, round_stream, levels)
        length = np.float32(lengths_B[b])
        for line in range(lines):
            if mode == 2:
                number = np.uint32(min(np.float32(np.rint(length * levels[line])), length))
            else:
                level = max(min(levels[line], np.float32(1.0)), np.float32(0.0))
                number = np.float32(level).view(np.uint32)
            codes_BL[b - origin, line] = number | (signs[line] & SIGN)


@numba.njit(error_model="numpy", forceinline=True)
def pick(bits, line, codes, code, once, columns, column, trains, train):
    """Put lines ``line`` + i and their trains for the set bits i of eight; returns how many these are."""
    entry = np.int64(bits) * EIGHT
    put_eight(SET_BITS, entry, line, columns, column)
    if not once:
        for i in range(EIGHT):
            at = np.uint64(code + SET_BITS[np.uint64(entry + i)])
            trains[np.uint64(train + i)] = codes[at] & MAGNITUDE
    return np.int64(popcount(bits))


@numba.njit(error_model="numpy", forceinline=True)
def split(codes, code, lines, once, columns, room, trains, n_columns_B2, b):
    """The lines that fire and their trains, those of positive values and those of negative ones apart.

    Where all trains have one slot (``once``) there is nothing to tell of them. The codes, from ``code`` on,
    are whole eights. Of flat ``columns`` and ``trains`` a vector has two times ``room``, which is up to
    eight more than there are lines.
    """
    first = 2 * b * room
    n, m = np.int64(0), np.int64(0)
    for line in range(0, lines, EIGHT):
        bits = signs_of_eight(codes, code + line)
        if bits == 0:
            continue
        up, down = bits & np.uint32(255), bits >> np.uint32(EIGHT)
        at, under = first + n, first + room + m
        n += pick(up, line, codes, code + line, once, columns, at, trains, at)
        m += pick(down, line, codes, code + line, once, columns, under, trains, under)
    n_columns_B2[b, 0], n_columns_B2[b, 1] = n, m


@numba.njit(error_model="numpy")
def make_codes(mode, own, first, stop, codes_BL, origin):
    """Codes of vectors first..stop; those of vector b are row b - origin."""
    if mode <= 1:
        random_codes(own, first, stop, codes_BL, origin)
    else:
        level_codes(mode, own, first, stop, codes_BL, origin)


@numba.njit(error_model="numpy")
def where_some_fire(lengths_B, codes_BL, more_BL, first, stop, origin, needed_B):
    """The trains' lengths of vectors first..stop, 0 where no line of a side fires: the other's meet nothing.

    ``more_BL``: the side's codes in another pass, or the same again.
    """
    codes, more, lines = data_of(codes_BL), data_of(more_BL), codes_BL.shape[1]
    for b in range(first, stop):
        length, some = lengths_B[b], np.uint32(0)
        if length > 0:
            at = (b - origin) * lines
            for line in range(at, at + lines):
                some |= codes[line] | more[line]
        needed_B[b] = length if some & MAGNITUDE else 0


@numba.njit(error_model="numpy")
def make_trains(vectors, t, plan, start, first, stop, rule, keys_T2, tick, extra, trains):
    """Trains of vectors first..stop of tile ``t``; those of vector ``start`` are the first of ``trains``.

    The side of fewer lines first: of a vector whose lines there are all silent, the other side's trains meet
    nothing and are not drawn.
    """
    x_BI, d_BO = vectors.x_XBI[vectors.x_of_T[t]], vectors.d_DBO[vectors.d_of_T[t]]
    lengths_B, k0, k1 = plan.lengths_TB[t], keys_T2[t, 0], keys_T2[t, 1]
    d_codes_BO, d_second_BO = trains.d_codes_TBO[t], trains.d_second_TBO[t]
    columns_B2I, n_columns_B2 = trains.columns_TB2I[t], trains.n_columns_TB2[t]
    x_codes_BI = np.empty((stop - first, (x_BI.shape[1] + EIGHT - 1) // EIGHT * EIGHT), np.uint32)
    x_codes_BI[:, x_BI.shape[1] :] = 0
    d_codes_BO[first - start : stop - start, d_BO.shape[1] :] = 0
    d_second_BO[first - start : stop - start, d_BO.shape[1] :] = 0
    # no plain constants: numba would compile the functions anew for each of them
    of_x, of_d, slot, second_slot = np.int64(PULSE_X), np.int64(PULSE_D), np.int64(0), np.int64(SECOND_PASS)
    x_scales_B, d_scales_B = plan.scales_2TB[0, t], plan.scales_2TB[1, t]
    x_step, d_step, jitter = rule.x_step, rule.d_step, rule.jitter
    d_first, needed_B = d_BO.shape[1] <= x_BI.shape[1], np.empty_like(lengths_B)
    for side in range(2):
        lengths = needed_B if side else lengths_B
        if d_first == (side == 0):
            own = Lines(d_BO, lengths, d_scales_B, d_step, jitter, of_d, slot, k0, k1, tick, extra)
            make_codes(rule.mode, own, first, stop, d_codes_BO, start)
            if rule.mode == 1:
                again = Lines(
                    d_BO, lengths, d_scales_B, d_step, jitter, of_d, second_slot, k0, k1, tick, extra
                )
                make_codes(rule.mode, again, first, stop, d_second_BO, start)
        else:
            own = Lines(x_BI, lengths, x_scales_B, x_step, jitter, of_x, slot, k0, k1, tick, extra)
            make_codes(rule.mode, own, first, stop, x_codes_BI, first)
        if side == 0 and d_first:
            where_some_fire(lengths_B, d_codes_BO, d_second_BO, first, stop, start, needed_B)
        elif side == 0:
            where_some_fire(lengths_B, x_codes_BI, x_codes_BI, first, stop, first, needed_B)
    x_codes, columns = x_codes_BI.reshape(-1), columns_B2I.reshape(-1)
    pulses = trains.trains_TB2I[t].reshape(-1)
    for b in range(first, stop):
        at = b - start
        if needed_B[b] > 0:
            once = rule.mode == 0 and needed_B[b] == 1
            code = (b - first) * x_codes_BI.shape[1]
            room = columns_B2I.shape[2]
            split(x_codes, code, x_BI.shape[1], once, columns, room, pulses, n_columns_B2, at)
        else:
            n_columns_B2[at, 0] = n_columns_B2[at, 1] = 0


@numba.njit(error_model="numpy")
def make_block(task, block, blocks, vectors, plan, start, stop, rule, keys_T2, tick, extra, trains):
    """The trains of one of the ``blocks`` blocks of vectors of a tile."""
    t = task // blocks
    first = start + (task - t * blocks) * block
    last = min(first + block, stop)
    make_trains(vectors, t, plan, start, first, last, rule, keys_T2, tick, extra, trains)


@numba.njit(error_model="numpy", parallel=True)
def make_in_parallel(tasks, block, blocks, vectors, plan, start, stop, rule, keys_T2, tick, extra, trains):
    for task in prange(tasks):
        make_block(
            np.int64(task), block, blocks, vectors, plan, start, stop, rule, keys_T2, tick,
            extra, trains,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def make_chunk(vectors, plan, start, stop, rule, keys_T2, tick, extra, trains, parts):
    """The trains of vectors start..stop of every tile, in about as many tasks as ``parts`` says; 1: in order."""
    tiles, n = plan.lengths_TB.shape[0], stop - start
    lines = max(vectors.x_XBI.shape[2], vectors.d_DBO.shape[2])
    block = max(1, min(max(tiles * n * lines // parts, LEAST_LINES), MOST_LINES) // lines)
    blocks = (n + block - 1) // block
    if parts > 1 and tiles * blocks > 1:
        make_in_parallel(
            tiles * blocks, block, blocks, vectors, plan, start, stop, rule, keys_T2, tick,
            extra, trains,
        )  # fmt: skip
        return
    for task in range(tiles * blocks):
        make_block(
            task, block, blocks, vectors, plan, start, stop, rule, keys_T2, tick, extra,
            trains,
        )  # fmt: skip
