"""The stages of a read on CPUs, each over one block: some vectors and some lines of one tile."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import unpacked
from ...rng.cpu import compiled as formula
from .. import formulas
from ..settings import (
    ADDITIVE_NOISE,
    NO_WEIGHT_NOISE,
    OUTPUT_NOISE,
    OUTPUT_ROUNDING,
    RECORD,
    WEIGHT_NOISE,
    Settings,
)
from .lines import NORMALS, UNIFORMS, block_normals, block_uniforms, padded
from .product import View, magnitude_product, product, transposed_magnitude_product, transposed_product

# inlined before types are inferred: a compiled function of its own is optimised once more for each caller
stage = numba.njit(error_model="numpy", inline="always")
unsigned = np.uint64  # an index: that negative ones count from an array's end keeps a loop scalar
quantised = formula(formulas.quantised)
quantised_at_random = formula(formulas.quantised_at_random)
clipped = formula(formulas.clipped)
at_input, at_output = formula(formulas.at_input), formula(formulas.at_output)
wire_drop = formula(formulas.wire_drop)
offset_and_series = formula(formulas.offset_and_series)
saturated = formula(formulas.saturated)


TAKEN_TOGETHER = 16  # float32 numbers of a cache line

settings_in = unpacked(Settings, RECORD)


class Block(NamedTuple):
    """Lines ``line`` .. ``line + lines`` of tile ``t`` for ``rows`` vectors; sums have ``length`` terms."""

    t: int
    line: int
    lines: int
    rows: int
    length: int
    k0: Any
    k1: Any
    place: Any  # of the block, for its random numbers
    only_R: Any  # the only input of each vector, where one_input
    one_input: bool  # no vector has more than one input that is not zero


@numba.njit(error_model="numpy")
def take_lines(transposed, block, w, u, y, magnitude):
    """The product with vectors of one input each: a column of w (transposed: a row) for each.

    A sum whose other terms are zero is its one term rounded: the same bits as all of it. Some vectors
    together, so that neighbouring columns are read while they are in the cache.
    """
    along, across = (1, w.step) if transposed else (w.step, 1)
    for first in range(0, block.rows, TAKEN_TOGETHER):
        last = min(first + TAKEN_TOGETHER, block.rows)
        for i in range(block.lines):
            at = w.first + i * along
            for r in range(first, last):
                only = block.only_R[r]
                weight = w.data[unsigned(at + only * across)]
                if magnitude:
                    weight = abs(weight)
                term = weight * u.data[unsigned(u.first + r * u.step + only)]
                y.data[unsigned(y.first + r * y.step + i)] = term + np.float32(0)  # a sum has no -0


@stage
def multiply(settings, block, w, u, y):
    if block.one_input:
        take_lines(settings.transposed, block, w, u, y, False)
    elif settings.transposed:
        transposed_product(w, u, y, block.lines, block.rows, block.length)
    else:
        product(w, u, y, block.lines, block.rows, block.length)


@stage
def multiply_magnitudes(settings, block, w, u):
    """sum over the inputs of |w| u, a new matrix."""
    sums = View(np.empty(block.rows * block.lines, np.float32), 0, block.lines)
    if block.one_input:
        take_lines(settings.transposed, block, w, u, sums, True)
    elif settings.transposed:
        transposed_magnitude_product(w, u, sums, block.lines, block.rows, block.length)
    else:
        magnitude_product(w, u, sums, block.lines, block.rows, block.length)
    return sums


@stage
def drop_on_wires(settings, block, w, u, y):
    """Subtract what the wires' resistance takes."""
    changed = View(np.empty(block.rows * block.length, np.float32), 0, block.length)
    for r in range(block.rows):
        for j in range(block.length):
            changed.data[unsigned(r * block.length + j)] = abs(u.data[unsigned(u.first + r * u.step + j)])
    current = multiply_magnitudes(settings, block, w, changed)
    for j in range(block.length):
        profile = np.float32(1.0 - (1.0 - j / block.length) ** 2)
        for r in range(block.rows):
            changed.data[unsigned(r * block.length + j)] = (
                u.data[unsigned(u.first + r * u.step + j)] * profile
            )
    weighted = View(np.empty(block.rows * block.lines, np.float32), 0, block.lines)
    multiply(settings, block, w, changed, weighted)
    for r in range(block.rows):
        for i in range(block.lines):
            at = r * block.lines + i
            y.data[unsigned(y.first + r * y.step + i)] -= wire_drop(
                current.data[unsigned(at)],
                weighted.data[unsigned(at)],
                settings.ir_drop,
                settings.length_by_g_ratio,
            )


@stage
def shift_by_offset(settings, spread, block, u, y):
    """Voltage offset and series resistance of every line."""
    for r in range(block.rows):
        total = np.float32(0)
        for j in range(block.length):
            total += u.data[unsigned(u.first + r * u.step + j)]
        y_ref = -settings.v_offset_w_min * total
        for i in range(block.lines):
            at = y.first + r * y.step + i
            v_offset = spread.offset_TL[block.t, unsigned(block.line + i)]
            y.data[unsigned(at)] = offset_and_series(y.data[unsigned(at)], y_ref, v_offset, settings.r_series)


@stage
def add_weight_noise(settings, block, draw, w, u, y):
    """Read noise of the weights, as the noise that it makes at the output."""
    normals = block_normals(block.k0, block.k1, WEIGHT_NOISE + draw, block.place)
    squares = View(np.empty(block.rows * block.length, np.float32), 0, block.length)
    for r in range(block.rows):
        for j in range(block.length):
            value = u.data[unsigned(u.first + r * u.step + j)]
            squares.data[unsigned(r * block.length + j)] = value * value
    if settings.weight_noise_type == ADDITIVE_NOISE:
        power = View(np.empty(block.rows * block.lines, np.float32), 0, block.lines)
        for r in range(block.rows):
            total = np.float32(0)
            for j in range(block.length):
                total += squares.data[unsigned(r * block.length + j)]
            for i in range(block.lines):
                power.data[unsigned(r * block.lines + i)] = total
    else:
        power = multiply_magnitudes(settings, block, w, squares)
    for r in range(block.rows):
        for i in range(block.lines):
            std = settings.w_noise * np.float32(math.sqrt(power.data[unsigned(r * block.lines + i)]))
            y.data[unsigned(y.first + r * y.step + i)] += (
                std * normals[unsigned(r * padded(block.lines, NORMALS) + i)]
            )


@stage
def line_signal(settings, spread, block, draw, w, u, y):
    """The product with the array's own imperfections: wires, offset, series resistance, read noise."""
    multiply(settings, block, w, u, y)
    if settings.ir_drop > 0:
        drop_on_wires(settings, block, w, u, y)
    if settings.has_offset:
        shift_by_offset(settings, spread, block, u, y)
    if settings.weight_noise_type != NO_WEIGHT_NOISE:
        add_weight_noise(settings, block, draw, w, u, y)


@stage
def bend(settings, spread, block, y):
    """The non-linearity of the output, and ``at_output``."""
    for r in range(block.rows):
        first = y.first + r * y.step
        if settings.nonlinear:
            slope = spread.slope_T[block.t]
            for i in range(block.lines):
                curvature = spread.curvature_TL[block.t, unsigned(block.line + i)]
                y.data[unsigned(first + i)] = saturated(y.data[unsigned(first + i)], curvature, slope)
        for i in range(first, first + block.lines):
            y.data[unsigned(i)] = at_output(y.data[unsigned(i)], settings)


@stage
def add_output_noise(settings, spread, block, draw, y):
    normals = block_normals(block.k0, block.k1, OUTPUT_NOISE + draw, block.place)
    for r in range(block.rows):
        first, drawn = y.first + r * y.step, r * padded(block.lines, NORMALS)
        if settings.has_out_spread:
            for i in range(block.lines):
                y.data[unsigned(first + i)] += (
                    spread.out_noise_TL[block.t, unsigned(block.line + i)] * normals[unsigned(drawn + i)]
                )
        else:
            for i in range(block.lines):
                y.data[unsigned(first + i)] += settings.out_noise * normals[unsigned(drawn + i)]


@stage
def round_at_random(settings, block, draw, y):
    uniforms = block_uniforms(block.k0, block.k1, OUTPUT_ROUNDING + draw, block.place)
    for r in range(block.rows):
        first, drawn = y.first + r * y.step, r * padded(block.lines, UNIFORMS)
        for i in range(block.lines):
            y.data[unsigned(first + i)] = quantised_at_random(
                y.data[unsigned(first + i)], settings.out_step, uniforms[unsigned(drawn + i)]
            )


@stage
def converted_output(settings, spread, block, draw, y, above, below):
    """The non-linear output stage and the ADC; counts of values beyond either bound are added."""
    if settings.nonlinear or settings.alters_output:
        bend(settings, spread, block, y)
    if settings.out_noise > 0:
        add_output_noise(settings, spread, block, draw, y)
    if settings.out_random:
        round_at_random(settings, block, draw, y)
    step = np.float32(0) if settings.out_random else settings.out_step
    for r in range(block.rows):
        first = y.first + r * y.step
        high = low = np.int32(0)
        for i in range(first, first + block.lines):
            value = quantised(y.data[unsigned(i)], step)
            high += np.int32(value > settings.out_bound)
            low += np.int32(value < -settings.out_bound)
            y.data[unsigned(i)] = clipped(value, settings.out_bound)
        above[r] += high
        below[r] += low
