"""Devices whose step is a linear function of the state."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..config import config, field
from ..errors import ConfigError
from ..rng import numpy_math as m
from .base import Array, Draws, Population, PulsedDevice, Spread

WITH_SLOPES = ("min_bound", "max_bound", "dwmin_up", "dwmin_down", "slope_up", "slope_down")


def linear_step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
    """Up: (s_up + m_up w) and its noise; down: (s_dn + m_dn w). c[1] > 0: the noise scales with the step,
    else with s alone.
    """
    size = m.where(up, p.dwmin_up, p.dwmin_down)
    mean = size + m.where(up, p.slope_up, p.slope_down) * w
    change = mean + c[0] * xi * m.where(c[1] > 0.0, mean, size)
    moved = m.where(up, w + change, w - change)
    return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)


def slope(gamma: Array, size: Array, reference: Array, allow_increasing: bool) -> Array:
    """-gamma s / reference; 0 where the reference is."""
    if not allow_increasing:
        gamma = np.abs(gamma)
    none = np.abs(reference) < 1e-30  # its inverse overflows
    return np.where(none, np.float32(0.0), -gamma * size / np.where(none, np.float32(1.0), reference))


def references(device: Any, drawn: Population, mean: bool) -> tuple[Array, Array]:
    """The weights at which (up, down) steps would vanish for gamma = 1."""
    up, down = drawn["max_bound"], drawn["min_bound"]
    if mean:
        up, down = np.full_like(up, device.w_max), np.full_like(down, device.w_min)
    offset = np.float32(device.reverse_offset)
    if device.reverse_up:
        up = down - offset if not mean else np.full_like(up, device.w_min) - offset
    if device.reverse_down:
        base = np.full_like(down, device.w_max) if mean else drawn["max_bound"]
        down = base + offset
    return up, down


def check_reverse(device: Any) -> None:
    """Reversed slopes are defined for multiplicative noise."""
    for name in ("reverse_up", "reverse_down"):
        if getattr(device, name) and not device.mult_noise:
            raise ConfigError(f"{type(device).__name__}.{name} = True needs mult_noise = True")


@config
class LinearStepDevice(PulsedDevice):
    """The step shrinks linearly with the weight, by a factor that differs from device to device."""

    parameters: ClassVar[tuple[str, ...]] = WITH_SLOPES
    step = staticmethod(linear_step)

    gamma_up: float = field(0.0)
    """Mean fraction of the up step that is lost between w = 0 and the upper bound."""
    gamma_down: float = field(0.0)
    """Mean fraction of the down step that is lost between w = 0 and the lower bound."""
    gamma_up_dtod: float = field(0.05, at_least=0.0)
    """Spread of ``gamma_up`` from device to device: a fraction, added to it."""
    gamma_down_dtod: float = field(0.05, at_least=0.0)
    """Spread of ``gamma_down`` from device to device: a fraction, added to it."""
    allow_increasing: bool = field(False)
    """Whether a device may draw a negative gamma, so that its step grows towards the bound; else the
    magnitude is taken."""
    mean_bound_reference: bool = field(True)
    """Whether the fractions are lost up to the mean bounds ``w_max`` and ``w_min``, or else up to the
    device's own."""
    mult_noise: bool = field(True)
    """Whether the noise of a step is relative to the step at the present weight, or else to the step at w =
    0."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""
    reverse_up: bool = field(False)
    """Whether the up step vanishes beyond the lower bound, not at the upper one; needs ``mult_noise``."""
    reverse_down: bool = field(False)
    """Whether the down step vanishes beyond the upper bound, not at the lower one; needs ``mult_noise``."""
    reverse_offset: float = field(0.01)
    """How far beyond that bound a reversed step vanishes, in units of weight."""

    def validate(self) -> None:
        PulsedDevice.validate(self)
        check_reverse(self)

    def constants(self) -> tuple[float, ...]:
        return (self.dw_min_std, float(self.mult_noise))

    def draw(self, draws: Draws) -> Population:
        drawn = PulsedDevice.draw(self, draws)
        up, down = references(self, drawn, self.mean_bound_reference)
        gamma_up = np.float32(self.gamma_up) + np.float32(self.gamma_up_dtod) * draws.normal(Spread.OWN)
        gamma_down = np.float32(self.gamma_down) + np.float32(self.gamma_down_dtod) * draws.normal(
            Spread.OWN + 1
        )
        drawn["slope_up"] = slope(gamma_up, drawn["dwmin_up"], up, self.allow_increasing)
        drawn["slope_down"] = slope(gamma_down, drawn["dwmin_down"], down, self.allow_increasing)
        return drawn


@config
class SoftBoundsDevice(PulsedDevice):
    """The step vanishes linearly towards the device's own bounds (Fusi and Abbott, 2007)."""

    parameters: ClassVar[tuple[str, ...]] = WITH_SLOPES
    step = staticmethod(linear_step)

    mult_noise: bool = field(True)
    """Whether the noise of a step is relative to the step at the present weight, or else to the step at w =
    0."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""
    reverse_up: bool = field(False)
    """Whether the up step vanishes beyond the lower bound, not at the upper one; needs ``mult_noise``."""
    reverse_down: bool = field(False)
    """Whether the down step vanishes beyond the upper bound, not at the lower one; needs ``mult_noise``."""
    reverse_offset: float = field(0.01)
    """How far beyond that bound a reversed step vanishes, in units of weight."""

    def validate(self) -> None:
        PulsedDevice.validate(self)
        check_reverse(self)

    def constants(self) -> tuple[float, ...]:
        return (self.dw_min_std, float(self.mult_noise))

    def draw(self, draws: Draws) -> Population:
        drawn = PulsedDevice.draw(self, draws)
        up, down = references(self, drawn, mean=False)
        one = np.ones_like(up)
        drawn["slope_up"] = slope(one, drawn["dwmin_up"], up, allow_increasing=False)
        drawn["slope_down"] = slope(one, drawn["dwmin_down"], down, allow_increasing=False)
        return drawn
