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
    scaling: int
    scaled: bool  # whether scales are given, and not to be found here
    attempts: int  # at most; with several a program has all lines of its rows
    worst: bool  # whether attempts beyond the first are scaled by sums of inputs
    twice: bool  # whether the second attempt is at the scale of the first
    below_too: bool  # whether an output below the ADC's range is tried again too
    bounded: bool  # whether it is told which results stand at the bound
    masked: bool  # whether some inputs are none
    per_row: bool  # whether outputs beyond the bound are counted for each row, and not for each tile
    rows: int
    lines: int
    terms: int  # of a sum, at a time
    look: int  # inputs of a row that are looked at, at a time


class Inputs(NamedTuple):
    """x [rows, I]; for each input row the row of x that it is made from, and its scale, where given.

    ``mask`` [output rows, I] is 1 where an output row's input is none.
    """

    x: Any
    source: Any
    scale: Any
    mask: Any


class Outputs(NamedTuple):
    """Each tile's first output row, the first of its input rows, each output row's vector; see ``Rows``."""

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
    """What a read gives: outputs, which of them stand at the bound, and how many were beyond it.

    ``above`` and ``below`` are of each row; ``clips`` and ``retries``, which are added to, of each tile.
    """

    y: Any
    mask: Any
    above: Any
    below: Any
    clips: Any
    retries: Any


class Shape(NamedTuple):
    """Of a launch: its blocks and sizes, the distances of lines and terms in the weights, and numbers."""

    row_blocks: Any  # of a tile
    line_blocks: Any  # of programs
    programs: Any
    lines: Any
    length: Any
    w_line: Any
    w_term: Any
    number: Any  # of the first attempt
    advance: Any  # vectors that the clock moves on by
    unscaled: Any  # the scale in place of 0
    limit: Any  # from which on a result of scale 1 stands at the bound


class Shared(NamedTuple):
    """What outlives a launch: the time, what was found wrong, and what this read would call it."""

    clock: Any
    findings: Any
    finding: Any


class Block(NamedTuple):
    """A block of output rows and lines of one tile, inside a kernel."""

    k0: Any
    k1: Any
    n: Any  # rows
    source: Any  # of x
    inside: Any  # whether there is such a row
    line: Any
    first: Any  # line
    tick_R: Any
    number: Any  # of the attempt
    scale_R: Any


class LineSpread(NamedTuple):
    """What differs between the block's lines."""

    offset_L: Any
    curvature_L: Any
    slope: Any
    std_L: Any


@triton.jit
def input_block(inputs, n, source, here, term, length, MASKED: tl.constexpr):
    """Inputs of some rows and terms."""
    x_RK = tl.load(inputs.x + source[:, None] * length + term[None, :], here, 0.0)
    if MASKED:
        none_RK = tl.load(inputs.mask + n[:, None].to(tl.int64) * length + term[None, :], here, 0)
        x_RK = tl.where(none_RK > 0, 0.0, x_RK)
    return x_RK


@triton.jit
def driven(inputs, s, block, start, length, STAGES: tl.constexpr):
    """What drives the lines from term ``start`` on: scaling, DAC, input noise and asymmetry."""
    ROWS: tl.constexpr = STAGES.rows
    TERMS: tl.constexpr = STAGES.terms
    term = start + tl.arange(0, TERMS)
    here = block.inside[:, None] & (term < length)[None, :]
    scale_R1 = block.scale_R[:, None]
    x_RK = input_block(inputs, block.n, block.source, here, term, length, STAGES.masked)
    u_RK = tl.div_rn(x_RK, tl.where(scale_R1 > 0.0, scale_R1, 1.0) + tl.zeros_like(x_RK))
    if STAGES.inp_random:
        drawn = block_uniforms(
            block.k0, block.k1, DRAW_INPUT_ROUNDING, start, block.tick_R, block.number, STAGES.stream, ROWS,
            TERMS,
        )  # fmt: skip
        u_RK = quantised_at_random(u_RK, s.inp_step, drawn)
    else:
        u_RK = quantised(u_RK, s.inp_step)
    u_RK = clipped(u_RK, s.inp_bound)
    if STAGES.inp_noisy:
        drawn = block_normals(
            block.k0, block.k1, DRAW_INPUT, start, block.tick_R, block.number, STAGES.stream, ROWS, TERMS
        )
        u_RK += s.inp_noise * drawn
    u_RK = at_input(u_RK, s)
    return tl.where(here & (scale_R1 > 0.0), u_RK, 0.0)


@triton.jit
def line_signal(
    w, factor, inputs, s, block, spread, shape, INPUTS: tl.constexpr, DRAW: tl.constexpr,
    FACTOR: tl.constexpr, STAGES: tl.constexpr,
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
        u_RK = driven(inputs, s, block, start, length, STAGES)
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
