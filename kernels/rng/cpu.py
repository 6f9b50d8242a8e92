"""Philox4x32-10 and its numbers for numba: scalars, made to be inlined and vectorised in loops."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from ..machine.bind import Formula, constants, helpers, rebind, with_float32_literals
from . import formulas, numba_math

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@functools.cache
def compiled(formula: Formula, m: Any = numba_math) -> Formula:
    """``formula``, and those that it calls, by numba for float32 scalars; ``m`` is the mathematics."""
    uses: dict[str, object] = {name: compiled(helper, m) for name, helper in helpers(formula).items()}
    uses.update({name: np.float32(value) for name, value in constants(formula).items()})
    bound = with_float32_literals(rebind(formula, m, uses))
    return numba.njit(error_model="numpy", forceinline=True)(bound)


@numba.njit(error_model="numpy", forceinline=True)
def philox4x32(k0, k1, c0, c1, c2, c3):
    """Four random words of the counter (c0, c1, c2, c3) under the key (k0, k1); all uint32.

    The words stay in 64 bits between rounds: that is what vectorises best.
    """
    k0, k1 = np.uint64(k0), np.uint64(k1)
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    for _ in range(10):
        p0 = c0 * _M0
        p1 = c2 * _M1
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


unit_interval = compiled(formulas.unit_interval)
natural_log = compiled(formulas.natural_log)
normal_pair = compiled(formulas.normal_pair)
