"""Filamentary resistive memory: two published characterisations."""

from __future__ import annotations

import math

import numpy as np

from ...config import config, field
from ...errors import ConfigError, InputError
from ..draws import Draws
from .base import SMALLEST_RELATIVE, ZERO, Array, BaseNoiseModel, converter_for, polynomial
from .converters import BaseConductanceConverter, SingleDeviceConductanceConverter

WAN_G_MAX_US = 40.0
DEFAULT_G_MAX_US = 25.0
DAY_S = 86400.0
WAN_TIMES_S = (1.0, DAY_S, 2 * DAY_S)
WAN_COEFF_US = (
    (0.348, 16.030, -43.853, 45.393, -16.815),
    (0.701, 22.086, -50.773, 47.095, -16.458),
    (0.782, 20.274, -43.507, 37.062, -11.934),
)


@config
class ReRamWan2022NoiseModel(BaseNoiseModel):
    """Deviation from the target after 1 s, 1 day and 2 days, read off Wan et al., Nature 608 (2022).

    The standard deviation in µS is a polynomial of g_target / g_max, fitted at 40 µS and scaled to
    ``g_max``. No other times were published. Short-term read noise is about 1 %: set ``w_noise``.
    """

    g_converter: BaseConductanceConverter | None = field(None)  # type: ignore[assignment]
    """How weights become conductances and back; if None a pair of devices whose largest conductance is
    ``g_max``."""
    g_max: float | None = field(None, above=0.0)
    """Largest conductance in µS; if None the converter's, or else 25 µS."""
    times: list[float] = field(factory=lambda: list(WAN_TIMES_S))
    """Times after programming in seconds that were measured, one for each row of ``coeffs``."""
    coeffs: list[list[float]] = field(factory=lambda: [list(row) for row in WAN_COEFF_US])
    """Coefficients of the deviation's standard deviation in µS, a row for each time, in ascending powers of
    g_target / g_max."""
    noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the deviation; 0: none."""
    coeff_g_max_reference: float = field(WAN_G_MAX_US, above=0.0)
    """The ``g_max`` that ``coeffs`` hold for, in µS."""

    def __post_init__(self) -> None:
        converter, g_max = converter_for(type(self).__name__, self.g_converter, self.g_max, DEFAULT_G_MAX_US)
        self.g_converter, self.g_max = converter, g_max
        self.validate()

    def validate(self) -> None:
        if self.g_converter is not None and self.g_max is not None:
            converter_for(type(self).__name__, self.g_converter, self.g_max, DEFAULT_G_MAX_US)
        if len(self.times) != len(self.coeffs) or not self.times or not all(self.coeffs):
            raise ConfigError(
                f"ReRamWan2022NoiseModel has {len(self.times)} times and {len(self.coeffs)} rows of coeffs; "
                "each time needs a row with at least one coefficient"
            )

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        return self._deviated(g_target, int(np.argmin(self.times)), draws)

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        """The targets: the deviation at any time is from them."""
        return g_target

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        if t_inference not in self.times:
            known = ", ".join(f"{t_s:g}" for t_s in self.times)
            raise InputError(f"t_inference = {t_inference:g} s was not measured; known are {known} s")
        return self._deviated(drift_coefficients, self.times.index(t_inference), draws)

    def _deviated(self, g_target: Array, row: int, draws: Draws) -> Array:
        assert self.g_max is not None
        sigma_us = polynomial(self.coeffs[row], g_target / np.float32(self.g_max))
        factor = self.noise_scale * self.g_max / self.coeff_g_max_reference
        return np.maximum(g_target + np.float32(factor) * sigma_us * draws.normal(), ZERO)


CMO_PROGRAMMING = {0.2: (0.00081107, 0.00106879), 2.0: (0.0112185391, 0.01129027418)}  # µS, µS/µS


@config
class ReRamCMONoiseModel(BaseNoiseModel):
    """Analog CMO/HfOx devices, one a crosspoint (Falcone et al., 2024).

    Programming noise is linear in the target and depends on the ``acceptance_range`` of write and verify
    in percent (0.2 or 2). Relaxation shifts all conductances alike, linearly in ln t.
    """

    g_converter: BaseConductanceConverter = field(factory=SingleDeviceConductanceConverter)
    """How weights become conductances and back: one device a crosspoint."""
    acceptance_range: float = field(0.2)
    """Acceptance range of write and verify in percent of the target: 0.2 or 2."""
    prog_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the programming noise; 0: none."""
    read_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the read noise; 0: none."""
    drift_scale: float = field(1.0, at_least=0.0)
    """Factor of the relaxation, of its mean and of its spread; 0: none."""
    decay_mean: float = field(-0.08900206)
    """Mean relaxation in µS for each unit of ln(t / s)."""
    decay_std: list[float] = field(factory=lambda: [0.41183342, 0.04201137])
    """Standard deviation of the relaxation: offset in µS, and slope in µS for each unit of ln(t / s)."""
    read_k: float = field(0.0277316483, at_least=0.0)
    """Read noise in µS for each unit of log10(g / µS), before it grows with time."""
    t_read: float = field(1e-6, above=0.0)
    """Duration of a read in seconds, from which the read noise grows."""

    def validate(self) -> None:
        if self.acceptance_range not in CMO_PROGRAMMING:
            raise ConfigError(
                f"ReRamCMONoiseModel.acceptance_range = {self.acceptance_range:g} % was not measured; "
                "known are 0.2 and 2"
            )
        if len(self.decay_std) != 2:
            raise ConfigError(
                f"ReRamCMONoiseModel.decay_std = {self.decay_std} must hold an offset and a slope"
            )

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        sigma_us = polynomial(CMO_PROGRAMMING[self.acceptance_range], g_target)
        return g_target + np.float32(self.prog_noise_scale) * sigma_us * draws.normal()

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        if t_inference == 0.0:
            return g_prog
        log_t = math.log(t_inference)
        shift_us = self.decay_mean * log_t * self.drift_scale
        std_us = max(self.decay_std[0] + self.decay_std[1] * log_t, 0.0) * self.drift_scale
        relaxed = g_prog + np.float32(shift_us) + np.float32(std_us) * draws.normal()
        age = max(math.log((t_inference + self.t_read) / (2 * self.t_read)), 0.0)
        spread = np.float32(self.read_k * math.sqrt(age) * self.read_noise_scale)
        read_us = np.abs(np.log10(np.maximum(relaxed, SMALLEST_RELATIVE))) * spread
        return self._in_range(relaxed + read_us * draws.normal())

    def _in_range(self, g: Array) -> Array:
        low = np.float32(getattr(self.g_converter, "g_min", 0.0))
        high = np.float32(getattr(self.g_converter, "g_max", np.inf))
        return np.clip(g, low, high)
