"""Random numbers for a block of vectors and lines, compiled: four lines to a Philox call.

All calls of a block stand in one flat list, so that the loop over them vectorises for any shape.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np

from ..rng.cpu import normal_pair, philox4x32, unit_interval

compiled = numba.njit(error_model="numpy")


@compiled
def block_addresses(stream, number, tick, vectors, first, rows, quarter, quarters):
    """Counter words 1, 2 and 3 of a block: rows first .. of ``vectors``, line groups from ``quarter`` on."""
    count = rows * quarters
    c1 = np.empty(count, np.uint32)
    c2 = np.empty(count, np.uint32)
    c3 = np.empty(count, np.uint32)
    for r in range(rows):
        at = tick + vectors[first + r]
        low = np.uint32(at & 0xFFFFFFFF)
        high = np.uint32((stream << 24) | (number << 16) | (at >> 32))
        for q in range(quarters):
            c1[r * quarters + q] = np.uint32(quarter + q)
            c2[r * quarters + q] = low
            c3[r * quarters + q] = high
    return c1, c2, c3


@compiled
def block_normals(k0, k1, purpose, addresses):
    """Normals, four for each address: line 4 q + k of row r is entry (r quarters + q) 4 + k."""
    c1, c2, c3 = addresses
    count = len(c1)
    z0 = np.empty(count, np.float32)
    z1 = np.empty(count, np.float32)
    z2 = np.empty(count, np.float32)
    z3 = np.empty(count, np.float32)
    for i in range(count):
        a, b, c, d = philox4x32(k0, k1, np.uint32(purpose), c1[i], c2[i], c3[i])
        z0[i], z1[i] = normal_pair(a, b)
        z2[i], z3[i] = normal_pair(c, d)
    return _interleaved(z0, z1, z2, z3)


@compiled
def block_uniforms(k0, k1, purpose, addresses):
    """As ``block_normals``, uniform in [0, 1)."""
    c1, c2, c3 = addresses
    count = len(c1)
    z0 = np.empty(count, np.float32)
    z1 = np.empty(count, np.float32)
    z2 = np.empty(count, np.float32)
    z3 = np.empty(count, np.float32)
    for i in range(count):
        a, b, c, d = philox4x32(k0, k1, np.uint32(purpose), c1[i], c2[i], c3[i])
        z0[i] = unit_interval(a)
        z1[i] = unit_interval(b)
        z2[i] = unit_interval(c)
        z3[i] = unit_interval(d)
    return _interleaved(z0, z1, z2, z3)


@compiled
def _interleaved(z0, z1, z2, z3):
    out = np.empty(4 * len(z0), np.float32)
    for i in range(len(z0)):
        out[4 * i] = z0[i]
        out[4 * i + 1] = z1[i]
        out[4 * i + 2] = z2[i]
        out[4 * i + 3] = z3[i]
    return out
