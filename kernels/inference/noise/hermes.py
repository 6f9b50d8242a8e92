"""Phase-change memory of the IBM HERMES Project Chip (Le Gallo et al., Nature Electronics 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...config import config, field
from ...errors import ConfigError
from ..draws import Draws
from .base import (
    SMALLEST_RELATIVE,
    ZERO,
    Array,
    BaseNoiseModel,
    converter_for,
    polynomial,
    power_law,
    read_spread,
)
from .converters import BaseConductanceConverter


@dataclass(frozen=True)
class Branch:
    """clip(slope ln x + offset, low, high) below x = ``until``, a polynomial of x from there on."""

    until: float
    slope: float
    offset: float
    low: float
    high: float
    above: tuple[float, ...]  # ascending powers of x

    def __call__(self, x: Array) -> Array:
        line = np.float32(self.slope) * np.log(x) + np.float32(self.offset)
        below = np.clip(line, np.float32(self.low), np.float32(self.high))
        return np.where(x < np.float32(self.until), below, polynomial(self.above, x))


@dataclass(frozen=True)
class Fit:
    """The fits for cells of one or two devices a polarity; x = g / g_max."""

    g_max_us: float  # the largest conductance that was characterised
    t_0_s: float
    programming_us: tuple[float, ...]  # standard deviation, ascending powers of x
    nu_std: Branch
    read: Branch


NU_MEAN = Branch(0.0945, -0.0387, -0.0182, 0.0720, 0.13, (0.0736, -0.0126, -0.0436))
FITS = {
    1: Fit(
        10.35,
        200.0,
        (0.15781817, 2.32443916, -2.16310839, 0.68841818),
        Branch(0.3039, -0.0120, -0.0023, 0.0124, 0.04, (0.0104, 0.0116, -0.0165)),
        Branch(0.1591, -0.0078, 0.0038, 0.0179, 0.04, (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    2: Fit(
        20.7,
        300.0,
        (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        Branch(0.3055, -0.0117, -0.0057, 0.0091, 0.04, (0.0073, 0.0093, -0.0118)),
        Branch(0.16, -0.0117, -0.0069, 0.015, 0.04, (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
}


@config
class HermesNoiseModel(BaseNoiseModel):
    """Programming noise, drift and 1/f noise of cells with one or two devices a polarity.

    Source: Le Gallo et al., "A 64-core mixed-signal in-memory compute chip based on phase-change memory for
    deep neural network inference", Nature Electronics 6 (2023).
    """

    g_converter: BaseConductanceConverter | None = field(None)  # type: ignore[assignment]
    """How weights become conductances and back; if None a pair of devices whose largest conductance is
    ``g_max``."""
    num_devices: int = field(2, at_least=1, at_most=2)
    """Number of devices for each polarity: 1 or 2."""
    g_max: float | None = field(None, above=0.0)
    """Largest conductance in µS; if None the converter's, or else the largest that was characterised, 20.7 µS
    (two devices) or 10.35 µS (one)."""
    prog_coeff: list[float] | None = field(None)
    """Coefficients of the programming noise's standard deviation in µS, in ascending powers of g_target /
    g_max; if None those of the chip."""
    prog_coeff_g_max_reference: float | None = field(None, above=0.0)
    """The ``g_max`` that ``prog_coeff`` holds for, in µS; if None the characterised one, or ``g_max`` for
    your own coefficients."""
    t_read: float = field(512e-9, above=0.0)
    """Duration of a read in seconds, from which the 1/f noise grows."""
    t_0: float | None = field(None, above=0.0)
    """Time from programming to the first read in seconds; inference times count from there. If None 300 s
    (two devices) or 200 s (one)."""
    prog_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the programming noise; 0: none."""
    read_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of the 1/f noise; 0: none."""
    drift_scale: float = field(1.0, at_least=0.0)
    """Factor of the drift exponents; 0: no drift."""

    def __post_init__(self) -> None:
        fit = FITS[self.num_devices]
        converter, g_max = converter_for("HermesNoiseModel", self.g_converter, self.g_max, fit.g_max_us)
        if self.prog_coeff_g_max_reference is None:
            self.prog_coeff_g_max_reference = fit.g_max_us if self.prog_coeff is None else g_max
        self.prog_coeff = list(fit.programming_us) if self.prog_coeff is None else self.prog_coeff
        self.t_0 = fit.t_0_s if self.t_0 is None else self.t_0
        self.g_converter, self.g_max = converter, g_max
        self.validate()

    def validate(self) -> None:
        if self.g_converter is None or self.g_max is None:
            return
        limit = FITS[self.num_devices].g_max_us
        converter_for("HermesNoiseModel", self.g_converter, self.g_max, limit)
        if self.g_max > limit:
            raise ConfigError(
                f"HermesNoiseModel.g_max = {self.g_max:g} µS is above {limit:g} µS, the largest conductance "
                f"characterised with num_devices = {self.num_devices}"
            )

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        assert self.prog_coeff is not None
        assert self.g_max is not None
        assert self.prog_coeff_g_max_reference is not None
        sigma_us = polynomial(self.prog_coeff, g_target / np.float32(self.g_max))
        factor = self.prog_noise_scale * self.g_max / self.prog_coeff_g_max_reference
        return np.maximum(g_target + np.float32(factor) * sigma_us * draws.normal(), ZERO)

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        x = self._relative(g_target)
        nu = NU_MEAN(x) + FITS[self.num_devices].nu_std(x) * draws.normal()
        return np.abs(nu) * np.float32(self.drift_scale)

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        assert self.t_0 is not None
        t_s = t_inference + self.t_0
        drifted = power_law(g_prog, drift_coefficients, t_s, self.t_0)
        spread = np.float32(self.read_noise_scale) * read_spread(t_s, self.t_read)
        q = FITS[self.num_devices].read(self._relative(g_prog))
        return np.maximum(drifted + drifted * q * spread * draws.normal(), ZERO)

    def _relative(self, g: Array) -> Array:
        assert self.g_max is not None
        return np.maximum(np.abs(g) / np.float32(self.g_max), SMALLEST_RELATIVE)
