"""What a pulsed update needs to know besides its arrays, as plain numbers for the compiled kernels."""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parameters import PulseType, UpdateParameters

MODES = {
    PulseType.STOCHASTIC_COMPRESSED: 0,
    PulseType.STOCHASTIC: 1,
    PulseType.MEAN_COUNT: 2,
    PulseType.DETERMINISTIC_IMPLICIT: 3,
}
SECOND_PASS = 32  # slot numbers of the rows' trains in the pass of the negative inputs
FINER = 64  # added to a slot's number for the draw that decides where 16 bits cannot


class Side(IntEnum):
    """Which pulses an array receives."""

    BOTH = 0
    UP = 1  # only those that step up
    DOWN_AS_UP = 2  # only those that would step down, as steps up: the negative half of a pair


class Rule(NamedTuple):
    """How trains are made from x and d."""

    mode: int
    scaling: int  # 0 fixed length, 1 free; + 2 update management; + 4 bit-length management
    desired: np.float32
    grad_scale: np.float32
    x_step: np.float32  # widths that the probabilities are rounded to; 0: none
    d_step: np.float32
    jitter: int  # 1: stochastic rounding


class Looks(NamedTuple):
    """Lines to note between vectors: line lines_TN[t, n] as it is after after_N[n] >= 1 of them."""

    after_N: NDArray[np.int64]
    lines_TN: NDArray[np.int64]
    of_columns: bool
    lines_TNM: NDArray[np.float32]  # where they are noted


@functools.cache
def no_looks(tiles: int) -> Looks:
    """Nothing is looked at."""
    none = np.zeros(0, np.int64), np.zeros((tiles, 0), np.int64), False, np.zeros((tiles, 0, 0), np.float32)
    return Looks(*none)


def make_rule(parameters: UpdateParameters) -> Rule:
    """The rule of pulsed ``parameters`` (their type is not one of the exact ones)."""
    mode = MODES[parameters.pulse_type]
    scaling = 0 if parameters.fixed_bl else 1
    if parameters.update_bl_management:
        scaling |= 6
    elif parameters.update_management:
        scaling |= 2
    implicit = parameters.pulse_type is PulseType.DETERMINISTIC_IMPLICIT
    x_step, d_step = parameters.res, parameters.res
    if implicit:
        x_step, d_step = parameters.x_res_implicit, parameters.d_res_implicit
    return Rule(
        mode=mode,
        scaling=scaling,
        desired=np.float32(parameters.desired_bl),
        grad_scale=np.float32(parameters.um_grad_scale),
        x_step=np.float32(max(x_step, 0.0)),
        d_step=np.float32(max(d_step, 0.0)),
        jitter=int(parameters.sto_round),
    )
