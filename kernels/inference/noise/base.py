"""The base of all noise models: what happens to conductances at programming and afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...config import Config, config, field
from ...errors import ConfigError
from ..draws import Draws
from .converters import BaseConductanceConverter, SinglePairConductanceConverter

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
SMALLEST_RELATIVE = np.float32(1e-7)


@config
class BaseNoiseModel(Config):
    """Noise of a device technology; override the three methods for your own.

    Arrays hold the conductances in µS of one device of each crosspoint of some rows of a tile. A method
    is a pure function of its arguments and treats crosspoints one by one: the programmed
    conductances are computed again for every drift, not stored. Random numbers come from ``draws``::

        class MyNoise(BaseNoiseModel):
            def apply_programming_noise_to_conductance(self, g_target, draws):
                return g_target + np.float32(0.3) * draws.normal()

            def generate_drift_coefficients(self, g_target, draws):
                return np.float32(0.05) + np.float32(0.01) * draws.normal()

            def apply_drift_noise_to_conductance(self, g_prog, nu, t_inference, draws):
                return g_prog * np.float32(1.0 + t_inference / 20.0) ** -nu
    """

    g_converter: BaseConductanceConverter = field(factory=SinglePairConductanceConverter)
    """How weights become conductances and back."""

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        """The conductances right after programming."""
        raise NotImplementedError(f"{type(self).__name__} must define apply_programming_noise_to_conductance")

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        """What a device keeps for its later drift, usually the exponents."""
        return np.zeros_like(g_target)

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        """The conductances ``t_inference`` seconds after programming."""
        raise NotImplementedError(f"{type(self).__name__} must define apply_drift_noise_to_conductance")


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """c0 + c1 x + c2 x² + ..."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + np.float32(coefficient)
    return total


def log_age(t_s: float, t_0_s: float) -> np.float32:
    """-ln(t / t_0), 0 before t_0."""
    return np.float32(-math.log(t_s / t_0_s)) if t_s > t_0_s else ZERO


def power_law(g_prog: Array, nu: Array, t_s: float, t_0_s: float) -> Array:
    """g (t / t_0)^(-nu) for t > t_0."""
    if t_s <= t_0_s:
        return g_prog
    return g_prog * np.exp(nu * log_age(t_s, t_0_s))


def read_spread(t_s: float, t_read_s: float) -> np.float32:
    """sqrt(ln((t + t_read) / (2 t_read))): the growth of accumulated 1/f noise."""
    return np.float32(math.sqrt(max(math.log((t_s + t_read_s) / (2.0 * t_read_s)), 0.0)))


def converter_for(
    model: str, g_converter: BaseConductanceConverter | None, g_max_us: float | None, default_us: float
) -> tuple[BaseConductanceConverter, float]:
    """The converter and g_max of a model that was given either, neither, or both."""
    if g_converter is None:
        wanted = default_us if g_max_us is None else g_max_us
        return SinglePairConductanceConverter(g_max=wanted), wanted
    own = getattr(g_converter, "g_max", None)
    if own is None and g_max_us is None:
        raise ConfigError(f"{model}.g_max is needed: {type(g_converter).__name__} has none")
    if own is not None and g_max_us is not None and own != g_max_us:
        raise ConfigError(
            f"{model}.g_max = {g_max_us:g} µS and its g_converter's {own:g} µS differ: "
            "give one, or make a new model"
        )
    g_max = own if g_max_us is None else g_max_us
    assert g_max is not None
    return g_converter, float(g_max)
