"""The inputs of a read on CPUs: their scales, and what the DAC makes of them."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np

from ...finite import NOT_FINITE, largest_bits
from ...machine.jit import kernel
from ...rng.cpu import compiled as formula
from ...rng.numba_math import bits_float
from .. import formulas
from ..settings import (
    INPUT_NOISE,
    INPUT_ROUNDING,
    SCALE_ABS_MAX,
    SCALE_AVERAGE,
    SCALE_CONSTANT,
    SCALE_MAX,
    SCALE_NP_SUM,
)
from .lines import Place, block_normals, block_uniforms
from .stages import at_input, clipped, quantised, quantised_at_random, settings_in, stage, unsigned

LONG_ROW = 128  # inputs of a vector that are converted in a loop of its own
SEVERAL = -1  # as the only input of a vector: there are several, or they are too few to look for it

compiled = numba.njit(error_model="numpy")
number_sum_scale = formula(formulas.number_sum_scale)


@compiled
def larger_sum(x_RI, r):
    """The larger of the sums of the positive and of the negative values."""
    positive = negative = np.float32(0)
    for i in range(x_RI.shape[1]):
        positive += max(x_RI[r, i], np.float32(0))
        negative += max(-x_RI[r, i], np.float32(0))
    return max(positive, negative)


@compiled
def scale_rows(settings, scaling, x_RI, source_M, first, stop, scale_M):
    """The scales of input rows first .. stop, and whether all numbers of these are finite."""
    length, largest_scale = x_RI.shape[1], settings.largest_scale
    bits_of_all, most = x_RI.reshape(-1).view(np.int32), np.int32(0)
    for m in range(first, stop):  # nothing else, so that it stays a loop of few instructions
        bits = largest_bits(bits_of_all, source_M[m] * length, length)
        scale_M[m] = bits_float(bits)
        most = max(most, bits)
    if scaling == SCALE_CONSTANT:
        scale_M[first:stop] = largest_scale
    elif scaling == SCALE_MAX:
        for m in range(first, stop):
            scale_M[m] = min(x_RI[source_M[m]].max(), largest_scale)
    elif scaling in (SCALE_ABS_MAX, SCALE_AVERAGE, SCALE_NP_SUM):
        for m in range(first, stop):
            scale_M[m] = min(scale_M[m], largest_scale)
    else:
        scale_M[first:stop] = 1
    if scaling == SCALE_NP_SUM:
        for m in range(first, stop):
            sums = larger_sum(x_RI, source_M[m])
            scale_M[m] = number_sum_scale(scale_M[m], sums, settings.np_sum_finest, settings.np_sum_factor)
    for m in range(first, stop):
        scale_M[m] = scale_M[m] if scale_M[m] > 0 else np.float32(settings.unscaled_if_zero)
    return most < NOT_FINITE


@kernel
def scales_kernel(prepared, scaling, x_RI):
    """See ``naive.scales``."""
    alpha_R, rows = np.empty(len(x_RI), np.float32), np.arange(len(x_RI))
    finite = scale_rows(settings_in(prepared), scaling, x_RI, rows, 0, len(x_RI), alpha_R)
    return alpha_R, finite


@stage
def convert_at_random(settings, keys_T2, x, scale, rows, m, turn, u):
    """As ``convert_rows``, one row with stochastic rounding or noise."""
    size = len(x)
    if scale == 0:
        u[:] = 0
        return
    k0, k1 = keys_T2[rows.tile_M[m], 0], keys_T2[rows.tile_M[m], 1]
    vector = rows.input_vector_M
    place = Place(settings.stream, turn.number, turn.tick, vector, m, 1, 0, size)
    if settings.inp_random:
        uniforms = block_uniforms(k0, k1, INPUT_ROUNDING, place)
        for i in range(size):
            value = quantised_at_random(x[i] / scale, settings.inp_step, uniforms[i])
            u[i] = clipped(value, settings.inp_bound)
    else:
        for i in range(size):
            u[i] = clipped(quantised(x[i] / scale, settings.inp_step), settings.inp_bound)
    if settings.inp_noise > 0:
        normals = block_normals(k0, k1, INPUT_NOISE, place)
        for i in range(size):
            u[i] += settings.inp_noise * normals[i]
    for i in range(size):
        u[i] = at_input(u[i], settings)


@compiled
def convert_short_rows(settings, x_RI, scale_M, factor, rows, first, stop, u_RI):
    """All rows in one flat loop: each is shorter than what vectorises well."""
    size = x_RI.shape[1]
    scale = np.empty((stop - first) * size, np.float32)
    x, u = x_RI.reshape(-1), u_RI.reshape(-1)
    for m in range(first, stop):
        at, source, alpha = (m - first) * size, rows.source_M[m] * size, scale_M[m] * factor
        for i in range(size):
            scale[unsigned(at + i)] = alpha
            u[unsigned(at + i)] = x[unsigned(source + i)]
    for i in range(len(u)):
        value = quantised(u[i] / scale[i], settings.inp_step)
        value = at_input(clipped(value, settings.inp_bound), settings)
        u[i] = value if scale[i] > 0 else np.float32(0)


@compiled
def convert_rows(settings, rows, operands, turn, first, stop, u_RI):
    """Scaling, DAC, input noise and asymmetry of input rows first .. stop, into u_RI."""
    x_RI, scale_M, factor = operands.x_RI, operands.scale_M, turn.factor
    size = x_RI.shape[1]
    if settings.inp_random or settings.inp_noise > 0:
        for m in range(first, stop):
            x, u = x_RI[rows.source_M[m]], u_RI[m - first]
            convert_at_random(settings, operands.keys_T2, x, scale_M[m] * factor, rows, m, turn, u)
        return
    if size >= LONG_ROW:
        for m in range(first, stop):
            x, scale, u = x_RI[rows.source_M[m]], scale_M[m] * factor, u_RI[m - first]
            for i in range(size):
                value = clipped(quantised(x[i] / scale, settings.inp_step), settings.inp_bound)
                u[i] = at_input(value, settings) if scale > 0 else np.float32(0)
        return
    convert_short_rows(settings, x_RI, scale_M, factor, rows, first, stop, u_RI)


@compiled
def only_input(u_I):
    """Which input of a row alone is not zero, 0 where none is; SEVERAL where several are not."""
    only = np.int64(0)
    found = False
    for i in range(len(u_I)):
        if u_I[i] != 0:
            if found:
                return np.int64(SEVERAL)
            only, found = np.int64(i), True
    return only


@compiled
def convert_inputs(settings, rows, operands, turn, first, stop, u_RI, only_R):
    """``convert_rows``, and the only input of each; also scales, if not known. Whether all are finite."""
    finite = True
    if not operands.scaled:
        finite = scale_rows(
            settings, settings.scaling, operands.x_RI, rows.source_M, first, stop, operands.scale_M
        )
    convert_rows(settings, rows, operands, turn, first, stop, u_RI)
    long = u_RI.shape[1] >= LONG_ROW
    for r in range(stop - first):
        only_R[r] = only_input(u_RI[r]) if long else SEVERAL
    return finite


@compiled
def convert_task(task, chunk, settings, rows, operands, turn):
    """``convert_inputs`` for one chunk of input rows, for all that read them."""
    first = task * chunk
    stop = min(first + chunk, len(operands.scale_M))
    u_RI, only_R = operands.u_MI[first:stop], operands.only_M[first:stop]
    operands.finite_C[task] = convert_inputs(settings, rows, operands, turn, first, stop, u_RI, only_R)
