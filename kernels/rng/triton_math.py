"""The mathematics that formulas may use, for Triton blocks.

Each name is a function of its own: Triton's interpreter replaces what ``tl`` holds, so a bare alias would
still be the compiler's.
"""

from __future__ import annotations

import triton
import triton.language as tl

static_range = tl.static_range


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
def sqrt(x):
    return tl.sqrt_rn(x)


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
    return tl.cast(x, tl.float32).to(tl.int32, bitcast=True)


@triton.jit
def bits_float(x):
    return tl.cast(x, tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def divide(a, b):
    return tl.div_rn(tl.cast(a, tl.float32), tl.cast(b, tl.float32))


@triton.jit
def rint(x):
    """Round half to even: adding 1.5 * 2^23 leaves no room for the fraction."""
    big = tl.cast(12582912.0, tl.float32)
    return tl.where(tl.abs(x) < 4194304.0, (x + big) - big, x)
