"""From random words to numbers: written once for numpy, numba and Triton (see ``kernels.bind``).

Only additions, multiplications, comparisons and square roots of float32 are used, so that the three
backends give the same values; approximations are the single-precision minimax polynomials of the
Cephes library (S. L. Moshier, netlib.org/cephes, ``logf`` and ``sinf``/``cosf``), good to about 1e-7.
"""

from __future__ import annotations

from typing import Any

from . import numpy_math as m


def unit_interval(word: Any) -> Any:
    """A uniform number in [0, 1) on a grid of 2^-24, from one word."""
    return m.f32(m.u32(word >> m.u32(8))) * 5.9604644775390625e-08


def natural_log(u: Any) -> Any:
    """ln(u) for normal float32 u > 0."""
    bits = m.float_bits(u)
    exponent = m.i32((bits - m.i32(0x3F3504F3)) >> m.i32(23))
    f = m.bits_float(m.i32(bits - (exponent << m.i32(23)))) - 1.0
    z = f * f
    p = f * 7.0376836292e-2 - 1.1514610310e-1
    p = p * f + 1.1676998740e-1
    p = p * f - 1.2420140846e-1
    p = p * f + 1.4249322787e-1
    p = p * f - 1.6668057665e-1
    p = p * f + 2.0000714765e-1
    p = p * f - 2.4999993993e-1
    p = p * f + 3.3333331174e-1
    e = m.f32(exponent)
    y = p * f * z + e * -2.12194440e-4 - z * 0.5
    return f + y + e * 0.693359375


def normal_pair(word_0: Any, word_1: Any) -> Any:
    """Two independent standard normals from two words (Box and Muller, 1958), out to 5.7 sigma."""
    u = (m.f32(m.u32(word_0 >> m.u32(9))) + 0.5) * 1.1920928955078125e-07
    radius = m.sqrt(natural_log(u) * -2.0)
    quadrant = m.u32(word_1 >> m.u32(30))
    turn = m.f32(m.u32((word_1 << m.u32(2)) & m.u32(0xFFFFFFFF)) >> m.u32(8)) * 5.9604644775390625e-08
    angle = (turn - 0.5) * 1.5707963267948966
    z = angle * angle
    sine = ((z * -1.9515295891e-4 + 8.3321608736e-3) * z - 1.6666654611e-1) * z * angle + angle
    cosine = ((z * 2.443315711809948e-5 - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z
    cosine = cosine - z * 0.5 + 1.0
    odd = (quadrant & m.u32(1)) == m.u32(1)
    a = m.where(odd, sine, cosine)
    b = m.where(odd, cosine, sine)
    sign_a = m.where((quadrant == m.u32(1)) | (quadrant == m.u32(2)), -1.0, 1.0)
    sign_b = m.where(quadrant >= m.u32(2), -1.0, 1.0)
    return radius * a * m.f32(sign_a), radius * b * m.f32(sign_b)


def exponential(x: Any) -> Any:
    """e^x (Cephes ``expf``), flushed to e^-87 and e^88 outside of that range."""
    x = m.minimum(m.maximum(x, -87.0), 88.0)
    n = (x * 1.44269504088896341 + 12582912.0) - 12582912.0  # rounds: 1.5 * 2^23 has no room for fractions
    x = x - n * 0.693359375 + n * 2.12194440e-4
    p = x * 1.9875691500e-4 + 1.3981999507e-3
    p = p * x + 8.3334519073e-3
    p = p * x + 4.1665795894e-2
    p = p * x + 1.6666665459e-1
    p = p * x + 5.0000001201e-1
    y = p * x * x + x + 1.0
    return y * m.bits_float((m.i32(n) + m.i32(127)) << m.i32(23))
