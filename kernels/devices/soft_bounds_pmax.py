"""Soft bounds that are given by how far a number of pulses reaches."""

from __future__ import annotations

import math

from ..config import config, field
from ..errors import ConfigError
from .linear_step import SoftBoundsDevice


@config
class SoftBoundsPmaxDevice(SoftBoundsDevice):
    """Soft bounds where ``p_max`` pulses of relative size ``alpha`` lead from range_min to range_max.

    w_min, w_max, dw_min and up_down follow from these and cannot be set.
    """

    p_max: int = field(1000, at_least=1)
    alpha: float = field(0.0005, above=0.0)
    range_min: float = field(-1.0)
    range_max: float = field(1.0)

    def validate(self) -> None:
        if self.range_min >= self.range_max:
            raise ConfigError(
                f"SoftBoundsPmaxDevice.range_min = {self.range_min:g} must be below "
                f"range_max = {self.range_max:g}"
            )
        scale = (self.range_max - self.range_min) / (1.0 - math.exp(-self.p_max * self.alpha))
        derived = {
            "w_min": self.range_min,
            "w_max": self.range_min + scale,
            "dw_min": scale * self.alpha,
            "up_down": 1.0 + 2.0 * self.range_min / scale,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        SoftBoundsDevice.validate(self)
