"""The sequential parts of transfers, compiled; threads over tiles are not worth it, the work is small."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...machine.jit import kernel
from ...rng.cpu import compiled
from . import formulas

f32 = np.float32
whole_steps = compiled(formulas.whole_steps)
left_in_buffer = compiled(formulas.left_in_buffer)
running_mean = compiled(formulas.running_mean)
running_size = compiled(formulas.running_size, running_mean=running_mean)


def _fill_buffer(
    buffer_TLM, read_TNM, lines_TN, gain_TN, step, momentum, forget, cap, most, steps_TNM
):  # fmt: skip
    for t in range(read_TNM.shape[0]):
        for n in range(read_TNM.shape[1]):
            buffer_M, read_M, steps_M = buffer_TLM[t, lines_TN[t, n]], read_TNM[t, n], steps_TNM[t, n]
            gain = gain_TN[t, n]
            for i in range(read_M.size):
                held = buffer_M[i] + read_M[i] * gain
                steps = whole_steps(held, step, most)
                buffer_M[i] = left_in_buffer(held, steps, step, momentum, forget, cap)
                steps_M[i] = steps


def _subtract_reference(read_TNM, lines_N, flips_TN, switched_TL, mean_TLM, past_TLM, rate):
    for t in range(read_TNM.shape[0]):
        for n in range(lines_N.size):
            line = lines_N[n]
            read_M, mean_M, past_M = read_TNM[t, n], mean_TLM[t, line], past_TLM[t, line]
            fresh = switched_TL[t, line] != 0
            for i in range(read_M.size):
                value = read_M[i]
                if fresh:
                    past_M[i] = mean_M[i]
                read_M[i] = value - past_M[i]
                mean_M[i] = running_mean(mean_M[i], value, rate)
            switched_TL[t, line] = flips_TN[t, n]


def _running_rates(x_max_XB, x_of_T, d_max_DB, d_of_T, sizes_T2, follow, top, rate_TB):
    for t in range(rate_TB.shape[0]):
        x_max_B, d_max_B = x_max_XB[x_of_T[t]], d_max_DB[d_of_T[t]]
        for b in range(rate_TB.shape[1]):
            sizes_T2[t, 0] = running_size(sizes_T2[t, 0], x_max_B[b], follow)
            sizes_T2[t, 1] = running_size(sizes_T2[t, 1], d_max_B[b], follow)
            product = sizes_T2[t, 0] * sizes_T2[t, 1]
            rate_TB[t, b] = top / product if product > 0 else top


def _chop(
    x_XBI, x_of_T, d_DBO, d_of_T, scale_TB, line_signs_TL, other_signs_TM, lines_N, after_N, flips_TN,
    other_flips_TSM, columns, x_TBI, d_TBO, sign_TNM,
):  # fmt: skip
    vectors, reads = x_TBI.shape[1], lines_N.size
    for t in range(x_TBI.shape[0]):
        line_signs_L, other_signs_M = line_signs_TL[t], other_signs_TM[t]
        x_signs = line_signs_L if columns else other_signs_M
        d_signs = other_signs_M if columns else line_signs_L
        n, sweep = 0, 0
        for b in range(vectors + 1):
            while n < reads and after_N[n] <= b:
                line = lines_N[n]
                for i in range(other_signs_M.size):
                    sign_TNM[t, n, i] = line_signs_L[line] * other_signs_M[i]
                if flips_TN[t, n] != 0:
                    line_signs_L[line] = -line_signs_L[line]
                if line == line_signs_L.size - 1:
                    for i in range(other_signs_M.size):
                        if other_flips_TSM[t, sweep, i] != 0:
                            other_signs_M[i] = -other_signs_M[i]
                    sweep += 1
                n += 1
            if b < vectors:
                scale = scale_TB[t, b]
                x_I, d_O = x_XBI[x_of_T[t], b], d_DBO[d_of_T[t], b]
                for i in range(x_I.size):
                    x_TBI[t, b, i] = x_I[i] * (x_signs[i] * scale)
                for i in range(d_O.size):
                    d_TBO[t, b, i] = d_O[i] * (d_signs[i] * scale)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return kernel(function)


def fill_buffer(*args):
    """As ``naive.fill_buffer``."""
    _compiled(_fill_buffer)(*args)


def subtract_reference(*args):
    """As ``naive.subtract_reference``."""
    _compiled(_subtract_reference)(*args)


def running_rates(*args):
    """As ``naive.running_rates``."""
    _compiled(_running_rates)(*args)


def chop(*args):
    """As ``naive.chop``."""
    _compiled(_chop)(*args)
