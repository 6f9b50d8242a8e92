"""The mathematics that formulas may use, for Triton blocks."""

from __future__ import annotations

import triton
import triton.language as tl

static_range = range if triton.knobs.runtime.interpret else tl.static_range


@triton.jit
def where(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b)


@triton.jit
def minimum(a, b):
    return tl.minimum(a, b)


@triton.jit
def f32(x):
    return tl.cast(x, tl.float32)


@triton.jit
def i32(x):
    return tl.cast(x, tl.int32)


@triton.jit
def u32(x):
    return tl.cast(x, tl.uint32)


@triton.jit
def float_bits(x):
    return x.to(tl.int32, bitcast=True)


@triton.jit
def bits_float(bits):
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def flip_sign(x, word):
    return (x.to(tl.uint32, bitcast=True) ^ (word & 0x80000000)).to(tl.float32, bitcast=True)


@triton.jit
def sqrt(x):
    return tl.sqrt_rn(tl.cast(x, tl.float32))


@triton.jit
def divide(a, b):
    return tl.div_rn(tl.cast(a, tl.float32), tl.cast(b, tl.float32))


@triton.jit
def exp(x):
    return tl.exp(x)


@triton.jit
def log(x):
    return tl.log(x)


@triton.jit
def abs(x):
    return tl.abs(x)


@triton.jit
def floor(x):
    return tl.floor(x)


@triton.jit
def ceil(x):
    return tl.ceil(x)


@triton.jit
def rint(x):
    """Half to even: 1.5 * 2^23 has no room for fractions; what is larger has none itself."""
    rounded = (tl.abs(x) + 8388608.0) - 8388608.0
    rounded = tl.where(x < 0, -rounded, rounded)
    return tl.where(tl.abs(x) < 8388608.0, rounded, x)


@triton.jit
def power(base, exponent):
    """base^exponent for base >= 0; 0 for base <= 0."""
    positive = base > 0.0
    value = tl.exp(exponent * tl.log(tl.where(positive, base, 1.0)))
    return tl.where(positive, value, 0.0)
