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

    dw_min: float = field(0.001, above=0.0)
    """Mean size of a step at w = 0, in units of weight; whatever is set, it follows from the fields below."""
    up_down: float = field(0.0)
    """Mean asymmetry of the steps, in units of ``dw_min``; it, too, follows from the fields below."""
    w_max: float = field(0.6)
    """Mean upper bound, in units of weight; it, too, follows from the fields below."""
    w_min: float = field(-0.6)
    """Mean lower bound, ``range_min``, in units of weight; it, too, follows from the fields below."""
    p_max: int = field(1000, at_least=1)
    """Number of up pulses that lead from ``range_min`` to ``range_max``."""
    alpha: float = field(0.0005, above=0.0)
    """Fraction of the way to the upper bound that one up pulse covers at ``range_min``, and of what is left
    of it later."""
    range_min: float = field(-1.0)
    """Weight that the pulses start from, the lower bound, in units of weight."""
    range_max: float = field(1.0)
    """Weight after ``p_max`` pulses, below the upper bound, in units of weight."""

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
