"""Matrix products of a fixed summation order for numba, cut into register blocks (see ``simd``)."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba

from .simd import LANES, axpy_block, dot_block

SUM_BLOCK = 64  # rows of w that a pass of the transposed product reads, so that they stay in the cache


class View(NamedTuple):
    """A matrix inside flat float32 memory: its first element and the distance of its rows."""

    data: Any
    first: int
    step: int


def _dot_product(magnitude):
    """y[v, l] = sum over i of w[l, i] u[v, i]; with ``magnitude`` of |w[l, i]|."""
    block_4x3, block_4x1 = dot_block(4, 3, magnitude), dot_block(4, 1, magnitude)
    block_1x3, block_1x1 = dot_block(1, 3, magnitude), dot_block(1, 1, magnitude)

    @numba.njit(error_model="numpy")
    def product(w, u, y, lines, rows, length):
        threes = rows - rows % 3
        fours = lines - lines % 4
        for line in range(0, fours, 4):
            w_at, y_at = w.first + line * w.step, y.first + line
            for v in range(0, threes, 3):
                u_at = u.first + v * u.step
                block_4x3(
                    w.data, w_at, w.step, u.data, u_at, u.step, length, y.data, y_at + v * y.step, y.step
                )
            for v in range(threes, rows):
                u_at = u.first + v * u.step
                block_4x1(
                    w.data, w_at, w.step, u.data, u_at, u.step, length, y.data, y_at + v * y.step, y.step
                )
        for line in range(fours, lines):
            w_at, y_at = w.first + line * w.step, y.first + line
            for v in range(0, threes, 3):
                u_at = u.first + v * u.step
                block_1x3(
                    w.data, w_at, w.step, u.data, u_at, u.step, length, y.data, y_at + v * y.step, y.step
                )
            for v in range(threes, rows):
                u_at = u.first + v * u.step
                block_1x1(
                    w.data, w_at, w.step, u.data, u_at, u.step, length, y.data, y_at + v * y.step, y.step
                )

    return product


def _columns(vectors, wide, magnitude):
    """All columns of the transposed product for ``vectors`` vectors, ``wide`` registers at a time."""
    block = axpy_block(vectors, wide, False, magnitude)
    single = axpy_block(vectors, 1, False, magnitude)
    masked = axpy_block(vectors, 1, True, magnitude)

    @numba.njit(error_model="numpy")
    def columns(w, w_at, d, d_at, z, z_at, lines, length):
        c = 0
        while c + wide * LANES <= lines:
            block(w.data, w_at + c, w.step, d.data, d_at, d.step, length, z.data, z_at + c, z.step, 0)
            c += wide * LANES
        while c + LANES <= lines:
            single(w.data, w_at + c, w.step, d.data, d_at, d.step, length, z.data, z_at + c, z.step, 0)
            c += LANES
        if c < lines:
            masked(
                w.data, w_at + c, w.step, d.data, d_at, d.step, length, z.data, z_at + c, z.step, lines - c
            )

    return columns


def _transposed_product(magnitude):
    """z[v, c] = sum over o of w[o, c] d[v, o]; with ``magnitude`` of |w[o, c]|."""
    four_vectors, one_vector = _columns(4, 3, magnitude), _columns(1, 8, magnitude)

    @numba.njit(error_model="numpy")
    def product(w, d, z, lines, rows, length):
        for v in range(rows):
            z.data[z.first + v * z.step : z.first + v * z.step + lines] = 0
        fours = rows - rows % 4
        for o in range(0, length, SUM_BLOCK):
            part = min(SUM_BLOCK, length - o)
            w_at, d_at = w.first + o * w.step, d.first + o
            for v in range(0, fours, 4):
                four_vectors(w, w_at, d, d_at + v * d.step, z, z.first + v * z.step, lines, part)
            for v in range(fours, rows):
                one_vector(w, w_at, d, d_at + v * d.step, z, z.first + v * z.step, lines, part)

    return product


product = _dot_product(False)
magnitude_product = _dot_product(True)
transposed_product = _transposed_product(False)
transposed_magnitude_product = _transposed_product(True)
