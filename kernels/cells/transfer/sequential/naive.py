"""The sequential parts of transfers in numpy: the readable reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....pulsed_update.arguments import Vectors
from . import formulas
from .arguments import Choppers, Flips, Signed

f32 = np.float32


def fill_buffer(
    buffer_TLM: Any, read_TNM: Any, lines_TN: Any, gain_TN: Any, step: Any, momentum: Any, forget: bool,
    cap: Any, most: Any, steps_TNM: Any,
) -> None:  # fmt: skip
    """Add every read to its line of the buffer and take out what fires."""
    tile = np.arange(len(buffer_TLM))
    for n in range(read_TNM.shape[1]):
        line = lines_TN[:, n]
        held = buffer_TLM[tile, line] + read_TNM[:, n] * gain_TN[:, n, None]
        steps = formulas.whole_steps(held, step, most)
        buffer_TLM[tile, line] = formulas.left_in_buffer(held, steps, step, f32(momentum), forget, cap)
        steps_TNM[:, n] = steps


def subtract_reference(
    read_TNM: Any, lines_N: Any, flips_TN: Any, switched_TL: Any, mean_TLM: Any, past_TLM: Any, rate: Any
) -> None:
    """read <- read - what the line held when its chopper last flipped; then follow its mean."""
    for n, line in enumerate(lines_N):
        fresh_T1 = switched_TL[:, line, None] != 0
        past_TLM[:, line] = np.where(fresh_T1, mean_TLM[:, line], past_TLM[:, line])
        value_TM = read_TNM[:, n].copy()
        read_TNM[:, n] = value_TM - past_TLM[:, line]
        mean_TLM[:, line] = formulas.running_mean(mean_TLM[:, line], value_TM, rate)
        switched_TL[:, line] = flips_TN[:, n]


def running_rates(
    x_max_XB: Any, x_of_T: Any, d_max_DB: Any, d_of_T: Any, sizes_T2: Any, follow: Any, top: Any, rate_TB: Any
) -> None:
    """rate <- top / (m_x m_d) with the running sizes of x and d, updated before each vector."""
    for b in range(rate_TB.shape[1]):
        sizes_T2[:, 0] = formulas.running_size(sizes_T2[:, 0], x_max_XB[x_of_T, b], follow)
        sizes_T2[:, 1] = formulas.running_size(sizes_T2[:, 1], d_max_DB[d_of_T, b], follow)
        product_T = sizes_T2[:, 0] * sizes_T2[:, 1]
        rate_TB[:, b] = np.where(product_T > 0, top / np.where(product_T > 0, product_T, f32(1.0)), top)


def chop(
    vectors: Vectors, scale_TB: Any, choppers: Choppers, flips: Flips, columns: bool, out: Signed
) -> None:
    """x and d with the choppers' signs, and the signs of every read; the choppers flip after reads."""
    line_signs_TL, other_signs_TM = choppers
    x_signs, d_signs = (line_signs_TL, other_signs_TM) if columns else (other_signs_TM, line_signs_TL)
    batch, reads, n, sweep = out.x_TBI.shape[1], len(flips.lines_N), 0, 0
    for b in range(batch + 1):
        while n < reads and flips.after_N[n] <= b:
            line = flips.lines_N[n]
            out.sign_TNM[:, n] = line_signs_TL[:, line, None] * other_signs_TM
            line_signs_TL[:, line] *= np.where(flips.flips_TN[:, n] != 0, f32(-1.0), f32(1.0))
            if line == line_signs_TL.shape[1] - 1:
                flipped_TM = flips.other_flips_TSM[:, sweep] != 0
                np.multiply(other_signs_TM, np.where(flipped_TM, f32(-1.0), f32(1.0)), out=other_signs_TM)
                sweep += 1
            n += 1
        if b < batch:
            scale_T1 = scale_TB[:, b, None]
            out.x_TBI[:, b] = vectors.x_XBI[vectors.x_of_T, b] * (x_signs * scale_T1)
            out.d_TBO[:, b] = vectors.d_DBO[vectors.d_of_T, b] * (d_signs * scale_T1)
