"""numpy's float32 exponential and logarithm for numba scalars, bit for bit, and the rest of ``numba_math``.

A noise model's formulas are evaluated by numpy, on any arrays that its user likes. Where a compiled kernel
takes their place it must give the same bits. numpy approximates both functions by quotients of polynomials
on x86 processors with fused multiply-adds (rational minimax fits, since numpy 1.17); on others it asks the C
library: ``agrees`` tells.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from ..machine.jit import kernel
from .numba_math import (
    abs,
    bits_float,
    ceil,
    divide,
    f32,
    flip_sign,
    float_bits,
    floor,
    i32,
    maximum,
    minimum,
    rint,
    sqrt,
    static_range,
    u32,
    where,
)  # fmt: skip

__all__ = [
    "abs", "agrees", "bits_float", "ceil", "divide", "exp", "f32", "flip_sign", "float_bits", "floor", "i32",
    "log", "maximum", "minimum", "rint", "sqrt", "static_range", "u32", "where",
]  # fmt: skip

inline = numba.njit(error_model="numpy", forceinline=True)

ROUNDS = f32(12582912.0)  # 1.5 * 2^23: a sum with it has no room for fractions
LOG2_E, LN_2 = f32(1.4426950408889634), f32(0.6931471805599453)
LN_2_HIGH, LN_2_LOW = f32(-6.93145752e-1), f32(-1.42860677e-6)  # minus ln 2 in two parts
SQRT_HALF = f32(0.7071067811865476)
EXP_LOWEST, EXP_HIGHEST = f32(-104.0), f32(89.0)  # 0 below, infinite above
# quotients of polynomials, highest power first
EXP_P5, EXP_P4, EXP_P3 = f32(5.082762527590693e-4), f32(6.757896990527504e-3), f32(5.114512081637298e-2)
EXP_P2, EXP_P1, EXP_P0 = f32(2.473615434895521e-1), f32(7.257664613233124e-1), f32(0.9999999999980871)
EXP_Q2, EXP_Q1, EXP_Q0 = f32(2.159509375685830e-2), f32(-2.7423353903904117e-1), f32(1.0)
LOG_P5, LOG_P4, LOG_P3 = f32(2.5899791179079227e-2), f32(3.8088377413884075e-1), f32(1.4800006335765066)
LOG_P2, LOG_P1, LOG_P0 = f32(2.112677543073053), f32(0.9999999999999987), f32(0.0)
LOG_Q5, LOG_Q4, LOG_Q3 = f32(5.875095403124574e-3), f32(1.5464763749839067e-1), f32(9.864942958519419e-1)
LOG_Q2, LOG_Q1, LOG_Q0 = f32(2.4530060717847364), f32(2.6126775430731093), f32(1.0)


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@inline
def power_of_two(n):
    return bits_float((n + i32(127)) << i32(23))


@inline
def exp(x):
    x = minimum(maximum(x, EXP_LOWEST), EXP_HIGHEST)
    n = (x * LOG2_E + ROUNDS) - ROUNDS
    r = fma(n, LN_2_LOW, fma(n, LN_2_HIGH, x))
    p = fma(fma(fma(fma(fma(r, EXP_P5, EXP_P4), r, EXP_P3), r, EXP_P2), r, EXP_P1), r, EXP_P0)
    q = fma(fma(r, EXP_Q2, EXP_Q1), r, EXP_Q0)
    half = i32(n) >> i32(1)  # in two steps: the first is exact, so that results below 2^-126 are rounded once
    return p / q * power_of_two(half) * power_of_two(i32(n) - half)


@inline
def log(x):
    """ln(x) for normal x > 0."""
    bits = float_bits(x)
    fraction = bits_float((bits & i32(0x7FFFFF)) | i32(0x3F000000))  # in [1/2, 1)
    small = fraction <= SQRT_HALF
    exponent = i32(bits >> i32(23)) - i32(127 if small else 126)
    r = (fraction + fraction if small else fraction) - f32(1.0)
    p = fma(fma(fma(fma(fma(r, LOG_P5, LOG_P4), r, LOG_P3), r, LOG_P2), r, LOG_P1), r, LOG_P0)
    q = fma(fma(fma(fma(fma(r, LOG_Q5, LOG_Q4), r, LOG_Q3), r, LOG_Q2), r, LOG_Q1), r, LOG_Q0)
    return fma(f32(exponent), LN_2, p / q)


@kernel
def evaluate(x_N, exp_N, log_N):
    """exp(x) and ln(|x|)."""
    for n in range(len(x_N)):
        exp_N[n], log_N[n] = exp(x_N[n]), log(abs(x_N[n]))


@functools.cache
def agrees() -> bool:
    """Whether numpy has these bits on this machine, as tried on numbers of every size."""
    x_N = np.arange(0x00800000, 0x7F800000, 100_003, dtype=np.int32).view(np.float32)
    x_N[::2] *= -1
    found = np.empty((2, len(x_N)), np.float32)
    evaluate(x_N, *found)
    with np.errstate(over="ignore", under="ignore"):
        return bool(np.array_equal(found, [np.exp(x_N), np.log(np.abs(x_N))]))
