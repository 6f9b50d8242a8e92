"""The mathematics that formulas may use, for numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import abs, ceil, divide, exp, floor, log, maximum, minimum, rint, sqrt, where

f32 = np.float32
i32 = np.int32
u32 = np.uint32
static_range = range

__all__ = [
    "abs", "bits_float", "ceil", "divide", "exp", "f32", "flip_sign", "float_bits", "floor", "i32", "log",
    "maximum", "minimum", "power", "rint", "sqrt", "static_range", "u32", "where",
]  # fmt: skip


def float_bits(x: Any) -> Any:
    """The bits of float32 as int32."""
    return np.asarray(x, np.float32).view(np.int32)


def bits_float(bits: Any) -> Any:
    """int32 bits as float32."""
    return np.asarray(bits, np.int32).view(np.float32)


def flip_sign(x: Any, word: Any) -> Any:
    """``x`` with the other sign where bit 31 of ``word`` is set."""
    sign = np.asarray(word, np.uint32) & u32(0x80000000)
    return (np.asarray(x, np.float32).view(np.uint32) ^ sign).view(np.float32)


def power(base: Any, exponent: Any) -> Any:
    """base^exponent for base >= 0; 0 for base <= 0."""
    return where(base > 0, np.power(maximum(base, f32(0.0)), exponent), f32(0.0))
