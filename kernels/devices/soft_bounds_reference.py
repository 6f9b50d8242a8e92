"""Soft bounds around a reference."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..config import config, field
from ..rng import numpy_math as m
from .base import Array, Draws, Population, PulsedDevice, Spread
from .reference import crosses_zero, reference_values, shifted


def _inverse(bound: Array, usable: NDArray[np.bool_]) -> Array:
    """1 / bound where it has the right sign and an inverse; else 0, which drops its term."""
    usable = usable & (np.abs(bound) > np.float32(1e-30))
    return np.where(usable, np.float32(1.0) / np.where(usable, bound, np.float32(1.0)), np.float32(0.0))


@config
class SoftBoundsReferenceDevice(PulsedDevice):
    """Soft bounds in v = w + ref (Gong et al., 2022); bounds are kept as those of w."""

    parameters: ClassVar[tuple[str, ...]] = (
        "min_bound", "max_bound", "dwmin_up", "dwmin_down", "slope_up", "slope_down", "reference",
    )  # fmt: skip

    slope_up_dtod: float = field(0.0, at_least=0.0)
    """Spread of the up step's slope from device to device, relative to its mean: the upper bound is divided
    by it."""
    slope_down_dtod: float = field(0.0, at_least=0.0)
    """Spread of the down step's slope from device to device, relative to its mean: the lower bound is divided
    by it."""
    reference_mean: float = field(0.0)
    """Mean reference that a device is read against, w = v - ref, in units of weight."""
    reference_std: float = field(0.0, at_least=0.0)
    """Spread of the reference from device to device, in units of weight."""
    subtract_symmetry_point: bool = field(False)
    """Whether the reference takes in the device's symmetry point, where up and down steps are equal: it is at
    w = 0 then."""
    mult_noise: bool = field(False)
    """Whether the noise of a step is relative to the step at the present weight, or else to the step at w =
    0."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""

    def constants(self) -> tuple[float, ...]:
        return (self.dw_min_std, float(self.mult_noise))

    def draw(self, draws: Draws) -> Population:
        drawn = PulsedDevice.draw(self, draws)
        inside = crosses_zero(drawn)
        for name, spread, index in (
            ("max_bound", self.slope_up_dtod, Spread.OWN + 1),
            ("min_bound", self.slope_down_dtod, Spread.OWN + 2),
        ):
            if spread > 0.0:
                factor = np.abs(np.float32(1.0) + np.float32(spread) * draws.normal(index))
                drawn[name] = np.where(inside, drawn[name] / factor, drawn[name])
        inverse_up = _inverse(drawn["max_bound"], drawn["max_bound"] > 0)
        inverse_down = _inverse(drawn["min_bound"], drawn["min_bound"] < 0)
        point = self._symmetry_point(drawn, inverse_up, inverse_down)
        drawn["slope_up"], drawn["slope_down"] = inverse_up, inverse_down
        drawn["symmetry_point"] = point
        return shifted(drawn, reference_values(self, draws, Spread.OWN, point))

    def _symmetry_point(self, drawn: Population, inverse_up: Array, inverse_down: Array) -> Array:
        up, down = drawn["dwmin_up"], drawn["dwmin_down"]
        steepness = up * inverse_up - down * inverse_down
        usable = crosses_zero(drawn) & (steepness != 0)
        return np.where(usable, (up - down) / np.where(usable, steepness, np.float32(1.0)), np.float32(0.0))

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """Up: s_up ((1 - v / b_max) + noise), down: s_dn ((1 - v / b_min) + noise); v = w + ref."""
        room = 1.0 - (w + p.reference) * m.where(up, p.slope_up, p.slope_down)
        change = m.where(up, p.dwmin_up, p.dwmin_down) * (room + c[0] * xi * m.where(c[1] > 0.0, room, 1.0))
        moved = m.where(up, w + change, w - change)
        return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)
