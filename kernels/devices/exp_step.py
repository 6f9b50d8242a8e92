"""Devices whose step saturates exponentially."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..config import config, field
from ..rng import numpy_math as m
from .base import Draws, Population, PulsedDevice


@config
class ExpStepDevice(PulsedDevice):
    """Step sizes fitted by an exponential of the weight (Gong et al., 2018)."""

    parameters: ClassVar[tuple[str, ...]] = (
        "min_bound", "max_bound", "dwmin_up", "dwmin_down", "scale",
    )  # fmt: skip
    blockwise: ClassVar[bool] = True

    A_up: float = field(0.00081)
    """Factor A of the exponential for up steps, without unit; below 0 steps are larger than ``dw_min``."""
    A_down: float = field(0.36833)
    """Factor A of the exponential for down steps, without unit."""
    gamma_up: float = field(12.44625)
    """Exponent for each unit of z for up steps, without unit."""
    gamma_down: float = field(12.78785)
    """Exponent for each unit of -z for down steps, without unit."""
    a: float = field(0.244)
    """Factor of the weight in z = 2 a w / (b_max - b_min) + b, relative to half the device's range; without
    unit."""
    b: float = field(0.2425)
    """Offset of z: its value at w = 0; without unit."""
    dw_min_std_add: float = field(0.0, at_least=0.0)
    """Part of the noise that no step is needed for, in units of weight: its standard deviation is dw_min_std
    (step + dw_min_std_add + dw_min_std_slope |w|)."""
    dw_min_std_slope: float = field(0.0, at_least=0.0)
    """Part of the noise that grows with the weight, as a fraction of |w|; ``dw_min_std`` multiplies it."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""

    @property
    def granularity(self) -> float:
        """The mean down step at w = 0, or dw_min where there is none."""
        factor = max(1.0 - self.A_down * math.exp(-self.gamma_down * self.b), 0.0)
        step = self.dw_min * (1.0 - max(self.up_down, 0.0)) * factor
        return step if step > 0.0 else self.dw_min

    def constants(self) -> tuple[float, ...]:
        return (
            self.dw_min_std, self.b, self.A_up, self.A_down, self.gamma_up, -self.gamma_down,
            self.dw_min_std_add, self.dw_min_std_slope,
        )  # fmt: skip

    def draw(self, draws: Draws) -> Population:
        drawn = PulsedDevice.draw(self, draws)
        width = drawn["max_bound"] - drawn["min_bound"]
        moves = width > 1e-30  # else its inverse overflows
        drawn["scale"] = np.where(moves, np.float32(2.0 * self.a) / np.where(moves, width, 1.0), 0.0)
        return drawn

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """s max(1 - A exp(gamma z), 0), z = 2 a w / (b_max - b_min) + b, gamma negative for down.

        The noise is sigma (step + add + slope |w|); a device without a step or a range stays.
        """
        z = w * p.scale + c[1]
        size = m.where(up, p.dwmin_up, p.dwmin_down)
        falloff = m.where(up, c[2], c[3]) * m.exp(m.where(up, c[4], c[5]) * z)
        mean = size * m.maximum(1.0 - falloff, 0.0)
        change = mean + c[0] * xi * (m.abs(mean) + c[6] + c[7] * m.abs(w))
        change = m.where((size == 0.0) | (p.min_bound == p.max_bound), 0.0, change)
        moved = m.where(up, w + change, w - change)
        return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)
