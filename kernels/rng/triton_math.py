"""The mathematics that formulas may use, for Triton blocks."""

from __future__ import annotations

import sys

import triton
import triton.language as tl

from ..machine.bind import rebind
from . import formulas

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
def log(x):
    return tl.log(x)


@triton.jit
def abs(x):
    return tl.abs(x)


@triton.jit
def rint(x):
    """Half to even: 1.5 * 2^23 has no room for fractions; what is larger has none itself."""
    rounded = (tl.abs(x) + 8388608.0) - 8388608.0
    rounded = tl.where(x < 0, -rounded, rounded)
    return tl.where(tl.abs(x) < 8388608.0, rounded, x)


@triton.jit
def floor(x):
    """By ``rint``: a card's own takes denormals for zeros."""
    nearest = rint(x)
    return nearest - (nearest > x).to(tl.float32)


@triton.jit
def ceil(x):
    """By ``rint``, as ``floor``."""
    nearest = rint(x)
    return nearest + (nearest < x).to(tl.float32)


def _own(formula):
    """A formula of this project in place of a function that is another on every card."""
    return triton.jit(rebind(formula, sys.modules[__name__], {"tl": tl, "Any": tl.tensor}))


exp = _own(formulas.exponential)
_log = _own(formulas.natural_log)


@triton.jit
def power(base, exponent):
    """base^exponent for base >= 0; 0 for base <= 0."""
    positive = base > 0.0
    value = exp(exponent * _log(tl.where(positive, base, 1.0)))
    return tl.where(positive, value, 0.0)
