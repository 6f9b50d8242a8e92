"""Pulse trains on a CUDA card: one program makes those of one vector."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...machine.cuda.findings import found
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
def seen(values, mask, line, here, MASKED: tl.constexpr):
    """Values of some lines: none of those that a mask takes out."""
    value = tl.load(values + line, here, 0.0)
    if MASKED:
        value = tl.where(tl.load(mask + line, here, 0) > 0, 0.0, value)
    return value


@triton.jit
def largest(values, mask, lines, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    """The largest magnitude of a vector, as float bits: NaN and infinity are larger than all numbers."""
    top = tl.zeros((), tl.int32)
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        value = seen(values, mask, line, line < lines, MASKED)
        bits = value.to(tl.int32, bitcast=True) & 0x7FFFFFFF
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
    masked: bool
    parts: int


class Codes(NamedTuple):
    """A code of each line of each vector of each tile, and the length of its trains."""

    x: Any
    d: Any
    second: Any  # of d, in the pass of the negative inputs
    lengths: Any


class Shape(NamedTuple):
    """Of a tile and a batch; the first of a launch's programs that are this layer's, and the one behind."""

    vectors: Any
    columns: Any
    rows: Any
    first: Any
    stop: Any


class Trains(NamedTuple):
    """What the trains of one layer are made from, and where they go."""

    x_XBI: Any
    x_of_T: Any
    d_DBO: Any
    d_of_T: Any
    mask: Any  # 1 where a gradient [T, B, O] is none
    active: Any
    keys: Any
    clock: Any
    codes: Any
    shape: Any
    extra: Any
    finding: Any  # what the layer's is called


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
    values, codes, lines, scaled, length, draw, slot_0: tl.constexpr, STREAM: tl.constexpr,
    ROUND: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """Codes of one vector's lines: bit 31 the sign, the rest the train, count or level."""
    low, top = counter_low(draw.tick), counter_top(STREAM, draw.extra, draw.tick)
    k0, k1 = draw.k0, draw.k1
    scale, step, mask = scaled
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        here = line < lines
        value = seen(values, mask, line, here, MASKED)
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
def trains_of(layer, program, findings, scaling, BLOCK: tl.constexpr, HOW: tl.constexpr):
    """Trains of vector b of tile t of a layer; of length 0, and noted, where x or d is not finite."""
    codes, shape, extra = layer.codes, layer.shape, layer.extra
    batch, columns, rows = shape.vectors, shape.columns, shape.rows
    t, b = program // batch, program % batch
    at = (t * batch + b).to(tl.int64)
    x_values = layer.x_XBI + (tl.load(layer.x_of_T + t) * batch + b) * columns
    d_values = layer.d_DBO + (tl.load(layer.d_of_T + t) * batch + b) * rows
    mask = layer.mask + at * rows
    x_bits = largest(x_values, mask, columns, False, BLOCK)
    d_bits = largest(d_values, mask, rows, HOW.masked, BLOCK)
    x_max = x_bits.to(tl.float32, bitcast=True)
    d_max = d_bits.to(tl.float32, bitcast=True) * scaling.grad_scale
    rate, granularity, desired = scaling.rate, scaling.granularity, scaling.desired
    planned = train_length(x_max, d_max, rate, granularity, desired, HOW.scaling)
    if HOW.has_active:
        planned = tl.where(tl.load(layer.active + at) == 0, 0.0, planned)
    of_d, of_x = train_scale(x_max, d_max, rate, granularity, desired, HOW.scaling, planned)
    length = part_length(planned, (b % HOW.parts).to(tl.float32), HOW.parts).to(tl.int32)
    wrong = tl.where(planned > scaling.longest, 3, 0)
    wrong = tl.where(d_bits >= 0x7F800000, 2, wrong)
    wrong = tl.where(x_bits >= 0x7F800000, 1, wrong)
    if wrong > 0:
        found(findings, layer.finding + wrong)
    length = tl.where(wrong > 0, 0, length)
    tl.store(codes.lengths + at, length)
    k0 = tl.load(layer.keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(layer.keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    draw = Draw(k0, k1, tl.load(layer.clock) + b, extra)
    x_codes, x_scaled = codes.x + at * columns, (of_x, scaling.x_step, mask)
    line_codes(x_values, x_codes, columns, x_scaled, length, draw, 0, PULSE_X, ROUND_X, False, BLOCK, HOW)
    d_codes, d_scaled = codes.d + at * rows, (of_d, scaling.d_step, mask)
    line_codes(d_values, d_codes, rows, d_scaled, length, draw, 0, PULSE_D, ROUND_D, HOW.masked, BLOCK, HOW)
    if HOW.mode == 1:
        d_codes = codes.second + at * rows
        line_codes(
            d_values, d_codes, rows, d_scaled, length, draw, _SECOND, PULSE_D, ROUND_D, HOW.masked, BLOCK, HOW
        )


@triton.jit
def train_kernel(layers, findings, scaling, BLOCKS: tl.constexpr, HOW: tl.constexpr):
    """Trains of all vectors of all tiles of some layers; each has the size of its blocks in ``BLOCKS``."""
    program = tl.program_id(0)
    for number in tl.static_range(len(BLOCKS)):
        layer = layers[number]
        if (program >= layer.shape.first) & (program < layer.shape.stop):
            trains_of(layer, program - layer.shape.first, findings, scaling, BLOCKS[number], HOW)
