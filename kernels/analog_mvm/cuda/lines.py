"""Random numbers for a block of vectors and lines, for Triton: addresses as in ``random_lines``."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, check-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from ...rng.cuda import counter_low, counter_top, normal_pair, philox4x32, unit_interval


@triton.jit
def block_words(
    k0, k1, purpose: tl.constexpr, call, tick_R, number, STREAM: tl.constexpr, ROWS: tl.constexpr,
    CALLS: tl.constexpr,
):  # fmt: skip
    """The words of calls ``call`` .. [ROWS, 4 CALLS] of the vectors at ``tick_R``; keys [1] or [ROWS, 1]."""
    zero = tl.zeros((ROWS, CALLS), tl.uint32)
    line = zero + (call + tl.arange(0, CALLS)).to(tl.uint32)[None, :]
    low = zero + counter_low(tick_R)[:, None]
    top = zero + counter_top(STREAM, number, tick_R)[:, None]
    a, b, c, d = philox4x32(k0, k1, tl.full((ROWS, CALLS), purpose, tl.uint32), line, low, top)
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@triton.jit
def block_uniforms(
    k0, k1, purpose: tl.constexpr, line, tick_R, number, STREAM: tl.constexpr, ROWS: tl.constexpr,
    LINES: tl.constexpr,
):  # fmt: skip
    """Uniform numbers [ROWS, LINES] in [0, 1) from line ``line``, a multiple of 4."""
    return unit_interval(block_words(k0, k1, purpose, line // 4, tick_R, number, STREAM, ROWS, LINES // 4))


@triton.jit
def block_normals(
    k0, k1, purpose: tl.constexpr, line, tick_R, number, STREAM: tl.constexpr, ROWS: tl.constexpr,
    LINES: tl.constexpr,
):  # fmt: skip
    """Normals [ROWS, LINES] from line ``line``, a multiple of 8."""
    words = block_words(k0, k1, purpose, line // 8, tick_R, number, STREAM, ROWS, LINES // 8)
    of_even, of_odd = normal_pair(words)
    return tl.interleave(of_even, of_odd)
