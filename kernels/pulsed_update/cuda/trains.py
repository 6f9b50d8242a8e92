"""Pulse trains on a CUDA card: one program makes those of one vector."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...rng import Stream
from ...rng.cuda import counter_low, counter_top, jitted, philox4x32, unit_interval
from ...rng.triton_math import rint
from .. import formulas
from ..rule import FINER, SECOND_PASS

PULSE_X, PULSE_D = tl.constexpr(int(Stream.PULSE_X)), tl.constexpr(int(Stream.PULSE_D))
ROUND_X, ROUND_D = tl.constexpr(int(Stream.ROUND_X)), tl.constexpr(int(Stream.ROUND_D))
_SECOND, _FINER = tl.constexpr(SECOND_PASS), tl.constexpr(FINER)

train_length = jitted(formulas.train_length)
train_scale = jitted(formulas.train_scale)
part_length = jitted(formulas.part_length)
quantised = jitted(formulas.quantised)
train_margin, fires = jitted(formulas.train_margin), jitted(formulas.fires)
surely, perhaps = jitted(formulas.surely), jitted(formulas.perhaps)


@triton.jit
def largest(values, lines, BLOCK: tl.constexpr):
    """The largest magnitude of a vector, as float bits: NaN and infinity are larger than all numbers."""
    top = tl.zeros((), tl.int32)
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        bits = tl.load(values + line, line < lines, 0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
        top = tl.maximum(top, tl.max(bits, 0))
    return top


@triton.jit
def picked(words, number):
    """Word ``number`` (0..3) of each call."""
    w0, w1, w2, w3 = words
    return tl.where(number < 2, tl.where(number == 0, w0, w1), tl.where(number == 2, w2, w3))


@triton.jit
def line_halves(k0, k1, line, row, low, top):
    """16 random bits a line, as a number: line is half ``line % 8`` of call ``line // 8``."""
    call = (line // 8).to(tl.uint32)
    zero = tl.zeros_like(call)
    words = philox4x32(k0, k1, call, (zero + row).to(tl.uint32), zero + low, zero + top)
    word = picked(words, line % 8 // 2)
    return tl.where(line % 2 == 0, word & 0xFFFF, word >> 16).to(tl.float32)


class Trained(NamedTuple):
    """What a train kernel is compiled for."""

    scaling: int
    mode: int
    jitter: bool
    has_active: bool
    parts: int
    block: int


class Codes(NamedTuple):
    """A code of each line of each vector of each tile, and the length of its trains."""

    x: Any
    d: Any
    second: Any  # of d, in the pass of the negative inputs
    lengths: Any


class Shape(NamedTuple):
    """Of a tile and a batch."""

    vectors: Any
    columns: Any
    rows: Any


class Scaling(NamedTuple):
    """What trains are scaled by, see ``formulas``."""

    rate: Any
    granularity: Any
    desired: Any
    grad_scale: Any
    x_step: Any
    d_step: Any
    longest: Any  # train that there is room for


class Draw(NamedTuple):
    """Whose random numbers, and when."""

    k0: Any
    k1: Any
    tick: Any
    extra: Any


@triton.jit
def line_codes(
    values, codes, lines, scale, step, length, draw, slot_0: tl.constexpr, STREAM: tl.constexpr,
    ROUND: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """Codes of one vector's lines: bit 31 the sign, the rest the train, count or level."""
    low, top = counter_low(draw.tick), counter_top(STREAM, draw.extra, draw.tick)
    k0, k1 = draw.k0, draw.k1
    for start in range(0, lines, HOW.block):
        line = start + tl.arange(0, HOW.block)
        here = line < lines
        value = tl.load(values + line, here, 0.0)
        call, number = (line // 4).to(tl.uint32), line % 4
        level = tl.abs(value) * scale
        offset = tl.zeros_like(level)
        if HOW.jitter:
            zero = tl.zeros_like(call)
            words = philox4x32(
                k0, k1, call, zero, zero + low, zero + counter_top(ROUND, draw.extra, draw.tick)
            )
            offset = unit_interval(picked(words, number)) - 0.5
        level = quantised(level, step, offset)
        if HOW.mode <= 1:
            code = tl.zeros_like(line)
            slot = 0
            while slot < length:
                half = line_halves(k0, k1, line, slot + slot_0, low, top)
                margin = train_margin(level, half)
                fired = surely(margin)
                undecided = perhaps(margin) & (fired == 0)
                if tl.max(undecided.to(tl.int32), 0) > 0:
                    zero = tl.zeros_like(call)
                    row = (zero + slot + slot_0 + _FINER).to(tl.uint32)
                    words = philox4x32(k0, k1, call, row, zero + low, zero + top)
                    fired = fires(margin, unit_interval(picked(words, number)))
                code = code | (fired.to(tl.int32) << slot)
                slot += 1
        elif HOW.mode == 2:
            size = tl.cast(length, tl.float32)
            code = tl.minimum(rint(level * size), size).to(tl.int32)
        else:
            code = tl.minimum(tl.maximum(level, 0.0), 1.0).to(tl.int32, bitcast=True)
        code = tl.where(length > 0, code, 0)
        sign = value.to(tl.int32, bitcast=True) & -2147483648
        tl.store(codes + line, code | sign, here)


@triton.jit
def train_kernel(vectors, active, keys, tick_of_first, codes, shape, scaling, extra, HOW: tl.constexpr):
    """Trains of vector b of tile t. The length is -1 or -2 where x or d is not finite, -3 if too long."""
    batch, columns, rows = shape.vectors, shape.columns, shape.rows
    t, b = tl.program_id(0) // batch, tl.program_id(0) % batch
    x_values = vectors.x_XBI + (tl.load(vectors.x_of_T + t) * batch + b) * columns
    d_values = vectors.d_DBO + (tl.load(vectors.d_of_T + t) * batch + b) * rows
    x_bits, d_bits = largest(x_values, columns, HOW.block), largest(d_values, rows, HOW.block)
    x_max = x_bits.to(tl.float32, bitcast=True)
    d_max = d_bits.to(tl.float32, bitcast=True) * scaling.grad_scale
    rate, granularity, desired = scaling.rate, scaling.granularity, scaling.desired
    planned = train_length(x_max, d_max, rate, granularity, desired, HOW.scaling)
    if HOW.has_active:
        planned = tl.where(tl.load(active + t * batch + b) == 0, 0.0, planned)
    of_d, of_x = train_scale(x_max, d_max, rate, granularity, desired, HOW.scaling, planned)
    length = part_length(planned, (b % HOW.parts).to(tl.float32), HOW.parts).to(tl.int32)
    length = tl.where(planned > scaling.longest, -3, length)
    length = tl.where(d_bits >= 0x7F800000, -2, length)
    length = tl.where(x_bits >= 0x7F800000, -1, length)
    at = (t * batch + b).to(tl.int64)
    tl.store(codes.lengths + at, length)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    draw = Draw(k0, k1, tl.load(tick_of_first) + b, extra)
    x_codes = codes.x + at * columns
    line_codes(x_values, x_codes, columns, of_x, scaling.x_step, length, draw, 0, PULSE_X, ROUND_X, HOW)
    d_codes = codes.d + at * rows
    line_codes(d_values, d_codes, rows, of_d, scaling.d_step, length, draw, 0, PULSE_D, ROUND_D, HOW)
    if HOW.mode == 1:
        second = codes.second + at * rows
        line_codes(d_values, second, rows, of_d, scaling.d_step, length, draw, _SECOND, PULSE_D, ROUND_D, HOW)
