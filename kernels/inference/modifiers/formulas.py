"""The weight modifiers of hardware-aware training, written once for numpy, numba and Triton.

``w`` is a weight, ``w_max`` the unit that strengths are relative to, ``xi`` a standard normal and
``jitter`` a uniform number in [-1/2, 1/2) (0: round to nearest). See ``machine/bind.py``.
"""

from __future__ import annotations

from typing import Any

from ...rng import numpy_math as m
from ...rng.formulas import natural_log
from ..pcm.formulas import exponent_std, programming_std_us, read_noise

# Fast normals. One random byte picks one of 256 equally probable values whose second and fourth moments
# are a normal's; the four values of a word are then rotated (a Hadamard matrix of order 4), which
# makes four uncorrelated sums. Against a standard normal the distribution function is off by at most
# 6e-5, P(|x| > 3) by 0.1 %, P(|x| > 4) by 6 %; no |x| exceeds 6.1 (tests/kernels/inference).


def rotated(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The four sums of halves of a, b, c, d that a Hadamard matrix gives; halving is in the table."""
    p, q = a + b, a - b
    r, s = c + d, c - d
    return p + r, q + s, p - r, q - s


def round_half_away(x: Any) -> Any:
    """The nearest integer; halves go away from zero."""
    return m.where(x < 0.0, -m.floor(m.abs(x) + 0.5), m.floor(m.abs(x) + 0.5))


def discretized(w: Any, w_max: Any, res: Any, jitter: Any) -> Any:
    """``w`` on a grid of ``res`` * ``w_max``."""
    return round_half_away(m.divide(m.divide(w, w_max), res) + jitter) * res * w_max


def tanh(x: Any) -> Any:
    """tanh by one exponential; |x| is capped where float32 gives 1."""
    e = m.exp(m.minimum(m.abs(x), 10.0) * -2.0)
    y = m.divide(1.0 - e, 1.0 + e)
    return m.where(x < 0.0, -y, y)


def dorefa(w: Any, w_max: Any, clip: Any, res: Any, jitter: Any) -> Any:
    """Zhou et al., "DoReFa-Net", arXiv 1606.06160: tanh squeezes, then the result is rounded to ``res``."""
    squeezed = tanh(w) * m.divide(clip, tanh(w_max))
    return round_half_away(m.divide(squeezed, res) + jitter) * res


def polynomial(x: Any, c0: Any, c1: Any, c2: Any, c3: Any, c4: Any, c5: Any) -> Any:
    """c0 + c1 x + ... + c5 x^5."""
    return ((((c5 * x + c4) * x + c3) * x + c2) * x + c1) * x + c0


def reflected(w: Any, moved: Any) -> Any:
    """``moved`` with the sign of ``w``: a device cannot change the sign of its weight."""
    return m.where(w < 0.0, -m.abs(moved), m.abs(moved))


def pcm_target(w: Any, w_max: Any, g_max: Any, threshold: Any) -> Any:
    """The signed target conductance in µS; what is below ``threshold`` is not programmed."""
    g = m.divide(m.minimum(m.maximum(w, -w_max), w_max) * g_max, w_max)
    return m.where(m.abs(g) > threshold, g, 0.0)


def pcm_failed(
    g: Any,
    g_max: Any,
    chance_reset: Any,
    chance_gmax: Any,
    chance_random: Any,
    p_reset: Any,
    p_gmax: Any,
    p_random: Any,
    side: Any,
    level: Any,
) -> Any:
    """Targets of devices that fail: stuck at reset, one of the pair at g_max, or anywhere.

    Each kind of failure has a uniform number (``chance_...``) and a probability (``p_...``).
    """
    g = m.where(chance_reset < p_reset, 0.0, g)
    g = m.where(chance_gmax < p_gmax, m.where(side > 0.5, g - g_max, g + g_max), g)
    g = m.where(chance_random < p_random, m.where(g > 0.0, level * g_max, -level * g_max), g)
    return m.minimum(m.maximum(g, -g_max), g_max)


def pcm_noisy(
    g: Any, g_max: Any, scale: Any, log_age: Any, spread: Any, xi_prog: Any, xi_drift: Any, xi_read: Any
) -> Any:
    """Programming noise, spread of the drift and 1/f noise of signed conductance ``g`` in µS.

    The mean of the drift exponent is left out: it can be compensated.
    ``log_age`` = ln(t / t_0) (0: no drift), ``spread`` = sqrt(ln((t + t_read) / (2 t_read))).
    """
    programmed = g + scale * programming_std_us(m.divide(m.abs(g), g_max)) * xi_prog
    log_y = natural_log(m.maximum(m.divide(m.abs(programmed), g_max), 1e-6))
    nu = m.abs(xi_drift * exponent_std(log_y))
    drifted = programmed * m.exp(-nu * log_age)
    noisy = drifted + scale * m.abs(drifted) * read_noise(log_y) * spread * xi_read
    return m.where(m.abs(g) > 0.0, noisy, 0.0)
