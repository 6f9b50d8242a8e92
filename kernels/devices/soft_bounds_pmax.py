"""Soft bounds that are given by how far a number of pulses reaches."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..config import config, field
from ..errors import ConfigError
from .linear_step import SoftBoundsDevice

#: fields that follow from the others
DERIVED = ("w_min", "w_max", "dw_min", "up_down")


def _follows(name: str, value: Any) -> ConfigError:
    return ConfigError(
        f"SoftBoundsPmaxDevice.{name} = {value:g} cannot be set: it follows from p_max, alpha, range_min and "
        "range_max; set these, or take a SoftBoundsDevice"
    )


@config
class SoftBoundsPmaxDevice(SoftBoundsDevice):
    """Soft bounds where ``p_max`` pulses of relative size ``alpha`` lead from range_min to range_max.

    w_min, w_max, dw_min and up_down follow from these and cannot be set.
    """

    dw_min: float = field(0.001, above=0.0)
    """Mean size of a step at w = 0, in units of weight; it follows from the fields below."""
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

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in DERIVED}
        self.validate()
        for spec in dataclasses.fields(SoftBoundsPmaxDevice):  # a copy is given what followed
            if spec.name in DERIVED and given[spec.name] not in (spec.default, getattr(self, spec.name)):
                raise _follows(spec.name, given[spec.name])

    def __setattr__(self, name: str, value: Any) -> None:
        if name in DERIVED and getattr(self, name, value) != value:
            raise _follows(name, value)
        SoftBoundsDevice.__setattr__(self, name, value)

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
