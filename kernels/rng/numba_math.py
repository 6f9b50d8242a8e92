"""The mathematics that formulas may use, for numba scalars."""

from __future__ import annotations

import math
import sys

import numba
import numpy as np

from ..machine.bind import Formula, rebind, with_float32_literals
from . import formulas

inline = numba.njit(error_model="numpy", forceinline=True)

f32 = np.float32
i32 = np.int32
u32 = np.uint32
static_range = range


@inline
def float_bits(x):
    return np.float32(x).view(np.int32)


@inline
def bits_float(bits):
    return np.int32(bits).view(np.float32)


@inline
def flip_sign(x, word):
    return np.uint32(np.float32(x).view(np.uint32) ^ np.uint32(word & np.uint32(0x80000000))).view(np.float32)


@inline
def where(condition, a, b):
    return a if condition else b


@inline
def maximum(a, b):
    return a if a > b else b


@inline
def minimum(a, b):
    return a if a < b else b


@inline
def sqrt(x):
    return np.float32(math.sqrt(x))


@inline
def log(x):
    return np.float32(math.log(x))


@inline
def abs(x):
    return x if x >= 0 else -x


@inline
def rint(x):
    return np.float32(np.rint(x))


@inline
def ceil(x):
    return np.float32(math.ceil(x))


@inline
def floor(x):
    return np.float32(math.floor(x))


@inline
def divide(a, b):
    return a / b


def _own(formula: Formula) -> Formula:
    return inline(with_float32_literals(rebind(formula, sys.modules[__name__])))


exp = _own(formulas.exponential)
_log = _own(formulas.natural_log)


@inline
def power(base, exponent):
    """base^exponent for base >= 0; 0 for base <= 0."""
    positive = base > np.float32(0.0)
    value = exp(exponent * _log(base if positive else np.float32(1.0)))
    return value if positive else np.float32(0.0)
