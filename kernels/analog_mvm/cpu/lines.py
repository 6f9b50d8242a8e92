"""Random numbers for a block of vectors and lines, compiled.

A Philox call gives four uniforms or eight normals. All calls of a block stand in one flat list, so that the
loop over them vectorises for any shape.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import wide_vectors
from ...rng.cpu import normal_pair, philox4x32, unit_interval

compiled = numba.njit(error_model="numpy")
UNIFORMS, NORMALS = 4, 8  # of a call


class Place(NamedTuple):
    """Where in the run a block is: lines ``line`` .. of vectors number vector_N[first : first + rows]."""

    stream: int
    number: int  # of the attempt
    tick: int
    vector_N: Any
    first: int
    rows: int
    line: int
    lines: int


@compiled
def padded(lines, group):
    """Lines of whole calls: random numbers come for ``group`` lines at a time."""
    return (lines + group - 1) // group * group


@compiled
def addresses(place, group):
    """Counter words 1, 2 and 3 of a block's calls, vector after vector."""
    calls = (place.lines + group - 1) // group
    count = place.rows * calls
    c1 = np.empty(count, np.uint32)
    c2 = np.empty(count, np.uint32)
    c3 = np.empty(count, np.uint32)
    for r in range(place.rows):
        at = place.tick + place.vector_N[place.first + r]
        low = np.uint32(at & 0xFFFFFFFF)
        high = np.uint32((place.stream << 24) | (place.number << 16) | (at >> 32))
        for call in range(calls):
            c1[r * calls + call] = np.uint32(place.line // group + call)
            c2[r * calls + call] = low
            c3[r * calls + call] = high
    return c1, c2, c3


@compiled
def block_normals(k0, k1, purpose, place):
    """Normals of a block's lines: vector r's begin at r padded(lines, NORMALS)."""
    wide_vectors()
    c1, c2, c3 = addresses(place, NORMALS)
    out = np.empty(NORMALS * c1.size, np.float32)
    for i in range(c1.size):
        a, b, c, d = philox4x32(k0, k1, np.uint32(purpose), c1[i], c2[i], c3[i])
        out[8 * i], out[8 * i + 1] = normal_pair(a)
        out[8 * i + 2], out[8 * i + 3] = normal_pair(b)
        out[8 * i + 4], out[8 * i + 5] = normal_pair(c)
        out[8 * i + 6], out[8 * i + 7] = normal_pair(d)
    return out


@compiled
def block_uniforms(k0, k1, purpose, place):
    """Uniform numbers in [0, 1) of a block's lines: vector r's begin at r padded(lines, UNIFORMS)."""
    wide_vectors()
    c1, c2, c3 = addresses(place, UNIFORMS)
    out = np.empty(UNIFORMS * c1.size, np.float32)
    for i in range(c1.size):
        a, b, c, d = philox4x32(k0, k1, np.uint32(purpose), c1[i], c2[i], c3[i])
        out[4 * i] = unit_interval(a)
        out[4 * i + 1] = unit_interval(b)
        out[4 * i + 2] = unit_interval(c)
        out[4 * i + 3] = unit_interval(d)
    return out
