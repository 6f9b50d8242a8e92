"""Coincidences on a CUDA card: one program applies those of one row of one tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...devices.drawn.cuda import drawn_row
from ...machine.cuda.clock import move_on
from ...rng import Stream
from ...rng.cuda import counter_low, counter_top, normal_pair, philox4x32
from ...rng.triton_math import rint
from .trains import picked

STEP_NOISE, WRITE_NOISE = tl.constexpr(int(Stream.STEP_NOISE)), tl.constexpr(int(Stream.WRITE_NOISE))


@triton.jit
def bits_set(word):
    """The number of set bits of uint32 (Warren, Hacker's Delight, 5-1)."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return ((word * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def pulse_counts(x_code, d_code, d_second, length, MODE: tl.constexpr):
    """How many pulses the columns' codes and a row's code make."""
    x_level, d_level = x_code & 0x7FFFFFFF, d_code & 0x7FFFFFFF
    size = tl.cast(length, tl.float32)
    if MODE == 0:
        return bits_set((x_level & d_level).to(tl.uint32, bitcast=True))
    if MODE == 1:
        level = tl.where(x_code < 0, d_second & 0x7FFFFFFF, d_level)
        return bits_set((x_level & level).to(tl.uint32, bitcast=True))
    if MODE == 2:
        product = x_level.to(tl.float32) * d_level.to(tl.float32)
        return rint(tl.div_rn(product, tl.zeros_like(product) + size)).to(tl.int32)
    product = x_level.to(tl.float32, bitcast=True) * d_level.to(tl.float32, bitcast=True)
    return rint(size * product).to(tl.int32)


@triton.jit
def ordinal_noise(k0, k1, ordinal, row, tick, extra):
    """The standard normal of each ordinal of a row and vector."""
    call = (ordinal // 8).to(tl.uint32)
    zero = tl.zeros_like(call)
    low, top = zero + counter_low(tick), zero + counter_top(STEP_NOISE, extra, tick)
    words = philox4x32(k0, k1, call, zero + row, low, top)
    a, b = normal_pair(picked(words, ordinal % 8 // 2))
    return tl.where(ordinal % 2 == 0, a, b)


@triton.jit
def first_ordinals(number, negative):
    """Which noise of a row is each column's first: columns of positive inputs come before the others."""
    of_positive = tl.where(negative, 0, number)
    of_negative = number - of_positive
    after = tl.sum(of_positive, 0) + tl.cumsum(of_negative, 0) - of_negative
    return tl.where(negative, after, tl.cumsum(of_positive, 0) - of_positive)


class Stepped(NamedTuple):
    """What a step kernel is compiled for."""

    mode: int
    side: int
    noisy: bool
    aggregates: bool
    write: bool  # whether there is write noise
    drawn: bool  # whether the devices' parameters are drawn here
    vectors: int  # that are looked at, at a time, for those in which the row fires


def vectors_of(blocks: Sequence[int], batch: int) -> int:
    """Vectors that a row looks at, at a time, for those in which it fires; of layers of these blocks.

    Of wide rows and of several layers fewer fit the registers (``tests/golden/card_registers``).
    """
    most = 64 if len(blocks) == 1 and blocks[0] <= 512 else 32
    return min(most, triton.next_power_of_2(batch))


def warps_of(block: int) -> int:
    """Warps that share a row: four columns a thread; with more, wide rows would not fit the registers."""
    return min(max(block // 128, 1), 16)


class Stepping(NamedTuple):
    """What one layer's devices take: their state, the trains, and what is counted."""

    w_TOI: Any
    seen_TOI: Any
    population: Any  # parameters, or the keys that they are drawn from
    keys: Any
    clock: Any
    codes: Any
    pulses_T: Any
    saturated_TO: Any  # devices at a bound, of each row
    shape: Any
    extra: Any
    programs: Any  # of the layer
    advance: Any  # vectors that its clock moves on by


class Alike(NamedTuple):
    """What is the same in all layers of a launch."""

    c: Any
    write_noise: Any
    neg_rate: Any
    steps: Any  # that the launch ends: 1 for the last of several


@triton.jit
def saturated(w_I, low_I, high_I, here):
    """Devices at a bound; not stuck ones, nor those at a bound of 0, where they rest."""
    at_bound = ((w_I <= low_I) | (w_I >= high_I)) & (low_I < high_I) & (w_I != 0.0) & here
    return tl.sum(at_bound.to(tl.int32), 0)


@triton.jit
def coincidences(codes, shape, vector, row, column, alike, HOW: tl.constexpr):
    """Each column's pulses from a vector, whether they step up, and whether its input is negative."""
    here = column < shape.columns
    length = tl.load(codes.lengths + vector)
    d_code = tl.load(codes.d + vector * shape.rows + row)
    second = tl.load(codes.second + vector * shape.rows + row)
    x_code = tl.load(codes.x + vector * shape.columns + column, here, 0)
    count = tl.where(here, pulse_counts(x_code, d_code, second, length, HOW.mode), 0)
    up = ((x_code < 0) != (d_code < 0)) != (alike.neg_rate != 0)
    if HOW.side == 1:
        count = tl.where(up, count, 0)
    if HOW.side == 2:
        count = tl.where(up, 0, count)
        up = up | (column >= 0)
    return count, up, x_code < 0


@triton.jit
def step_row(
    layer, program, alike, step: tl.constexpr, formula: tl.constexpr, KIND: tl.constexpr,
    PARAMETERS: tl.constexpr, BLOCK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """All coincidences of one row of one tile with the vectors of a batch, in order.

    ``KIND`` is the named tuple of as many ``PARAMETERS`` that ``step`` takes. Where ``HOW.drawn``,
    ``formula`` draws them, from the keys ``layer.population``.
    """
    codes, shape, extra = layer.codes, layer.shape, layer.extra
    rows, columns = shape.rows, shape.columns
    t, row = program // rows, program % rows
    column = tl.arange(0, BLOCK)
    here = column < columns
    at = program.to(tl.int64) * columns + column
    w_I = tl.load(layer.w_TOI + at, here, 0.0)
    if HOW.drawn:
        p_PI = drawn_row(layer.population, t, row, column, columns, formula, KIND)
    else:
        p_PI = load_parameters(layer.population + at * PARAMETERS, here, KIND, PARAMETERS)
    k0 = tl.load(layer.keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(layer.keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    tick_0 = tl.load(layer.clock)
    row_word = tl.cast(row, tl.uint32)
    last, total = tl.full((BLOCK,), -1, tl.int32), tl.zeros((BLOCK,), tl.int32)
    first_vector = t.to(tl.int64) * shape.vectors
    one = tl.full((BLOCK,), 1.0, tl.float32)
    for start in range(0, shape.vectors, HOW.vectors):
        b_V = start + tl.arange(0, HOW.vectors)
        of_V, there_V = first_vector + b_V, b_V < shape.vectors
        length_V = tl.load(codes.lengths + of_V, there_V, 0)
        d_V = tl.load(codes.d + of_V * rows + row, there_V, 0)
        second_V = tl.load(codes.second + of_V * rows + row, there_V, 0)
        fires_V = (length_V > 0) & (((d_V | second_V) & 0x7FFFFFFF) != 0)
        b = tl.min(tl.where(fires_V, b_V, shape.vectors), 0)
        while b < shape.vectors:
            count, up, negative = coincidences(codes, shape, first_vector + b, row, column, alike, HOW)
            number = tl.minimum(count, 1) if HOW.aggregates else count
            first = first_ordinals(number, negative)
            most = tl.max(number, 0)
            repeat = 0
            while repeat < most:
                if HOW.noisy:
                    xi = ordinal_noise(k0, k1, first + repeat, row_word, tick_0 + b, extra)
                else:
                    xi = tl.zeros_like(w_I)
                n = count.to(tl.float32) if HOW.aggregates else one
                w_I = tl.where(number > repeat, step(w_I, up, n, xi, p_PI, alike.c), w_I)
                repeat += 1
            last, total = tl.where(count > 0, b, last), total + count
            b = tl.min(tl.where(fires_V & (b_V > b), b_V, shape.vectors), 0)
    tl.store(layer.w_TOI + at, w_I, here)
    tl.store(layer.saturated_TO + program, saturated(w_I, p_PI[0], p_PI[1], here))
    pulses = tl.sum(total, 0).to(tl.int64)
    tl.atomic_add(layer.pulses_T + t, pulses, pulses > 0)
    if HOW.write:
        xi = write_noise(k0, k1, column, row_word, tick_0 + last, extra)
        tl.store(layer.seen_TOI + at, w_I + alike.write_noise * xi, here & (last >= 0))


@triton.jit
def step_kernel(
    layers, findings, alike, step: tl.constexpr, formula: tl.constexpr, KIND: tl.constexpr,
    PARAMETERS: tl.constexpr, BLOCKS: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """All rows of all tiles of some layers; none moves a device once anything was found wrong."""
    program = tl.program_id(0)
    right = tl.load(findings) == 0
    if right & (program == 0):
        tl.atomic_add(findings + 1, tl.cast(alike.steps, tl.int64))
    for number in tl.static_range(len(BLOCKS)):
        layer = layers[number]
        if (program >= layer.shape.first) & (program < layer.shape.stop):
            if right:
                step_row(
                    layer,
                    program - layer.shape.first,
                    alike,
                    step,
                    formula,
                    KIND,
                    PARAMETERS,
                    BLOCKS[number],
                    HOW,
                )
            move_on(layer.clock, layer.advance, layer.programs)


@triton.jit
def write_noise(k0, k1, column, row, tick, extra):
    """The standard normal of what is seen of each column's weight after ``tick``."""
    low, top = counter_low(tick), counter_top(WRITE_NOISE, extra, tick)
    word, _, _, _ = philox4x32(k0, k1, column.to(tl.uint32), tl.zeros_like(low) + row, low, top)
    xi, _ = normal_pair(word)
    return xi


@triton.jit
def load_parameters(p, here, KIND: tl.constexpr, PARAMETERS: tl.constexpr):
    """The arrays that a step takes."""
    a, b = tl.load(p, here, 0.0), tl.load(p + 1, here, 0.0)
    c, d = tl.load(p + 2, here, 0.0), tl.load(p + 3, here, 0.0)
    if PARAMETERS == 4:
        return KIND(a, b, c, d)
    else:
        e = tl.load(p + 4, here, 0.0)
        if PARAMETERS == 5:
            return KIND(a, b, c, d, e)
        else:
            f = tl.load(p + 5, here, 0.0)
            if PARAMETERS == 6:
                return KIND(a, b, c, d, e, f)
            else:
                g = tl.load(p + 6, here, 0.0)
                return KIND(a, b, c, d, e, f, g)
