"""The exponential device of NeuroSim, as an example of a device in one file.

Peng, Huang, Luo, Sun, Yu: "DNN+NeuroSim V2.0", IEEE TCAD 2021 (the model of its training code, V2.1).
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from ..config import config, field
from ..errors import ConfigError
from ..rng import numpy_math as m
from ..rng.formulas import exponential_less_one
from .base import Draws, Population, PulsedDevice, Spread, evaluated

#: fields of pulsed devices that the curve leaves no room for
OF_THE_CURVE = frozenset(
    {
        "dw_min", "dw_min_dtod", "dw_min_dtod_log_normal", "dw_min_std", "up_down", "up_down_dtod", "w_min",
        "w_max", "w_max_dtod", "w_min_dtod", "enforce_consistency", "corrupt_devices_prob",
        "corrupt_devices_range", "perfect_bias",
    }
)  # fmt: skip

DEVIATION_PER_LABEL = 0.099  # largest distance of a normalised pulse response from a line, per label


def curvature(label: Any) -> Any:
    """a(NL): the curvature, in full ranges of pulses, of a non-linearity label; negative for NL < 0.

    (1 - e^(-p/a)) / (1 - e^(-1/a)) deviates from p by at most d = 0.099 |NL|. That reproduces the ends of
    the table that the label comes from, a(0.01) = 126.27 and a(9) = 0.0228.

    With r = a (1 - e^(-1/a)) the largest deviation is d = a (1/r - 1 + ln r), which is near 1 / (8 a) for a
    large a, and near 1 - a (1 + ln 1/a) for a small one. (1 - d^2) / (8 a d) is a polynomial of d^2: a
    minimax fit, good to 3e-7.
    """
    d = m.minimum(m.maximum(m.abs(label), 0.01), 9.0) * DEVIATION_PER_LABEL
    z = d * d * 2.5 - 1.0
    p = z * 1.31074260e-03 + 3.83422878e-03
    p = p * z - 2.92467277e-04
    p = p * z - 8.08853132e-03
    p = p * z + 1.11679793e-03
    p = p * z + 1.90489143e-02
    p = p * z + 1.22914633e-02
    p = p * z - 6.69683609e-03
    p = p * z + 2.12001921e-02
    p = p * z + 1.15308994e-01
    p = p * z + 1.02619507e-01
    p = p * z + 1.01483975
    a = m.divide((1.0 - d) * (1.0 + d), p * d * 8.0)
    return m.where(label < 0.0, -a, a)


@config
class NeuroSimDevice(PulsedDevice):
    """Pulse response w(P) = B (1 - e^(-P/A)) - 1 with its own A, B for potentiation and depression.

    One pulse moves along the curve, which is linear in w: up by (B - 1 - w)(1 - e^(-1/A)), down by
    (B - 1 - w)(e^(1/A) - 1). Noise from cycle to cycle does not scale with the step.
    """

    parameters: ClassVar[tuple[str, ...]] = (
        "min_bound", "max_bound", "dwmin_up", "dwmin_down", "top_up", "top_down",
    )  # fmt: skip

    w_min: float = field(-1.0)
    """Lower bound in units of weight; it must be -1, where the curve ends."""
    w_max: float = field(1.0)
    """Upper bound in units of weight; it must be 1, where the curve ends."""
    max_level: int = field(32, at_least=2)
    """Number of pulses that lead from one bound to the other."""
    c2c_vari: float = field(0.003, at_least=0.0)
    """Noise of a pulse from cycle to cycle, its standard deviation as a fraction of the range of weights."""
    d2d_vari: float = field(0.0, at_least=0.0)
    """Spread of the non-linearity labels from device to device, in units of a label; both labels get the same
    draw."""
    nonlinearity_ltp: float = field(1.75, at_least=-9.0, at_most=9.0)
    """Non-linearity label of up pulses (potentiation), without unit: 0 is straight, its sign that of the
    curvature."""
    nonlinearity_ltd: float = field(1.46, at_least=-9.0, at_most=9.0)
    """Non-linearity label of down pulses (depression), without unit: 0 is straight, its sign that of the
    curvature."""

    def validate(self) -> None:
        PulsedDevice.validate(self)
        for spec in dataclasses.fields(NeuroSimDevice):
            if spec.name in OF_THE_CURVE and getattr(self, spec.name) != spec.default:
                raise ConfigError(
                    f"NeuroSimDevice.{spec.name} = {getattr(self, spec.name)} must stay {spec.default}: all "
                    "devices step along the curve of max_level and the labels, between -1 and 1"
                )

    @property
    def granularity(self) -> float:
        """The mean step of the range."""
        return 2.0 / self.max_level

    def constants(self) -> tuple[float, ...]:
        return (2.0 * self.c2c_vari,)

    def draw(self, draws: Draws) -> Population:
        spread = np.float32(self.d2d_vari) * draws.normal(Spread.OWN)
        one, levels = np.float32(1.0), np.float32(self.max_level)
        drawn = {"min_bound": np.full_like(spread, -1.0), "max_bound": np.full_like(spread, 1.0)}
        for side, label, sign in (("up", self.nonlinearity_ltp, -one), ("down", self.nonlinearity_ltd, one)):
            a = evaluated(curvature, np.float32(label) + spread)
            drawn[f"dwmin_{side}"] = sign * evaluated(exponential_less_one, sign / (a * levels))
            drawn[f"top_{side}"] = np.float32(2.0) / -evaluated(exponential_less_one, -one / a) - one
        return drawn

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """One pulse along the curve, and noise."""
        change = m.where(up, p.dwmin_up * (p.top_up - w), -p.dwmin_down * (p.top_down - w))
        return m.minimum(m.maximum(w + change + c[0] * xi, p.min_bound), p.max_bound)
