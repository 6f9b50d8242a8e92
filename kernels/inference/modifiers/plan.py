"""A modifier's parameters as numbers for the kernels, and the table of the fast normals."""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..pcm.formulas import SIGMA_0_US, T_READ_S
from .parameters import MAX_COEFFS, WeightModifierParameter


class Kind(IntEnum):
    """What a kernel does to each weight before connections are dropped."""

    KEEP = 0
    ADD_NORMAL = 1
    MULT_NORMAL = 2
    DISCRETIZE = 3
    DISCRETIZE_ADD_NORMAL = 4
    DOREFA = 5
    POLY = 6
    PROG_NOISE = 7
    PCM_NOISE = 8


class Slot(IntEnum):
    """Places in ``Plan.values``."""

    STD = 0
    RES = 1
    CLIP = 2
    P_DROP = 3
    G_MAX = 4
    THRESHOLD = 5
    P_RESET = 6
    P_GMAX = 7
    P_RANDOM = 8
    LOG_AGE = 9
    SPREAD = 10
    COEFF = 11  # and the following ones


class Extra(IntEnum):
    """Which draw of a crosspoint, in the address of its random words."""

    NORMAL = 0
    NORMAL_DRIFT = 1
    NORMAL_READ = 2
    ROUND = 3
    DROP = 4
    FAIL_RESET = 5
    FAIL_GMAX = 6
    FAIL_RANDOM = 7
    FAIL_SIDE = 8
    FAIL_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """What the kernels need to know of a ``WeightModifierParameter``."""

    kind: Kind
    stochastic: bool  # stochastic rounding
    keep_last: bool
    relative: bool  # to the tile's own largest weight
    assumed_wmax: float
    values: NDArray[np.float32]

    @property
    def idle(self) -> bool:
        """Whether the weights stay as they are."""
        return self.kind == Kind.KEEP and self.values[Slot.P_DROP] == 0.0


def plan(parameter: WeightModifierParameter) -> Plan:
    """The numbers of ``parameter``; a type whose strength is zero becomes one that does less."""
    values = np.zeros(Slot.COEFF + MAX_COEFFS, np.float32)
    values[Slot.STD] = parameter.std_dev
    values[Slot.RES] = parameter.res
    values[Slot.CLIP] = parameter.dorefa_clip
    values[Slot.P_DROP] = parameter.pdrop
    values[Slot.G_MAX] = parameter.g_max
    values[Slot.THRESHOLD] = parameter.pcm_zero_thres * parameter.std_dev * SIGMA_0_US
    values[Slot.P_RESET] = parameter.pcm_prob_at_reset
    values[Slot.P_GMAX] = parameter.pcm_prob_at_gmax
    values[Slot.P_RANDOM] = parameter.pcm_prob_at_random
    t_s = parameter.pcm_t_inference + parameter.pcm_t0
    values[Slot.LOG_AGE] = math.log(t_s / parameter.pcm_t0)
    values[Slot.SPREAD] = math.sqrt(max(math.log((t_s + T_READ_S) / (2 * T_READ_S)), 0.0))
    values[Slot.COEFF : Slot.COEFF + len(parameter.coeffs)] = parameter.coeffs
    return Plan(
        _kind(parameter),
        parameter.sto_round,
        parameter.copy_last_column,
        parameter.rel_to_actual_wmax,
        parameter.assumed_wmax,
        values,
    )


def _kind(parameter: WeightModifierParameter) -> Kind:
    name = parameter.type.name
    if name in ("NONE", "COPY", "DROP_CONNECT"):
        return Kind.KEEP
    noisy, stepped = parameter.std_dev > 0.0, parameter.res > 0.0
    kind = Kind[name]
    if kind == Kind.DISCRETIZE_ADD_NORMAL and not (noisy and stepped):
        kind = Kind.ADD_NORMAL if noisy else Kind.DISCRETIZE
    if kind in (Kind.DISCRETIZE, Kind.DOREFA):
        return kind if stepped else Kind.KEEP
    return kind if noisy or kind == Kind.PCM_NOISE else Kind.KEEP


@functools.cache
def byte_normals() -> NDArray[np.float32]:
    """256 equally probable values, halved, with the second and fourth moments of a standard normal.

    They are the quantiles at the middles of 256 equal parts, scaled; the outermost pair is scaled once
    more so that both moments fit.
    """
    quantile = statistics.NormalDist().inv_cdf
    inner = np.array([quantile((k + 0.5) / 256) for k in range(1, 255)])
    m2, m4 = np.sum(inner**2), np.sum(inner**4)
    # scale a of the inner values, outer value b:  a² m2 + 2 b² = 256  and  a⁴ m4 + 2 b⁴ = 3 * 256
    quadratic, linear, constant = m4 + m2**2 / 2, -256 * m2, 256**2 / 2 - 3 * 256
    a_squared = (-linear - math.sqrt(linear**2 - 4 * quadratic * constant)) / (2 * quadratic)
    b = math.sqrt((256 - a_squared * m2) / 2)
    return (np.concatenate([[-b], math.sqrt(a_squared) * inner, [b]]) / 2).astype(np.float32)
