"""The stages of a read for CUDA, each over a block of vectors and lines of one tile."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...rng.cuda import jitted
from .. import formulas, settings
from .lines import block_normals, block_uniforms

quantised = jitted(formulas.quantised)
quantised_at_random = jitted(formulas.quantised_at_random)
clipped = jitted(formulas.clipped)
at_input, at_output = jitted(formulas.at_input), jitted(formulas.at_output)
wire_drop = jitted(formulas.wire_drop)
offset_and_series = jitted(formulas.offset_and_series)
saturated = jitted(formulas.saturated)
number_sum_scale = jitted(formulas.number_sum_scale)

SCALE_CONSTANT, SCALE_MAX = tl.constexpr(settings.SCALE_CONSTANT), tl.constexpr(settings.SCALE_MAX)
SCALE_NONE, SCALE_NP_SUM = tl.constexpr(settings.SCALE_NONE), tl.constexpr(settings.SCALE_NP_SUM)
ONE_PASS, DIGITAL_SUM = tl.constexpr(settings.ONE_PASS), tl.constexpr(settings.DIGITAL_SUM)
NO_NOISE, ADDITIVE = tl.constexpr(settings.NO_WEIGHT_NOISE), tl.constexpr(settings.ADDITIVE_NOISE)
PCM_READ = tl.constexpr(settings.PCM_READ_NOISE)
DRAW_INPUT, DRAW_INPUT_ROUNDING = (
    tl.constexpr(settings.INPUT_NOISE), tl.constexpr(settings.INPUT_ROUNDING),
)  # fmt: skip
DRAW_OUTPUT, DRAW_WEIGHT, DRAW_OUTPUT_ROUNDING = (
    tl.constexpr(settings.OUTPUT_NOISE), tl.constexpr(settings.WEIGHT_NOISE),
    tl.constexpr(settings.OUTPUT_ROUNDING),
)  # fmt: skip
SECOND = tl.constexpr(settings.SECOND_PASS)
# inputs that a pass sees
ALL, NEGATIVE, POSITIVE = tl.constexpr(0), tl.constexpr(-1), tl.constexpr(1)


class Stages(NamedTuple):
    """What a kernel is compiled for: which stages a read has, and how large its blocks are."""

    stream: int
    passes: int
    inp_random: bool
    inp_noisy: bool
    factor: bool  # whether weights are others at negative inputs
    wires: bool
    offset: bool
    weight_noise: int
    nonlinear: bool
    out_noisy: bool
    out_spread: bool
    out_random: bool
    rows: int
    lines: int
    terms: int  # of a sum, at a time


class Inputs(NamedTuple):
    """For each input row: the row of x that it is made from, its tile, its vector; see ``Rows``."""

    source: Any
    tile: Any
    vector: Any


class Outputs(NamedTuple):
    """Each tile's first output row, the first of its input rows, and each output row's vector."""

    first_row: Any
    input_first: Any
    vector: Any


class Spreads(NamedTuple):
    """``Spread`` on the card."""

    read_factor: Any
    out_noise: Any
    curvature: Any
    slope: Any
    offset: Any


class Results(NamedTuple):
    """Outputs, and how many of each row's are above and below the ADC's bound."""

    y: Any
    above: Any
    below: Any


class Shape(NamedTuple):
    """Blocks of rows a tile, lines, terms of a sum, and the distances of lines and terms in the weights."""

    row_blocks: Any
    lines: Any
    length: Any
    w_line: Any
    w_term: Any


class Block(NamedTuple):
    """A block of output rows and lines of one tile, inside a kernel."""

    k0: Any
    k1: Any
    m: Any  # input rows
    inside: Any  # whether there is such a row
    line: Any
    first: Any  # line
    tick_R: Any
    number: Any  # of the attempt


class LineSpread(NamedTuple):
    """What differs between the block's lines."""

    offset_L: Any
    curvature_L: Any
    slope: Any
    std_L: Any


@triton.jit
def scales_kernel(
    x, alpha, largest, s, vectors, length, unscaled, SCALING: tl.constexpr, ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The scale of every vector; ``largest``: float bits of all magnitudes, above all numbers for NaN."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = r < vectors
    bits_RB = tl.zeros((ROWS, BLOCK), tl.int32)
    value_RB = tl.full((ROWS, BLOCK), float("-inf"), tl.float32)
    positive_RB, negative_RB = tl.zeros((ROWS, BLOCK), tl.float32), tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(0, length, BLOCK):
        term = start + tl.arange(0, BLOCK)
        here = inside[:, None] & (term < length)[None, :]
        x_RB = tl.load(x + r[:, None].to(tl.int64) * length + term[None, :], here, 0.0)
        bits_RB = tl.maximum(bits_RB, x_RB.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
        if SCALING == SCALE_MAX:
            value_RB = tl.maximum(value_RB, tl.where(here, x_RB, float("-inf")))
        if SCALING == SCALE_NP_SUM:
            positive_RB += tl.maximum(x_RB, 0.0)
            negative_RB += tl.maximum(-x_RB, 0.0)
    bits_R = tl.max(bits_RB, 1)
    tl.atomic_max(largest, tl.max(bits_R, 0))
    if SCALING == SCALE_NONE:
        alpha_R = tl.full((ROWS,), 1.0, tl.float32)
    elif SCALING == SCALE_CONSTANT:
        alpha_R = tl.zeros((ROWS,), tl.float32) + s.largest_scale
    elif SCALING == SCALE_MAX:
        alpha_R = tl.minimum(tl.max(value_RB, 1), s.largest_scale)
    else:
        alpha_R = tl.minimum(bits_R.to(tl.float32, bitcast=True), s.largest_scale)
    if SCALING == SCALE_NP_SUM:
        sums_R = tl.maximum(tl.sum(positive_RB, 1), tl.sum(negative_RB, 1))
        alpha_R = number_sum_scale(alpha_R, sums_R, s.np_sum_finest, s.np_sum_factor)
    tl.store(alpha + r, tl.where(alpha_R > 0.0, alpha_R, unscaled), inside)


@triton.jit(do_not_specialize=["tick", "number"])
def convert_kernel(
    x, scale, inputs, keys, s, u, count, length, tick, number, STAGES: tl.constexpr,
):  # fmt: skip
    """Scaling, DAC, input noise and asymmetry of ``count`` input rows."""
    ROWS: tl.constexpr = STAGES.rows
    BLOCK: tl.constexpr = STAGES.lines
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * BLOCK
    term = first + tl.arange(0, BLOCK)
    inside = m < count
    here = inside[:, None] & (term < length)[None, :]
    scale_R1 = tl.load(scale + m, inside, 0.0)[:, None]
    x_RB = tl.load(x + tl.load(inputs.source + m, inside, 0)[:, None] * length + term[None, :], here, 0.0)
    u_RB = tl.div_rn(x_RB, tl.where(scale_R1 > 0.0, scale_R1, 1.0) + tl.zeros_like(x_RB))
    if STAGES.inp_random or STAGES.inp_noisy:
        tick_R = tl.cast(tick, tl.int64) + tl.load(inputs.vector + m, inside, 0)
        key = keys + 2 * tl.load(inputs.tile + m, inside, 0)
        k0 = tl.load(key, inside, 0).to(tl.uint32, bitcast=True)[:, None]
        k1 = tl.load(key + 1, inside, 0).to(tl.uint32, bitcast=True)[:, None]
    if STAGES.inp_random:
        drawn = block_uniforms(k0, k1, DRAW_INPUT_ROUNDING, first, tick_R, number, STAGES.stream, ROWS, BLOCK)
        u_RB = quantised_at_random(u_RB, s.inp_step, drawn)
    else:
        u_RB = quantised(u_RB, s.inp_step)
    u_RB = clipped(u_RB, s.inp_bound)
    if STAGES.inp_noisy:
        drawn = block_normals(k0, k1, DRAW_INPUT, first, tick_R, number, STAGES.stream, ROWS, BLOCK)
        u_RB += s.inp_noise * drawn
    u_RB = at_input(u_RB, s)
    u_RB = tl.where(scale_R1 > 0.0, u_RB, 0.0)
    tl.store(u + m[:, None].to(tl.int64) * length + term[None, :], u_RB, here)


@triton.jit
def line_signal(
    w, factor, u, s, block, spread, shape, INPUTS: tl.constexpr, DRAW: tl.constexpr, FACTOR: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """The product with the array's own imperfections: wires, offset, series resistance, read noise."""
    ROWS: tl.constexpr = STAGES.rows
    LINES: tl.constexpr = STAGES.lines
    TERMS: tl.constexpr = STAGES.terms
    length, lines, line = shape.length, shape.lines, block.line
    y = tl.zeros((ROWS, LINES), tl.float32)
    current, weighted = tl.zeros((ROWS, LINES), tl.float32), tl.zeros((ROWS, LINES), tl.float32)
    power = tl.zeros((ROWS, LINES), tl.float32)
    sum_R, squares_R = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    for start in range(0, length, TERMS):
        term = start + tl.arange(0, TERMS)
        there = term < length
        driven = block.inside[:, None] & there[None, :]
        u_RK = tl.load(u + block.m[:, None] * length + term[None, :], driven, 0.0)
        if INPUTS == NEGATIVE:
            u_RK = tl.minimum(u_RK, 0.0)
        if INPUTS == POSITIVE:
            u_RK = tl.maximum(u_RK, 0.0)
        at = term[:, None] * shape.w_term + line[None, :] * shape.w_line
        within = there[:, None] & (line < lines)[None, :]
        w_KL = tl.load(w + at, within, 0.0)
        if FACTOR:
            w_KL *= tl.load(factor + at, within, 0.0)
        y = tl.dot(u_RK, w_KL, y, input_precision="ieee")
        if STAGES.wires:
            current = tl.dot(tl.abs(u_RK), tl.abs(w_KL), current, input_precision="ieee")
            far = 1.0 - tl.div_rn(term.to(tl.float32), tl.zeros((TERMS,), tl.float32) + length)
            weighted = tl.dot(u_RK * (1.0 - far * far)[None, :], w_KL, weighted, input_precision="ieee")
        if STAGES.offset:
            sum_R += tl.sum(u_RK, 1)
        if STAGES.weight_noise == ADDITIVE:
            squares_R += tl.sum(u_RK * u_RK, 1)
        if STAGES.weight_noise == PCM_READ:
            power = tl.dot(u_RK * u_RK, tl.abs(w_KL), power, input_precision="ieee")
    if STAGES.wires:
        y -= wire_drop(current, weighted, s.ir_drop, s.length_by_g_ratio)
    if STAGES.offset:
        y_ref = tl.zeros_like(y) + (-s.v_offset_w_min * sum_R)[:, None]
        y = offset_and_series(y, y_ref, spread.offset_L[None, :], s.r_series)
    if STAGES.weight_noise != NO_NOISE:
        if STAGES.weight_noise == ADDITIVE:
            power += squares_R[:, None]
        drawn = block_normals(
            block.k0, block.k1, DRAW_WEIGHT + DRAW, block.first, block.tick_R, block.number, STAGES.stream,
            ROWS, LINES,
        )  # fmt: skip
        y += s.w_noise * tl.sqrt_rn(power) * drawn
    return y


@triton.jit
def converted_output(y, s, block, spread, here, DRAW: tl.constexpr, STAGES: tl.constexpr):
    """The non-linear output stage and the ADC; counts of a row's values beyond either bound."""
    if STAGES.nonlinear:
        y = saturated(y, spread.curvature_L[None, :], spread.slope)
    y = at_output(y, s)
    if STAGES.out_noisy:
        drawn = block_normals(
            block.k0, block.k1, DRAW_OUTPUT + DRAW, block.first, block.tick_R, block.number, STAGES.stream,
            STAGES.rows, STAGES.lines,
        )  # fmt: skip
        y += spread.std_L[None, :] * drawn
    if STAGES.out_random:
        drawn = block_uniforms(
            block.k0, block.k1, DRAW_OUTPUT_ROUNDING + DRAW, block.first, block.tick_R, block.number,
            STAGES.stream, STAGES.rows, STAGES.lines,
        )  # fmt: skip
        y = quantised_at_random(y, s.out_step, drawn)
    else:
        y = quantised(y, s.out_step)
    above_R = tl.sum((here & (y > s.out_bound)).to(tl.int32), 1)
    below_R = tl.sum((here & (y < -s.out_bound)).to(tl.int32), 1)
    return clipped(y, s.out_bound), above_R, below_R


@triton.jit
def store_block(out, y_RL, above_R, below_R, n, inside, line, lines):
    """Store a block's outputs and add its counts to those of its rows ``n``."""
    kept = inside[:, None] & (line < lines)[None, :]
    tl.store(out.y + n[:, None].to(tl.int64) * lines + line[None, :], y_RL, kept)
    tl.atomic_add(out.above + n, above_R, inside & (above_R > 0))
    tl.atomic_add(out.below + n, below_R, inside & (below_R > 0))


@triton.jit
def spread_of_lines(spreads, s, t, line, lines, STAGES: tl.constexpr):
    """What differs between the lines ``line`` of tile ``t``."""
    LINES: tl.constexpr = STAGES.lines
    at = t * lines + line
    zero_L = tl.zeros((LINES,), tl.float32)
    offset_L = tl.load(spreads.offset + at, line < lines, 0.0) if STAGES.offset else zero_L
    curvature_L = tl.load(spreads.curvature + at, line < lines, 0.0) if STAGES.nonlinear else zero_L
    slope = tl.load(spreads.slope + t) if STAGES.nonlinear else 1.0
    std_L = zero_L + s.out_noise
    if STAGES.out_spread:
        std_L = tl.load(spreads.out_noise + at, line < lines, 0.0)
    return LineSpread(offset_L, curvature_L, slope, std_L)


@triton.jit(do_not_specialize=["tick", "number"])
def read_kernel(
    w, u, scale, outputs, keys, s, spreads, out, shape, tick, number, STAGES: tl.constexpr,
):  # fmt: skip
    """Program (t row_blocks + r, k): output rows of block r of tile t, lines of block k, all stages."""
    t = tl.program_id(0) // shape.row_blocks
    row_0, stop = tl.load(outputs.first_row + t), tl.load(outputs.first_row + t + 1)
    begin = row_0 + (tl.program_id(0) % shape.row_blocks) * STAGES.rows
    if begin >= stop:
        return
    n = begin + tl.arange(0, STAGES.rows)
    inside = n < stop
    m = tl.load(outputs.input_first + t) + n - row_0
    first, lines = tl.program_id(1) * STAGES.lines, shape.lines
    line = first + tl.arange(0, STAGES.lines)
    tick_R = tl.cast(tick, tl.int64) + tl.load(outputs.vector + n, inside, 0)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    block = Block(k0, k1, m, inside, line, first, tick_R, number)
    spread = spread_of_lines(spreads, s, t, line, lines, STAGES)
    tile = t.to(tl.int64) * lines * shape.length
    gain_R = tl.load(scale + m, inside, 0.0) * s.out_scale
    here = (inside & (gain_R != 0.0))[:, None] & (line < lines)[None, :]
    LOW: tl.constexpr = ALL if STAGES.passes == ONE_PASS else NEGATIVE
    factor = spreads.read_factor + tile
    y_RL = line_signal(w + tile, factor, u, s, block, spread, shape, LOW, 0, STAGES.factor, STAGES)
    if STAGES.passes != ONE_PASS:
        high_RL = line_signal(w + tile, factor, u, s, block, spread, shape, POSITIVE, SECOND, False, STAGES)
        if STAGES.passes != DIGITAL_SUM:
            y_RL += high_RL
    y_RL, above_R, below_R = converted_output(y_RL, s, block, spread, here, 0, STAGES)
    if STAGES.passes == DIGITAL_SUM:
        high_RL, more_R, less_R = converted_output(high_RL, s, block, spread, here, SECOND, STAGES)
        y_RL += high_RL
        above_R += more_R
        below_R += less_R
    store_block(out, y_RL * gain_R[:, None], above_R, below_R, n, inside, line, lines)
