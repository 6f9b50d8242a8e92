"""The sequential parts of transfers on a CUDA card, of tensors; nobody waits for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

from ....machine.programs import programs
from ....pulsed_update.arguments import Vectors
from ....rng.cuda import jitted
from . import formulas
from .arguments import Choppers, Flips, Signed

whole_steps = jitted(formulas.whole_steps)
left_in_buffer = jitted(formulas.left_in_buffer)
running_size = jitted(formulas.running_size)

BLOCK = 256
LARGEST = tl.constexpr(float(np.finfo(np.float32).max))


class Filling(NamedTuple):
    """Numbers of a buffer, and sizes: reads, lines and positions along one."""

    step: Any
    momentum: Any
    forget: Any
    cap: Any
    most: Any
    reads: Any
    lines: Any
    width: Any


@triton.jit
def fill_kernel(buffer, read, lines, gain, steps, numbers, WIDTH: tl.constexpr):
    """Program (t, k): all reads of block k of the positions of tile t, in order; a line of -1 is none."""
    t = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    width = numbers.width
    one = tl.full((WIDTH,), 1.0, tl.float32)
    step, momentum, cap = one * numbers.step, one * numbers.momentum, one * numbers.cap
    most, forget = one * numbers.most, one * numbers.forget > 0.5
    for n in range(0, numbers.reads):
        at = t * numbers.reads + n
        line = tl.load(lines + at)
        here = (i < width) & (line >= 0)
        place = buffer + (t * numbers.lines + line) * width + i
        held = tl.load(place, here, 0.0) + tl.load(read + at * width + i, here, 0.0) * tl.load(gain + at)
        released = whole_steps(held, step, most)
        tl.store(place, left_in_buffer(held, released, step, momentum, forget, cap), here)
        tl.store(steps + at * width + i, tl.where(here, released, 0.0), i < width)
        tl.debug_barrier()  # a line may be read again


def fill_buffer(
    buffer_TLM: Any, read_TNM: Any, lines_TN: Any, gain_TN: Any, step: Any, momentum: Any, forget: bool,
    cap: Any, most: Any, steps_TNM: Any,
) -> None:  # fmt: skip
    """As ``naive.fill_buffer``."""
    tiles, reads, width = read_TNM.shape
    if reads:
        numbers = Filling(
            float(step), float(momentum), float(forget), float(cap), float(most), reads, buffer_TLM.shape[1],
            width,
        )  # fmt: skip
        fill_kernel[programs("tiles of a transfer", tiles, triton.cdiv(width, BLOCK))](
            buffer_TLM, read_TNM.contiguous(), lines_TN, gain_TN, steps_TNM, numbers,
            WIDTH=min(triton.next_power_of_2(width), BLOCK), enable_fp_fusion=False,
        )  # fmt: skip


def subtract_reference(
    read_TNM: Any, lines_N: Any, flips_TN: Any, switched_TL: Any, mean_TLM: Any, past_TLM: Any, rate: Any
) -> None:
    """As ``naive.subtract_reference``."""
    stays, follows = float(np.float32(1.0) - np.float32(rate)), float(np.float32(rate))
    for n, line in enumerate(lines_N.tolist()):
        fresh_T1 = switched_TL[:, line, None] != 0
        past_TLM[:, line] = torch.where(fresh_T1, mean_TLM[:, line], past_TLM[:, line])
        value_TM = read_TNM[:, n].clone()
        read_TNM[:, n] = value_TM - past_TLM[:, line]
        mean_TLM[:, line] = mean_TLM[:, line] * stays + value_TM * follows
        switched_TL[:, line] = flips_TN[:, n]


@triton.jit
def rates_kernel(x_max, x_of_T, d_max, d_of_T, sizes, rate, follow, top, batch):
    """Program t: the vectors of tile t in order; sizes that are no numbers are passed over."""
    t = tl.program_id(0)
    x_first, d_first = tl.load(x_of_T + t) * batch, tl.load(d_of_T + t) * batch
    m_x, m_d = tl.load(sizes + 2 * t), tl.load(sizes + 2 * t + 1)
    for b in range(0, batch):
        x, d = tl.load(x_max + x_first + b), tl.load(d_max + d_first + b)
        right = (x <= LARGEST) & (d <= LARGEST)
        m_x = tl.where(right, running_size(m_x, x, follow), m_x)
        m_d = tl.where(right, running_size(m_d, d, follow), m_d)
        product = m_x * m_d
        positive = product > 0.0
        quotient = tl.div_rn(tl.zeros_like(product) + top, tl.where(positive, product, 1.0))
        tl.store(rate + t * batch + b, tl.where(positive, quotient, top))
    tl.store(sizes + 2 * t, m_x)
    tl.store(sizes + 2 * t + 1, m_d)


def running_rates(
    x_max_XB: Any, x_of_T: Any, d_max_DB: Any, d_of_T: Any, sizes_T2: Any, follow: Any, top: Any, rate_TB: Any
) -> None:
    """As ``naive.running_rates``."""
    tiles, batch = rate_TB.shape
    rates_kernel[programs("tiles of a transfer", tiles)](
        x_max_XB, x_of_T, d_max_DB, d_of_T, sizes_T2, rate_TB, float(follow), float(top), batch,
        enable_fp_fusion=False,
    )  # fmt: skip


def chop(
    vectors: Vectors, scale_TB: Any, choppers: Choppers, flips: Flips, columns: bool, out: Signed
) -> None:
    """As ``naive.chop``, all vectors between two reads at once; flips of the others may be None: none."""
    line_signs_TL, other_signs_TM = choppers
    x_signs, d_signs = (line_signs_TL, other_signs_TM) if columns else (other_signs_TM, line_signs_TL)
    x_TBI = torch.stack([vectors.x_XBI[k] for k in vectors.x_of_T.tolist()])
    d_TBO = torch.stack([vectors.d_DBO[k] for k in vectors.d_of_T.tolist()])

    def sign(start: int, stop: int) -> None:
        if stop > start:
            scale_TB1 = scale_TB[:, start:stop, None]
            out.x_TBI[:, start:stop] = x_TBI[:, start:stop] * (x_signs[:, None] * scale_TB1)
            out.d_TBO[:, start:stop] = d_TBO[:, start:stop] * (d_signs[:, None] * scale_TB1)

    done, sweep = 0, 0
    for n, (line, after) in enumerate(zip(flips.lines_N.tolist(), flips.after_N.tolist(), strict=True)):
        sign(done, after)
        done = after
        out.sign_TNM[:, n] = line_signs_TL[:, line, None] * other_signs_TM
        line_signs_TL[:, line] *= _sign(flips.flips_TN[:, n])
        if line == line_signs_TL.shape[1] - 1:
            if flips.other_flips_TSM is not None:
                other_signs_TM *= _sign(flips.other_flips_TSM[:, sweep])
            sweep += 1
    sign(done, x_TBI.shape[1])


def _sign(flips: Any) -> Any:
    """-1 where it flips, else 1."""
    return 1.0 - 2.0 * flips.to(torch.float32)
