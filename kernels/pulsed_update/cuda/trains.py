"""Pulse trains on a CUDA card: one program makes those of one vector."""

from __future__ import annotations

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


@triton.jit
def line_codes(
    values, codes, lines, scale, step, length, k0, k1, tick, extra, slot_0: tl.constexpr, MODE: tl.constexpr,
    JITTER: tl.constexpr, STREAM: tl.constexpr, ROUND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Codes of one vector's lines: bit 31 the sign, the rest the train, count or level."""
    low, top = counter_low(tick), counter_top(STREAM, extra, tick)
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        here = line < lines
        value = tl.load(values + line, here, 0.0)
        call, number = (line // 4).to(tl.uint32), line % 4
        level = tl.abs(value) * scale
        offset = tl.zeros_like(level)
        if JITTER:
            zero = tl.zeros_like(call)
            words = philox4x32(k0, k1, call, zero, zero + low, zero + counter_top(ROUND, extra, tick))
            offset = unit_interval(picked(words, number)) - 0.5
        level = quantised(level, step, offset)
        if MODE <= 1:
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
        elif MODE == 2:
            size = tl.cast(length, tl.float32)
            code = tl.minimum(rint(level * size), size).to(tl.int32)
        else:
            code = tl.minimum(tl.maximum(level, 0.0), 1.0).to(tl.int32, bitcast=True)
        code = tl.where(length > 0, code, 0)
        sign = value.to(tl.int32, bitcast=True) & -2147483648
        tl.store(codes + line, code | sign, here)


@triton.jit
def train_kernel(
    x, x_of, d, d_of, active, keys, tick_of_first, x_codes, d_codes, d_second, lengths, vectors,
    columns, rows, rate, granularity, desired, grad_scale, x_step, d_step, extra, SCALING: tl.constexpr,
    MODE: tl.constexpr, JITTER: tl.constexpr, HAS_ACTIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Trains of vector b of tile t. The length is -1 or -2 where x or d is not finite."""
    t, b = tl.program_id(0), tl.program_id(1)
    tick = tl.load(tick_of_first) + b
    x_values = x + (tl.load(x_of + t) * vectors + b) * columns
    d_values = d + (tl.load(d_of + t) * vectors + b) * rows
    x_bits, d_bits = largest(x_values, columns, BLOCK), largest(d_values, rows, BLOCK)
    x_max = x_bits.to(tl.float32, bitcast=True)
    d_max = d_bits.to(tl.float32, bitcast=True) * grad_scale
    planned = train_length(x_max, d_max, rate, granularity, desired, SCALING)
    if HAS_ACTIVE:
        planned = tl.where(tl.load(active + t * vectors + b) == 0, 0.0, planned)
    of_d, of_x = train_scale(x_max, d_max, rate, granularity, desired, SCALING, planned)
    length = planned.to(tl.int32)
    length = tl.where(d_bits >= 0x7F800000, -2, length)
    length = tl.where(x_bits >= 0x7F800000, -1, length)
    at = (t * vectors + b).to(tl.int64)
    tl.store(lengths + at, length)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    line_codes(
        x_values, x_codes + at * columns, columns, of_x, x_step, length, k0, k1, tick, extra, 0, MODE, JITTER,
        PULSE_X, ROUND_X, BLOCK,
    )  # fmt: skip
    line_codes(
        d_values, d_codes + at * rows, rows, of_d, d_step, length, k0, k1, tick, extra, 0, MODE, JITTER,
        PULSE_D, ROUND_D, BLOCK,
    )  # fmt: skip
    if MODE == 1:
        line_codes(
            d_values, d_second + at * rows, rows, of_d, d_step, length, k0, k1, tick, extra, _SECOND, MODE,
            JITTER, PULSE_D, ROUND_D, BLOCK,
        )  # fmt: skip
