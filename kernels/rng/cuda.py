"""Philox4x32-10 and its numbers for Triton: blocks of columns."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from triton.language.random import philox_impl

from ..bind import Formula, rebind
from . import formulas, triton_math


def compiled(formula: Formula, **uses: object) -> Any:
    """``formula`` as a Triton function; the compiler looks up its annotations too: let them be a tensor's."""
    return triton.jit(rebind(formula, triton_math, {"tl": tl, "Any": tl.tensor, **uses}))


@triton.jit
def philox4x32(k0, k1, c0, c1, c2, c3):
    """Four random words of the counters (c0, c1, c2, c3) under the key (k0, k1); all uint32 blocks."""
    return philox_impl(c0, c1, c2, c3, k0, k1, 10)


unit_interval = compiled(formulas.unit_interval)
natural_log = compiled(formulas.natural_log)
normal_pair = compiled(formulas.normal_pair, natural_log=natural_log)
