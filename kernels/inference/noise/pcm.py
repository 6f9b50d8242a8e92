"""Phase-change memory: the fit of Nandakumar et al., ICECS 2019, and its variants."""

from __future__ import annotations

import numpy as np

from ...config import config, field
from ...errors import ConfigError
from ..draws import Draws
from ..pcm import formulas as law
from .base import ZERO, Array, BaseNoiseModel, converter_for, log_age, polynomial, power_law, read_spread
from .converters import BaseConductanceConverter

FITTED_G_MAX_US = 25.0
FITTED_PROG_COEFF = (law.SIGMA_0_US, law.SIGMA_1_US, law.SIGMA_2_US)


@config
class PCMLikeNoiseModel(BaseNoiseModel):
    """Programming noise, drift and 1/f noise of phase-change memory (Nandakumar et al., ICECS 2019).

    ``prog_coeff`` are the coefficients, in ascending order, of the standard deviation in µS as a
    polynomial of g_target / g_max, valid for ``prog_coeff_g_max_reference`` and scaled to ``g_max``.
    """

    g_converter: BaseConductanceConverter | None = field(None)  # type: ignore[assignment]
    """How weights become conductances and back; if None a pair of devices whose largest conductance is
    ``g_max``."""
    prog_coeff: list[float] | None = field(None)
    """Coefficients of the programming noise's standard deviation in µS, in ascending powers of g_target /
    g_max; if None those of the fit."""
    g_max: float | None = field(None, above=0.0)
    """Largest conductance in µS; if None the converter's, or else 25 µS."""
    t_read: float = field(law.T_READ_S, above=0.0)
    """Duration of a read in seconds, from which the 1/f noise grows."""
    t_0: float = field(20.0, above=0.0)
    """Time from programming to the first read in seconds; inference times count from there."""
    prog_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the programming noise; 0: none."""
    read_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the 1/f noise; 0: none."""
    drift_scale: float = field(1.0, at_least=0.0)
    """Factor of the drift exponents; 0: no drift."""
    prog_coeff_g_max_reference: float | None = field(None, above=0.0)
    """The ``g_max`` that ``prog_coeff`` holds for, in µS; if None 25 µS, or ``g_max`` for your own
    coefficients."""

    def __post_init__(self) -> None:
        converter, g_max = converter_for(type(self).__name__, self.g_converter, self.g_max, FITTED_G_MAX_US)
        fitted = self.prog_coeff is None
        if self.prog_coeff_g_max_reference is None:
            self.prog_coeff_g_max_reference = FITTED_G_MAX_US if fitted else g_max
        self.prog_coeff = list(FITTED_PROG_COEFF) if self.prog_coeff is None else self.prog_coeff
        self.g_converter, self.g_max = converter, g_max
        self.validate()

    def validate(self) -> None:
        if self.g_converter is None or self.g_max is None:
            return
        converter_for(type(self).__name__, self.g_converter, self.g_max, FITTED_G_MAX_US)
        if self.prog_coeff is not None and not self.prog_coeff:
            raise ConfigError(f"{type(self).__name__}.prog_coeff must have at least one coefficient")

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        assert self.prog_coeff is not None
        assert self.g_max is not None
        assert self.prog_coeff_g_max_reference is not None
        sigma_us = polynomial(self.prog_coeff, g_target / np.float32(self.g_max))
        factor = self.prog_noise_scale * self.g_max / self.prog_coeff_g_max_reference
        g: Array = law.programmed(g_target, sigma_us, np.float32(factor), draws.normal())
        return g

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        log_x = law.log_relative(g_target, np.float32(self.g_max))
        nu: Array = law.drift_exponent(log_x, np.float32(self.drift_scale), draws.normal())
        return nu

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        t_s = t_inference + self.t_0
        drifted = law.drifted(g_prog, drift_coefficients, log_age(t_s, self.t_0))
        spread = np.float32(self.read_noise_scale) * read_spread(t_s, self.t_read)
        strength = law.read_noise(law.log_relative(g_prog, np.float32(self.g_max)))
        g: Array = law.read(drifted, strength, spread, draws.normal())
        return g


@config
class CustomDriftPCMLikeNoiseModel(PCMLikeNoiseModel):
    """The same with a table of drift exponents: mean and standard deviation at ascending conductances."""

    g_lst: list[float] = field(factory=lambda: [0.0, 25.0])
    """Conductances of the table in µS, ascending; they must cover the converter's range."""
    nu_mean_lst: list[float] = field(factory=lambda: [0.1, 0.049])
    """Mean drift exponents at those conductances, without unit."""
    nu_std_lst: list[float] = field(factory=lambda: [0.045, 0.008])
    """Standard deviations of the drift exponents at those conductances, without unit."""

    def validate(self) -> None:
        PCMLikeNoiseModel.validate(self)
        if not len(self.g_lst) == len(self.nu_mean_lst) == len(self.nu_std_lst) >= 2:
            raise ConfigError(
                f"CustomDriftPCMLikeNoiseModel: g_lst, nu_mean_lst and nu_std_lst have {len(self.g_lst)}, "
                f"{len(self.nu_mean_lst)} and {len(self.nu_std_lst)} entries; they need the same number"
            )
        if any(a >= b for a, b in zip(self.g_lst, self.g_lst[1:], strict=False)):
            raise ConfigError(f"CustomDriftPCMLikeNoiseModel.g_lst = {self.g_lst} must ascend")
        if self.g_max is not None and not (self.g_lst[0] <= 0.0 and self.g_lst[-1] >= self.g_max):
            g_min = getattr(self.g_converter, "g_min", 0.0)
            if self.g_lst[0] > g_min or self.g_lst[-1] < self.g_max:
                raise ConfigError(
                    f"CustomDriftPCMLikeNoiseModel.g_lst covers {self.g_lst[0]:g} to {self.g_lst[-1]:g} µS; "
                    f"it must cover the converter's {g_min:g} to {self.g_max:g} µS"
                )

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        mean = np.interp(g_target, self.g_lst, self.nu_mean_lst).astype(np.float32)
        std = np.interp(g_target, self.g_lst, self.nu_std_lst).astype(np.float32)
        return np.abs(mean + std * draws.normal()) * np.float32(self.drift_scale)


@config
class StateIndependentNoiseModel(BaseNoiseModel):
    """Noise and drift that do not depend on the conductance; 1/f noise proportional to it."""

    g_converter: BaseConductanceConverter | None = field(None)  # type: ignore[assignment]
    """How weights become conductances and back; if None a pair of devices whose largest conductance is
    ``g_max``."""
    g_max: float | None = field(None, above=0.0)
    """Largest conductance in µS; if None the converter's, or else 25 µS."""
    prog_coeff: list[float] = field(factory=lambda: [0.2, 0.0, 0.0])
    """Coefficients of the programming noise's standard deviation in µS, in ascending powers of g_target /
    g_max."""
    prog_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the programming noise; 0: none."""
    drift_nu_mean: float = field(0.1)
    """Mean drift exponent, without unit."""
    drift_nu_std: float = field(0.05, at_least=0.0)
    """Standard deviation of the drift exponent from device to device, without unit."""
    drift_scale: float = field(1.0, at_least=0.0)
    """Factor of the drift exponents; 0: no drift."""
    t_0: float = field(20.0, above=0.0)
    """Time from programming to the first read in seconds; inference times count from there."""
    read_noise_scale: float = field(1.0, at_least=0.0)
    """Size of the 1/f noise at a conductance of ``g_max`` in µS, before it grows with time; proportional to
    the conductance."""
    t_read: float = field(law.T_READ_S, above=0.0)
    """Duration of a read in seconds, from which the 1/f noise grows."""

    def __post_init__(self) -> None:
        converter, g_max = converter_for(type(self).__name__, self.g_converter, self.g_max, FITTED_G_MAX_US)
        self.g_converter, self.g_max = converter, g_max
        self.validate()

    def validate(self) -> None:
        if self.g_converter is not None and self.g_max is not None:
            converter_for(type(self).__name__, self.g_converter, self.g_max, FITTED_G_MAX_US)
        if not self.prog_coeff:
            raise ConfigError("StateIndependentNoiseModel.prog_coeff must have at least one coefficient")

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        assert self.g_max is not None
        sigma_us = polynomial(self.prog_coeff, g_target / np.float32(self.g_max))
        return np.maximum(g_target + np.float32(self.prog_noise_scale) * sigma_us * draws.normal(), ZERO)

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        nu = np.abs(np.float32(self.drift_nu_mean) + np.float32(self.drift_nu_std) * draws.normal())
        return nu * np.float32(self.drift_scale)

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        assert self.g_max is not None
        t_s = t_inference + self.t_0
        drifted = power_law(g_prog, drift_coefficients, t_s, self.t_0)
        sigma = np.float32(self.read_noise_scale / self.g_max) * read_spread(t_s, self.t_read)
        return np.maximum(drifted + drifted * sigma * draws.normal(), ZERO)
