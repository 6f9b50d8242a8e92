"""Phase-change memory, written once for numpy, numba and Triton (see ``machine/bind.py``).

The fit of Nandakumar et al., ICECS 2019, to devices of up to 25 µS. ``x`` is a conductance relative to g_max.
"""

from __future__ import annotations

from typing import Any

from ...rng import numpy_math as m

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
