"""What a pulsed update needs to know besides its arrays, as plain numbers for the compiled kernels."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from .parameters import MAX_PULSES, WORD_PULSES, PulseType, UpdateParameters

MODES = {
    PulseType.STOCHASTIC_COMPRESSED: 0,
    PulseType.STOCHASTIC: 1,
    PulseType.MEAN_COUNT: 2,
    PulseType.DETERMINISTIC_IMPLICIT: 3,
}
SECOND_PASS = 32  # slot numbers of the rows' trains in the pass of the negative inputs
FINER = 64  # added to a slot's number for the draw that decides where 16 bits cannot


class Rule(NamedTuple):
    """How trains are made from x and d."""

    mode: int
    scaling: int  # 0 fixed length, 1 free; + 2 update management; + 4 bit-length management
    desired: np.float32
    grad_scale: np.float32
    x_step: np.float32  # widths that the probabilities are rounded to; 0: none
    d_step: np.float32
    jitter: int  # 1: stochastic rounding
    parts: int  # that a random train is cut into, each pulsed as a vector of its own
    longest: np.float32  # train that all parts together have room for


def make_rule(own: UpdateParameters) -> Rule:
    """The rule of pulsed parameters (their type is not one of the exact ones)."""
    steps = own.res, own.res
    if own.pulse_type is PulseType.DETERMINISTIC_IMPLICIT:
        steps = own.x_res_implicit, own.d_res_implicit
    scaling = 0 if own.fixed_bl else 1
    if own.update_bl_management:
        scaling |= 6
    elif own.update_management:
        scaling |= 2
    return _rule(MODES[own.pulse_type], scaling, own.desired_bl, own.um_grad_scale, steps, own.sto_round)


@functools.lru_cache(maxsize=256)  # to make numbers of numpy takes as long as a small update
def _rule(
    mode: int, scaling: int, desired: int, grad_scale: float, steps: tuple[float, float], jitter: bool
) -> Rule:
    x_step, d_step = (np.float32(max(step, 0.0)) for step in steps)
    parts = math.ceil(desired / WORD_PULSES) if mode <= 1 else 1  # others are counts, not slots
    longest = parts * WORD_PULSES if mode <= 1 else MAX_PULSES
    return Rule(
        mode, scaling, np.float32(desired), np.float32(grad_scale), x_step, d_step, int(jitter), parts,
        np.float32(longest),
    )  # fmt: skip
