"""Devices whose step is a power of the distance to the bound."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..config import config, field
from ..rng import numpy_math as m
from ..rng.formulas import exponential, natural_log
from ..rng.formulas import power as portable_power
from .base import Array, Draws, Population, PulsedDevice, Spread, evaluated, with_asymmetry
from .reference import crosses_zero, reference_values, shifted

PARAMETERS = ("min_bound", "max_bound", "dwmin_up", "dwmin_down", "gamma_up", "gamma_down", "inverse_range")
SMALLEST = 1e-30  # of what is divided by


def power_step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
    """Up: s_up ((b_max - w) / R)^gamma_up, down: s_dn ((w - b_min) / R)^gamma_dn; R = b_max - b_min."""
    room = m.where(up, p.max_bound - w, w - p.min_bound) * p.inverse_range
    change = (
        m.where(up, p.dwmin_up, p.dwmin_down)
        * m.power(room, m.where(up, p.gamma_up, p.gamma_down))
        * (1.0 + c[0] * xi)
    )
    moved = m.where(up, w + change, w - change)
    return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)


def powers(device: Any, draws: Draws, drawn: Population) -> Population:
    """``drawn`` with the exponents and the inverse range."""
    one = np.float32(1.0)
    mean = one + np.float32(device.pow_gamma_dtod) * draws.normal(Spread.OWN)
    spread = np.float32(device.pow_up_down_dtod) * draws.normal(Spread.OWN + 1)
    up, down = with_asymmetry(mean, spread, device.pow_up_down, device.pow_gamma)
    if device.enforce_consistency:
        up, down = np.abs(up), np.abs(down)
    width = drawn["max_bound"] - drawn["min_bound"]
    moves = width > 1e-30  # else its inverse overflows
    inverse = np.where(moves, one / np.where(moves, width, one), np.float32(0.0))
    return {**drawn, "gamma_up": up, "gamma_down": down, "inverse_range": inverse}


@config
class PowStepDevice(PulsedDevice):
    """The step is a power of the distance to the device's bound (Frascaroli et al., 2018)."""

    parameters: ClassVar[tuple[str, ...]] = PARAMETERS
    step = staticmethod(power_step)
    blockwise: ClassVar[bool] = True

    pow_gamma: float = field(1.0)
    """Mean exponent of the step, without unit: 0 is a constant step, 1 one that shrinks linearly."""
    pow_gamma_dtod: float = field(0.1, at_least=0.0)
    """Spread of the exponent from device to device, relative to ``pow_gamma``."""
    pow_up_down: float = field(0.0)
    """Asymmetry of the exponents, in units of ``pow_gamma``: above 0 it is taken from that of the down step,
    below 0 from that of the up step."""
    pow_up_down_dtod: float = field(0.0, at_least=0.0)
    """Spread of that asymmetry from device to device, in units of ``pow_gamma``: added for up, taken away for
    down."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""

    @property
    def granularity(self) -> float:
        """The mean step in the middle of the range."""
        return float(self.dw_min * 0.5**self.pow_gamma)

    def draw(self, draws: Draws) -> Population:
        return powers(self, draws, PulsedDevice.draw(self, draws))


@config
class PowStepReferenceDevice(PulsedDevice):
    """A power step in v = w + ref; bounds are kept as those of w, which leaves the step's formula alone."""

    parameters: ClassVar[tuple[str, ...]] = PARAMETERS
    step = staticmethod(power_step)
    blockwise: ClassVar[bool] = True

    pow_gamma: float = field(1.0)
    """Mean exponent of the step, without unit: 0 is a constant step, 1 one that shrinks linearly."""
    pow_gamma_dtod: float = field(0.1, at_least=0.0)
    """Spread of the exponent from device to device, relative to ``pow_gamma``."""
    pow_up_down: float = field(0.0)
    """Asymmetry of the exponents, in units of ``pow_gamma``: above 0 it is taken from that of the down step,
    below 0 from that of the up step."""
    pow_up_down_dtod: float = field(0.0, at_least=0.0)
    """Spread of that asymmetry from device to device, in units of ``pow_gamma``: added for up, taken away for
    down."""
    reference_mean: float = field(0.0)
    """Mean reference that a device is read against, w = v - ref, in units of weight."""
    reference_std: float = field(0.0, at_least=0.0)
    """Spread of the reference from device to device, in units of weight."""
    subtract_symmetry_point: bool = field(False)
    """Whether the reference takes in the device's symmetry point, where up and down steps are equal: it is at
    w = 0 then."""
    n_estimation_steps: int = field(0)
    """Number of pairs of an up and a down step, from v = 0, that find the symmetry point; 0 or less: it is
    solved for."""

    @property
    def granularity(self) -> float:
        """The mean step in the middle of the range."""
        return float(self.dw_min * 0.5**self.pow_gamma)

    def draw(self, draws: Draws) -> Population:
        drawn = powers(self, draws, PulsedDevice.draw(self, draws))
        point = np.zeros_like(drawn["min_bound"])
        if self.subtract_symmetry_point:
            point = np.where(crosses_zero(drawn), symmetry_point(drawn, self.n_estimation_steps), point)
        drawn["symmetry_point"] = point
        return shifted(drawn, reference_values(self, draws, Spread.OWN + 2, point))


def symmetry_point(drawn: Population, steps: int) -> Array:
    """Where an up and a down step are equal: by ``steps`` pairs of steps from 0, or solved for."""
    if steps <= 0:
        names = ("min_bound", "max_bound", "dwmin_up", "dwmin_down", "gamma_up", "gamma_down")
        solved: Array = evaluated(balance, *(drawn[name] for name in names))
        return solved
    v = np.zeros_like(drawn["min_bound"])
    for _ in range(steps):
        v = v + _excess(v, drawn)
    return v


def balance(low: Any, high: Any, up: Any, down: Any, gamma_up: Any, gamma_down: Any) -> Any:
    """The v where up ((high - v) / R)^gamma_up = down ((v - low) / R)^gamma_down, R = high - low.

    With v = low + R / (1 + e^-t) and q = ln(1 + e^-t) the logarithm of both sides is
    ln(up / down) - gamma_up t + (gamma_down - gamma_up) q = 0, whose left side bends one way and falls by
    gamma_up to gamma_down for each unit of t: Newton's steps cannot miss. Where only one step points its own
    way v goes to the bound that it leads to.
    """
    ratio = natural_log(m.divide(m.maximum(up, SMALLEST), m.maximum(down, SMALLEST)))
    t = ratio * 0.0
    for _ in m.static_range(8):
        e = exponential(-m.abs(t))
        q = m.maximum(-t, 0.0) + natural_log(e + 1.0)
        x = m.divide(m.where(t > 0.0, 1.0, e), e + 1.0)
        excess = ratio - gamma_up * t + (gamma_down - gamma_up) * q
        slope = gamma_down + (gamma_up - gamma_down) * x
        t = t + m.divide(excess, m.maximum(slope, SMALLEST))
        t = m.minimum(m.maximum(t, -40.0), 40.0)  # there v is a bound
    e = exponential(-m.abs(t))
    return low + m.divide(m.where(t > 0.0, 1.0, e), e + 1.0) * (high - low)


def _excess(v: Array, drawn: Population) -> Array:
    """Up step minus down step at v, without noise."""
    scale, low, high = drawn["inverse_range"], drawn["min_bound"], drawn["max_bound"]
    up: Array = drawn["dwmin_up"] * evaluated(portable_power, (high - v) * scale, drawn["gamma_up"])
    return up - drawn["dwmin_down"] * evaluated(portable_power, (v - low) * scale, drawn["gamma_down"])
