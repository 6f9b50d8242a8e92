"""Phase-change memory, written once for numpy, numba and Triton (see ``machine/bind.py``).

The fit of Nandakumar et al., ICECS 2019, to devices of up to 25 µS. ``x`` is a conductance relative to g_max.
"""

from __future__ import annotations

from typing import Any

from ...rng import numpy_math as m

SMALLEST_RELATIVE = 1e-7  # the logarithm of a conductance of 0 is that of this part of g_max
SIGMA_0_US, SIGMA_1_US, SIGMA_2_US = 0.26348, 1.9650, -1.1731  # of programming, in ascending powers of x
T_READ_S = 250e-9


def programming_std_us(x: Any) -> Any:
    """Standard deviation of a programmed conductance in µS."""
    return (SIGMA_2_US * x + SIGMA_1_US) * x + SIGMA_0_US


def exponent_mean(log_x: Any) -> Any:
    """Mean drift exponent at ln(x)."""
    return m.minimum(m.maximum(log_x * -0.0155 + 0.0244, 0.049), 0.1)


def exponent_std(log_x: Any) -> Any:
    """Its spread from device to device."""
    return m.minimum(m.maximum(log_x * -0.0125 - 0.0059, 0.008), 0.045)


def read_noise(log_x: Any) -> Any:
    """Strength of the 1/f noise of a read, relative to the conductance; ``x`` as programmed."""
    return m.minimum(m.divide(0.0088, m.maximum(m.exp(log_x * 0.65), 1e-3)), 0.2)


def programmed(g_target: Any, std_us: Any, factor: Any, normal: Any) -> Any:
    """A conductance right after programming."""
    return m.maximum(g_target + factor * std_us * normal, 0.0)


def log_relative(g: Any, g_max: Any) -> Any:
    """ln(x)."""
    return m.log(m.maximum(m.divide(m.abs(g), g_max), SMALLEST_RELATIVE))


def drift_exponent(log_x: Any, scale: Any, normal: Any) -> Any:
    """The exponent of one device; ``x`` as it was meant to be programmed."""
    return m.abs(exponent_mean(log_x) + exponent_std(log_x) * normal) * scale


def drifted(g: Any, exponent: Any, log_age: Any) -> Any:
    """g (t / t_0)^(-exponent) with ``log_age`` = -ln(t / t_0)."""
    return g * m.exp(exponent * log_age)


def read(g: Any, strength: Any, spread: Any, normal: Any) -> Any:
    """A conductance with the 1/f noise of a read; ``spread`` is what grew with time."""
    return m.maximum(g + g * strength * spread * normal, 0.0)
