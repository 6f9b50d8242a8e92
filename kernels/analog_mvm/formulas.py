"""The periphery's transfer functions, written once for numpy, numba and Triton (see ``machine/bind.py``).

After Rasch et al., "A flexible and fast PyTorch toolkit for simulating training and inference on analog
crossbar arrays", AICAS 2021, and "Hardware-aware training for large-scale and diverse deep learning
inference workloads using in-memory computing-based accelerators", Nature Communications 2023.
"""

from __future__ import annotations

from typing import Any

from ..rng import numpy_math as m


def quantised(value: Any, step: Any) -> Any:
    """``value`` on the grid of a converter, ties to even; ``step`` 0 is continuous."""
    return m.where(step > 0.0, m.rint(m.divide(value, m.where(step > 0.0, step, 1.0))) * step, value)


def quantised_at_random(value: Any, step: Any, uniform: Any) -> Any:
    """``value`` rounded up or down with the probabilities that keep its mean."""
    on_grid = m.rint(m.divide(value, m.where(step > 0.0, step, 1.0)) + uniform - 0.5) * step
    return m.where(step > 0.0, on_grid, value)


def clipped(value: Any, bound: Any) -> Any:
    return m.minimum(m.maximum(value, -bound), bound)


def skewed(value: Any, asymmetry: Any) -> Any:
    """Negative values are smaller by the fraction ``asymmetry``."""
    return m.where(value < 0.0, value * (1.0 - asymmetry), value)


def at_input(u: Any, s: Any) -> Any:
    """What the array makes of an input after DAC and noise; ``s`` are the settings."""
    return skewed(u, s.inp_asymmetry)


def at_output(y: Any, s: Any) -> Any:
    """What becomes of an output before its noise and ADC; ``s`` are the settings."""
    return skewed(y, s.out_asymmetry)


def wire_drop(current: Any, weighted: Any, strength: Any, length_by_g_ratio: Any) -> Any:
    """What the wires' resistance takes from an output.

    ``current`` is sum_j |w_ij u_j|, ``weighted`` sum_j w_ij u_j (1 - (1 - j / n)^2).
    """
    a = current * length_by_g_ratio
    return a * (a * (a * 0.05 - 0.2) + 0.5) * strength * weighted


def offset_and_series(y: Any, y_ref: Any, v_offset: Any, r_series: Any) -> Any:
    """A line's voltage offset and series resistance, at the coding and the reference device."""
    coding = m.divide((y + y_ref) * (1.0 - v_offset), m.abs(y + y_ref) * r_series + 1.0)
    reference = m.divide(y_ref * (1.0 + v_offset), m.abs(y_ref) * r_series + 1.0)
    return coding - reference


def saturated(y: Any, curvature: Any, slope: Any) -> Any:
    """The S-shaped non-linearity before the ADC."""
    return m.divide(y * slope, m.abs(y * curvature) + 1.0)


def number_sum_scale(largest: Any, sum_of_one_sign: Any, finest: Any, assumed_w_max: Any) -> Any:
    """The scale of ABS_MAX_NP_SUM: no sign's sum may drive the ADC out of range at the assumed weights.

    ``finest`` limits it so that max_bm_res of the input's resolution is left.
    """
    return m.maximum(largest, m.minimum(largest * finest, sum_of_one_sign * assumed_w_max))
