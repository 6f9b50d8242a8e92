"""The sequential parts of transfers, compiled; threads over tiles are not worth it, the work is small."""

from __future__ import annotations

import numpy as np

from ....machine.jit import kernel
from ....rng.cpu import compiled
from . import formulas

f32 = np.float32
whole_steps = compiled(formulas.whole_steps)
left_in_buffer = compiled(formulas.left_in_buffer)
running_mean = compiled(formulas.running_mean)
running_size = compiled(formulas.running_size)


@kernel
def fill_buffer(
    buffer_TLM, read_TNM, lines_TN, gain_TN, step, momentum, forget, cap, most, steps_TNM
):  # fmt: skip
    """As ``naive.fill_buffer``."""
    for t in range(read_TNM.shape[0]):
        for n in range(read_TNM.shape[1]):
            buffer_M, read_M, steps_M = buffer_TLM[t, lines_TN[t, n]], read_TNM[t, n], steps_TNM[t, n]
            gain = gain_TN[t, n]
            for i in range(read_M.size):
                held = buffer_M[i] + read_M[i] * gain
                steps = whole_steps(held, step, most)
                buffer_M[i] = left_in_buffer(held, steps, step, momentum, forget, cap)
                steps_M[i] = steps


@kernel
def subtract_reference(read_TNM, lines_N, flips_TN, switched_TL, mean_TLM, past_TLM, rate):
    """As ``naive.subtract_reference``."""
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


@kernel
def running_rates(x_max_XB, x_of_T, d_max_DB, d_of_T, sizes_T2, follow, top, rate_TB):
    """As ``naive.running_rates``."""
    for t in range(rate_TB.shape[0]):
        x_max_B, d_max_B = x_max_XB[x_of_T[t]], d_max_DB[d_of_T[t]]
        for b in range(rate_TB.shape[1]):
            sizes_T2[t, 0] = running_size(sizes_T2[t, 0], x_max_B[b], follow)
            sizes_T2[t, 1] = running_size(sizes_T2[t, 1], d_max_B[b], follow)
            product = sizes_T2[t, 0] * sizes_T2[t, 1]
            rate_TB[t, b] = top / product if product > 0 else top


@kernel
def chop(vectors, scale_TB, choppers, flips, columns, out):
    """As ``naive.chop``."""
    batch, reads = out.x_TBI.shape[1], flips.lines_N.size
    for t in range(out.x_TBI.shape[0]):
        line_signs_L, other_signs_M = choppers.line_signs_TL[t], choppers.other_signs_TM[t]
        x_signs = line_signs_L if columns else other_signs_M
        d_signs = other_signs_M if columns else line_signs_L
        n, sweep = 0, 0
        for b in range(batch + 1):
            while n < reads and flips.after_N[n] <= b:
                line = flips.lines_N[n]
                for i in range(other_signs_M.size):
                    out.sign_TNM[t, n, i] = line_signs_L[line] * other_signs_M[i]
                if flips.flips_TN[t, n] != 0:
                    line_signs_L[line] = -line_signs_L[line]
                if line == line_signs_L.size - 1:
                    for i in range(other_signs_M.size):
                        if flips.other_flips_TSM[t, sweep, i] != 0:
                            other_signs_M[i] = -other_signs_M[i]
                    sweep += 1
                n += 1
            if b < batch:
                scale = scale_TB[t, b]
                x_I, d_O = vectors.x_XBI[vectors.x_of_T[t], b], vectors.d_DBO[vectors.d_of_T[t], b]
                for i in range(x_I.size):
                    out.x_TBI[t, b, i] = x_I[i] * (x_signs[i] * scale)
                for i in range(d_O.size):
                    out.d_TBO[t, b, i] = d_O[i] * (d_signs[i] * scale)
