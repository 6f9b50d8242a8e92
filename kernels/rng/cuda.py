"""Philox4x32-10 and its numbers for Triton."""

from __future__ import annotations

import functools

import triton
import triton.language as tl

from ..machine.bind import Formula, constants, helpers, rebind
from . import formulas, triton_math

_M0 = tl.constexpr(0xD2511F53)
_M1 = tl.constexpr(0xCD9E8D57)
_W0 = tl.constexpr(0x9E3779B9)
_W1 = tl.constexpr(0xBB67AE85)


@functools.cache
def jitted(formula: Formula) -> Formula:
    """``formula``, and those that it calls, for Triton blocks.

    The interpreter wants to see ``tl`` among a function's names, and the compiler to know its annotations.
    """
    uses = {name: jitted(helper) for name, helper in helpers(formula).items()}
    uses.update({name: tl.constexpr(value) for name, value in constants(formula).items()})
    return triton.jit(rebind(formula, triton_math, {"tl": tl, "Any": tl.tensor, **uses}))


@triton.jit
def philox4x32(k0, k1, c0, c1, c2, c3):
    """Four random words of the counter (c0, c1, c2, c3) under the key (k0, k1); all uint32."""
    m0, m1 = tl.cast(_M0, tl.uint32), tl.cast(_M1, tl.uint32)
    w0, w1 = tl.cast(_W0, tl.uint32), tl.cast(_W1, tl.uint32)
    for _ in tl.static_range(10):
        high_0, low_0 = tl.umulhi(c0, m0), c0 * m0
        high_1, low_1 = tl.umulhi(c2, m1), c2 * m1
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = k0 + w0, k1 + w1
    return c0, c1, c2, c3


unit_interval = jitted(formulas.unit_interval)
natural_log = jitted(formulas.natural_log)
normal_pair = jitted(formulas.normal_pair)


@triton.jit
def counter_top(stream: tl.constexpr, extra, tick):
    """Counter word 3 of an address; tick is int64."""
    return tl.cast((tick >> 32) | (tl.cast(extra, tl.int64) << 16) | (stream << 24), tl.uint32)


@triton.jit
def counter_low(tick):
    """Counter word 2 of an address."""
    return tl.cast(tick & 0xFFFFFFFF, tl.uint32)
