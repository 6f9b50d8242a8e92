"""The stages of a read for CUDA, each over a block of vectors and lines of one tile."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, get_type_hints

import triton
import triton.language as tl

from ...rng.cuda import jitted
from .. import formulas, settings
from ..settings import Settings
from .lines import block_normals, block_uniforms

quantised = jitted(formulas.quantised)
quantised_at_random = jitted(formulas.quantised_at_random)
clipped = jitted(formulas.clipped)
skewed = jitted(formulas.skewed)
wire_drop = jitted(formulas.wire_drop)
offset_and_series = jitted(formulas.offset_and_series)
saturated = jitted(formulas.saturated)
number_sum_scale = jitted(formulas.number_sum_scale)

#: the numbers among the settings, as the kernels find them in one array
NUMBERS = tuple(name for name, hint in get_type_hints(Settings).items() if hint is Any)


def _slot(name: str) -> Any:
    return tl.constexpr(NUMBERS.index(name))


LARGEST_SCALE, NP_SUM_FINEST, NP_SUM_FACTOR = map(_slot, ("largest_scale", "np_sum_finest", "np_sum_factor"))
INP_STEP, INP_BOUND, INP_NOISE, INP_ASYMMETRY = map(
    _slot, ("inp_step", "inp_bound", "inp_noise", "inp_asymmetry")
)
IR_DROP, LENGTH_BY_G_RATIO, V_OFFSET_W_MIN, R_SERIES = map(
    _slot, ("ir_drop", "length_by_g_ratio", "v_offset_w_min", "r_series")
)
WEIGHT_NOISE, OUT_ASYMMETRY, OUT_NOISE = map(_slot, ("weight_noise", "out_asymmetry", "out_noise"))
OUT_STEP, OUT_BOUND, OUT_SCALE = map(_slot, ("out_step", "out_bound", "out_scale"))

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


@triton.jit
def scales_kernel(
    x, alpha, largest, numbers, vectors, length, unscaled, SCALING: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
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
    limit = tl.load(numbers + LARGEST_SCALE)
    if SCALING == SCALE_NONE:
        alpha_R = tl.full((ROWS,), 1.0, tl.float32)
    elif SCALING == SCALE_CONSTANT:
        alpha_R = tl.zeros((ROWS,), tl.float32) + limit
    elif SCALING == SCALE_MAX:
        alpha_R = tl.minimum(tl.max(value_RB, 1), limit)
    else:
        alpha_R = tl.minimum(bits_R.to(tl.float32, bitcast=True), limit)
    if SCALING == SCALE_NP_SUM:
        sums_R = tl.maximum(tl.sum(positive_RB, 1), tl.sum(negative_RB, 1))
        finest, factor = tl.load(numbers + NP_SUM_FINEST), tl.load(numbers + NP_SUM_FACTOR)
        alpha_R = number_sum_scale(alpha_R, sums_R, finest, factor)
    tl.store(alpha + r, tl.where(alpha_R > 0.0, alpha_R, unscaled), inside)


@triton.jit(do_not_specialize=["tick", "number"])
def convert_kernel(
    x, scale, source, tile, vector, keys, numbers, u, inputs, length, tick, number, STREAM: tl.constexpr,
    RANDOM: tl.constexpr, NOISY: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Scaling, DAC, input noise and asymmetry of input rows."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * BLOCK
    term = first + tl.arange(0, BLOCK)
    inside = m < inputs
    here = inside[:, None] & (term < length)[None, :]
    scale_R1 = tl.load(scale + m, inside, 0.0)[:, None]
    x_RB = tl.load(x + tl.load(source + m, inside, 0)[:, None] * length + term[None, :], here, 0.0)
    u_RB = tl.div_rn(x_RB, tl.where(scale_R1 > 0.0, scale_R1, 1.0) + tl.zeros_like(x_RB))
    step = tl.load(numbers + INP_STEP)
    if RANDOM or NOISY:
        tick_R = tl.cast(tick, tl.int64) + tl.load(vector + m, inside, 0)
        key = keys + 2 * tl.load(tile + m, inside, 0)
        k0 = tl.load(key, inside, 0).to(tl.uint32, bitcast=True)[:, None]
        k1 = tl.load(key + 1, inside, 0).to(tl.uint32, bitcast=True)[:, None]
    if RANDOM:
        drawn = block_uniforms(k0, k1, DRAW_INPUT_ROUNDING, first, tick_R, number, STREAM, ROWS, BLOCK)
        u_RB = quantised_at_random(u_RB, step, drawn)
    else:
        u_RB = quantised(u_RB, step)
    u_RB = clipped(u_RB, tl.load(numbers + INP_BOUND))
    if NOISY:
        drawn = block_normals(k0, k1, DRAW_INPUT, first, tick_R, number, STREAM, ROWS, BLOCK)
        u_RB += tl.load(numbers + INP_NOISE) * drawn
    u_RB = skewed(u_RB, tl.load(numbers + INP_ASYMMETRY))
    u_RB = tl.where(scale_R1 > 0.0, u_RB, 0.0)
    tl.store(u + m[:, None].to(tl.int64) * length + term[None, :], u_RB, here)


@triton.jit
def line_signal(
    w, factor, u, numbers, offset_L, k0, k1, m, inside, line, first, tick_R, number, lines, length, w_line,
    w_term, STREAM: tl.constexpr, INPUTS: tl.constexpr, DRAW: tl.constexpr, FACTOR: tl.constexpr,
    WIRES: tl.constexpr, OFFSET: tl.constexpr, NOISE: tl.constexpr, ROWS: tl.constexpr, LINES: tl.constexpr,
    TERMS: tl.constexpr,
):  # fmt: skip
    """The product with the array's own imperfections: wires, offset, series resistance, read noise."""
    y = tl.zeros((ROWS, LINES), tl.float32)
    current, weighted = tl.zeros((ROWS, LINES), tl.float32), tl.zeros((ROWS, LINES), tl.float32)
    power = tl.zeros((ROWS, LINES), tl.float32)
    sum_R, squares_R = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    for start in range(0, length, TERMS):
        term = start + tl.arange(0, TERMS)
        there = term < length
        u_RK = tl.load(u + m[:, None] * length + term[None, :], inside[:, None] & there[None, :], 0.0)
        if INPUTS == NEGATIVE:
            u_RK = tl.minimum(u_RK, 0.0)
        if INPUTS == POSITIVE:
            u_RK = tl.maximum(u_RK, 0.0)
        at = term[:, None] * w_term + line[None, :] * w_line
        within = there[:, None] & (line < lines)[None, :]
        w_KL = tl.load(w + at, within, 0.0)
        if FACTOR:
            w_KL *= tl.load(factor + at, within, 0.0)
        y = tl.dot(u_RK, w_KL, y, input_precision="ieee")
        if WIRES:
            current = tl.dot(tl.abs(u_RK), tl.abs(w_KL), current, input_precision="ieee")
            far = 1.0 - tl.div_rn(term.to(tl.float32), tl.zeros((TERMS,), tl.float32) + length)
            weighted = tl.dot(u_RK * (1.0 - far * far)[None, :], w_KL, weighted, input_precision="ieee")
        if OFFSET:
            sum_R += tl.sum(u_RK, 1)
        if NOISE == ADDITIVE:
            squares_R += tl.sum(u_RK * u_RK, 1)
        if NOISE == PCM_READ:
            power = tl.dot(u_RK * u_RK, tl.abs(w_KL), power, input_precision="ieee")
    if WIRES:
        strength, by_ratio = tl.load(numbers + IR_DROP), tl.load(numbers + LENGTH_BY_G_RATIO)
        y -= wire_drop(current, weighted, strength, by_ratio)
    if OFFSET:
        y_ref = tl.zeros_like(y) + (-tl.load(numbers + V_OFFSET_W_MIN) * sum_R)[:, None]
        y = offset_and_series(y, y_ref, offset_L[None, :], tl.load(numbers + R_SERIES))
    if NOISE != NO_NOISE:
        if NOISE == ADDITIVE:
            power += squares_R[:, None]
        drawn = block_normals(k0, k1, DRAW_WEIGHT + DRAW, first, tick_R, number, STREAM, ROWS, LINES)
        y += tl.load(numbers + WEIGHT_NOISE) * tl.sqrt_rn(power) * drawn
    return y


@triton.jit
def converted_output(
    y, numbers, std_L, curvature_L, slope, k0, k1, here, first, tick_R, number, STREAM: tl.constexpr,
    DRAW: tl.constexpr, NONLINEAR: tl.constexpr, NOISY: tl.constexpr, RANDOM: tl.constexpr,
    ROWS: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """The non-linear output stage and the ADC; counts of a row's values beyond either bound."""
    if NONLINEAR:
        y = saturated(y, curvature_L[None, :], slope)
    y = skewed(y, tl.load(numbers + OUT_ASYMMETRY))
    if NOISY:
        drawn = block_normals(k0, k1, DRAW_OUTPUT + DRAW, first, tick_R, number, STREAM, ROWS, LINES)
        y += std_L[None, :] * drawn
    step, bound = tl.load(numbers + OUT_STEP), tl.load(numbers + OUT_BOUND)
    if RANDOM:
        drawn = block_uniforms(
            k0, k1, DRAW_OUTPUT_ROUNDING + DRAW, first, tick_R, number, STREAM, ROWS, LINES
        )
        y = quantised_at_random(y, step, drawn)
    else:
        y = quantised(y, step)
    above_R = tl.sum((here & (y > bound)).to(tl.int32), 1)
    below_R = tl.sum((here & (y < -bound)).to(tl.int32), 1)
    return clipped(y, bound), above_R, below_R


@triton.jit
def store_block(y, above, below, y_RL, above_R, below_R, n, inside, line, lines):
    """Store a block's outputs and add its counts to those of its rows ``n``."""
    kept = inside[:, None] & (line < lines)[None, :]
    tl.store(y + n[:, None].to(tl.int64) * lines + line[None, :], y_RL, kept)
    tl.atomic_add(above + n, above_R, inside & (above_R > 0))
    tl.atomic_add(below + n, below_R, inside & (below_R > 0))


@triton.jit(do_not_specialize=["tick", "number"])
def read_kernel(
    w, factor, u, scale, first_row, input_first, vector, keys, numbers, out_noise, curvature, slope, offset,
    y, above, below, row_blocks, tick, number, lines, length, w_line, w_term, STREAM: tl.constexpr,
    PASSES: tl.constexpr, FACTOR: tl.constexpr, WIRES: tl.constexpr, OFFSET: tl.constexpr,
    NOISE: tl.constexpr, NONLINEAR: tl.constexpr, NOISY: tl.constexpr, SPREAD: tl.constexpr,
    RANDOM: tl.constexpr, ROWS: tl.constexpr, LINES: tl.constexpr, TERMS: tl.constexpr,
):  # fmt: skip
    """Program (t row_blocks + r, k): output rows of block r of tile t, lines of block k, all stages."""
    t = tl.program_id(0) // row_blocks
    row_0, stop = tl.load(first_row + t), tl.load(first_row + t + 1)
    begin = row_0 + (tl.program_id(0) % row_blocks) * ROWS
    if begin >= stop:
        return
    n = begin + tl.arange(0, ROWS)
    inside = n < stop
    m = tl.load(input_first + t) + n - row_0
    first = tl.program_id(1) * LINES
    line = first + tl.arange(0, LINES)
    tick_R = tl.cast(tick, tl.int64) + tl.load(vector + n, inside, 0)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    tile = t.to(tl.int64) * lines * length
    of_line = t * lines + line
    zero_L = tl.zeros((LINES,), tl.float32)
    offset_L = tl.load(offset + of_line, line < lines, 0.0) if OFFSET else zero_L
    curvature_L = tl.load(curvature + of_line, line < lines, 0.0) if NONLINEAR else zero_L
    steep = tl.load(slope + t) if NONLINEAR else 1.0
    std_L = zero_L + tl.load(numbers + OUT_NOISE)
    if SPREAD:
        std_L = tl.load(out_noise + of_line, line < lines, 0.0)
    gain_R = tl.load(scale + m, inside, 0.0) * tl.load(numbers + OUT_SCALE)
    here = (inside & (gain_R != 0.0))[:, None] & (line < lines)[None, :]
    LOW: tl.constexpr = ALL if PASSES == ONE_PASS else NEGATIVE
    y_RL = line_signal(
        w + tile, factor + tile, u, numbers, offset_L, k0, k1, m, inside, line, first, tick_R, number,
        lines, length, w_line, w_term, STREAM, LOW, 0, FACTOR, WIRES, OFFSET, NOISE, ROWS, LINES, TERMS,
    )  # fmt: skip
    if PASSES != ONE_PASS:
        high_RL = line_signal(
            w + tile, factor + tile, u, numbers, offset_L, k0, k1, m, inside, line, first, tick_R, number,
            lines, length, w_line, w_term, STREAM, POSITIVE, SECOND, False, WIRES, OFFSET, NOISE, ROWS, LINES,
            TERMS,
        )  # fmt: skip
        if PASSES != DIGITAL_SUM:
            y_RL += high_RL
    y_RL, above_R, below_R = converted_output(
        y_RL, numbers, std_L, curvature_L, steep, k0, k1, here, first, tick_R, number, STREAM, 0, NONLINEAR,
        NOISY, RANDOM, ROWS, LINES,
    )  # fmt: skip
    if PASSES == DIGITAL_SUM:
        high_RL, more_R, less_R = converted_output(
            high_RL, numbers, std_L, curvature_L, steep, k0, k1, here, first, tick_R, number, STREAM, SECOND,
            NONLINEAR, NOISY, RANDOM, ROWS, LINES,
        )  # fmt: skip
        y_RL += high_RL
        above_R += more_R
        below_R += less_R
    store_block(y, above, below, y_RL * gain_R[:, None], above_R, below_R, n, inside, line, lines)
