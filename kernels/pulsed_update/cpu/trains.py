"""The trains of a chunk of vectors on the CPU: for each vector the columns that fire, and the rows' codes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from ...machine.intrinsics import EIGHT, popcount, put_eight, signs_of_eight
from ...machine.jit import data_of
from ..rule import SECOND_PASS
from .codes import MAGNITUDE, PULSE_D, PULSE_X, Lines, make_codes

#: flat, eight a byte: the numbers of its set bits, then zeros
SET_BITS = np.array(
    [[*(i for i in range(8) if n >> i & 1), *[0] * 8][:8] for n in range(256)], np.int32
).ravel()
LEAST_LINES, MOST_LINES = 4096, 16384  # whose trains are one task: each needs room of its own


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
    """The trains of vectors start..stop of every tile, in some ``parts`` tasks; 1: one after the other."""
    tiles, n = plan.lengths_TB.shape[0], stop - start
    lines = max(vectors.x_XBI.shape[2], vectors.d_DBO.shape[2])
    block = max(1, min(max(tiles * n * lines // parts, LEAST_LINES), MOST_LINES) // lines)
    blocks = (n + block - 1) // block
    if blocks > parts:  # as many for each thread
        blocks = (blocks + parts - 1) // parts * parts
        block = (n + blocks - 1) // blocks
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
