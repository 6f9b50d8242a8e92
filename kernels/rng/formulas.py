"""From random words to numbers: written once for numpy, numba and Triton (see ``machine/bind.py``).

Only sums, products, quotients, square roots, comparisons and bits of float32 are used, so that the three
backends give the same values, on all processors: numpy's own exponentials and powers differ between them.
Approximations are the single-precision minimax polynomials of the Cephes library (S. L. Moshier,
netlib.org/cephes, ``logf``, ``expf`` and ``sinf``/``cosf``), good to about 1e-7.
"""

from __future__ import annotations

from typing import Any

from . import numpy_math as m


def unit_interval(word: Any) -> Any:
    """A uniform number in [0, 1) on a grid of 2^-24, from one word."""
    return m.f32(m.u32(word >> m.u32(8))) * 5.9604644775390625e-08


def natural_log(u: Any) -> Any:
    """ln(u) for normal float32 u > 0, to two roundings (of 2^-24)."""
    bits = m.float_bits(u)
    exponent = m.i32(m.i32(bits - m.i32(0x3F3504F3)) >> m.i32(23))
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


def normal_pair(word: Any) -> Any:
    """Two independent standard normals from one word (Box and Muller, 1958), out to 5.3 sigma.

    20 bits are the squared radius, which is exponential; 10 an angle z within an eighth of a turn of zero;
    2 the signs. r cos(z + turn / 8) and r sin(z + turn / 8) are r / sqrt(2) times cos z -/+ sin z. The
    polynomials are minimax fits, good to 1e-6; the grids are far below what 10^7 draws can tell.
    """
    u = (m.f32(m.i32(word >> m.u32(12))) + 0.5) * 9.5367431640625e-07
    bits = m.float_bits(u)
    exponent = m.i32(m.i32(bits - m.i32(0x3F3504F3)) >> m.i32(23))
    f = m.bits_float(m.i32(bits - (exponent << m.i32(23)))) - 1.0
    p = f * 0.11896094679832458 - 0.18667849898338318
    p = p * f + 0.2049633115530014
    p = p * f - 0.24909745156764984
    p = p * f + 0.3331450819969177
    p = p * f - 0.500011146068573
    p = p * f + 1.0000009536743164
    radius = m.sqrt(m.f32(exponent) * -0.6931471805599453 - f * p)
    z = m.f32(m.i32((word >> m.u32(2)) & m.u32(1023))) * 1.5339807878856412e-03 - 0.7846311730035055
    q = z * z
    sine = ((q * 8.150056936e-03 - 1.666238159e-01) * q + 9.999985099e-01) * z
    cosine = ((q * -1.3579403748735785e-03 + 4.165441915392876e-02) * q - 0.4999984204769) * q + 1.0
    return (
        m.flip_sign(radius * (cosine - sine), word << m.u32(30)),
        m.flip_sign(radius * (cosine + sine), word << m.u32(31)),
    )


def exponential(x: Any) -> Any:
    """e^x (Cephes ``expf``) to two roundings, flushed to e^-87 and e^88 outside of that range."""
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


def exponential_less_one(x: Any) -> Any:
    """e^x - 1 for -87 <= x <= 88 to seven roundings, small ones too: (u - 1) x / ln u with u = e^x (Kahan).

    (u - 1) / ln u changes by no more than u, relatively: the error of u stays as small as it is.
    """
    u = exponential(x)
    none = u == 1.0
    return m.where(none, x, (u - 1.0) * m.divide(x, natural_log(m.where(none, 2.0, u))))


def power(base: Any, exponent: Any) -> Any:
    """base^exponent for a normal base > 0, within e^-87 and e^88; 0 for base <= 0.

    To 2 + 3 |ln base^exponent| roundings.
    """
    positive = base > 0.0
    value = exponential(exponent * natural_log(m.where(positive, base, 1.0)))
    return m.where(positive, value, 0.0)
