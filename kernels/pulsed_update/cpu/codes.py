"""Pulse trains on the CPU: one 32-bit code a line and vector, bit 31 the sign, the rest the train."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import EIGHT, fire_eight_by, wide_vectors
from ...rng import Stream
from ...rng.cpu import compiled, philox4x32, unit_interval
from .. import formulas
from ..rule import FINER

SIGN = np.uint32(0x80000000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
CALLS = 512  # Philox calls that are computed in one go

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


@numba.njit(error_model="numpy")
def make_codes(mode, own, first, stop, codes_BL, origin):
    """Codes of vectors first..stop; those of vector b are row b - origin."""
    if mode <= 1:
        random_codes(own, first, stop, codes_BL, origin)
    else:
        level_codes(mode, own, first, stop, codes_BL, origin)
