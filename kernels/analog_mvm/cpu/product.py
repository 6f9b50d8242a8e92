"""Matrix products of a fixed summation order for numba, cut into register blocks (see ``simd``)."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.jit import data_of
from ...machine.lanes import LANES, WIDE_LANES, axpy_block, dot_block, turned_block

SHORT_SUM, MANY_VECTORS = 4 * WIDE_LANES, 32  # up to which, and from which on, w is worth being turned
TURNED_VECTORS = 3 if WIDE_LANES > LANES else 1  # eight registers each
TOGETHER = 6 if WIDE_LANES > LANES else 3  # vectors: with fewer, sums wait for the one before them
SUM_BLOCK = 64  # rows of w that a pass of the transposed product reads, so that they stay in the cache


class View(NamedTuple):
    """A matrix inside flat float32 memory: its first element and the distance of its rows."""

    data: Any
    first: int
    step: int


def _dot_lines(lines, most, magnitude):
    """The product for ``lines`` lines of w: ``most`` or three vectors at a time, or two, as one waits."""
    many, three, two, one = (dot_block(lines, vectors, magnitude) for vectors in (most, 3, 2, 1))

    @numba.njit(error_model="numpy")
    def lines_of_all(w, w_at, w_step, u, u_first, u_step, y, y_at, y_step, rows, length):
        rest = rows % 3
        pairs = 1 if rest == 2 else 2 if rest == 1 and rows > 1 else 0
        v = 0
        if most > 3:
            while v + most <= rows - 2 * pairs:
                many(w, w_at, w_step, u, u_first + v * u_step, u_step, length, y, y_at + v * y_step, y_step)
                v += most
        while v + 3 <= rows - 2 * pairs:
            three(w, w_at, w_step, u, u_first + v * u_step, u_step, length, y, y_at + v * y_step, y_step)
            v += 3
        while v + 2 <= rows:
            two(w, w_at, w_step, u, u_first + v * u_step, u_step, length, y, y_at + v * y_step, y_step)
            v += 2
        if v < rows:
            one(w, w_at, w_step, u, u_first + v * u_step, u_step, length, y, y_at + v * y_step, y_step)

    return lines_of_all


_turned = turned_block(TURNED_VECTORS)


@numba.njit(error_model="numpy")
def _turned_product(w, u, y, lines, rows, length, magnitude):
    """The product with w turned first: columns of WIDE_LANES lines; what the last ones lack is not stored."""
    turned = np.zeros(length * WIDE_LANES, np.float32)
    turned_data, u_data, y_data = data_of(turned), data_of(u.data), data_of(y.data)
    for line in range(0, lines, WIDE_LANES):
        left = min(WIDE_LANES, lines - line)
        for i in range(length):
            for lane in range(left):
                weight = w.data[np.uint64(w.first + (line + lane) * w.step + i)]
                turned[np.uint64(i * WIDE_LANES + lane)] = abs(weight) if magnitude else weight
        y_at, v = y.first + line, 0
        while v < rows:
            first = min(v, rows - TURNED_VECTORS)  # the last ones, some of them again
            u_at = u.first + first * u.step
            _turned(
                turned_data, 0, WIDE_LANES, u_data, u_at, u.step, length, y_data, y_at + first * y.step,
                y.step, left,
            )  # fmt: skip
            v += TURNED_VECTORS


def _dot_product(magnitude):
    """y[v, l] = sum over i of w[l, i] u[v, i]; with ``magnitude`` of |w[l, i]|."""
    four_lines = _dot_lines(4, 3 if magnitude else TOGETHER, magnitude)
    one_line = _dot_lines(1, 3, magnitude)

    @numba.njit(error_model="numpy")
    def product(w, u, y, lines, rows, length):
        if rows >= MANY_VECTORS and length <= SHORT_SUM:
            _turned_product(w, u, y, lines, rows, length, magnitude)
            return
        w_data, u_data, y_data = data_of(w.data), data_of(u.data), data_of(y.data)
        fours = lines - lines % 4
        for line in range(0, fours, 4):
            w_at, y_at = w.first + line * w.step, y.first + line
            four_lines(w_data, w_at, w.step, u_data, u.first, u.step, y_data, y_at, y.step, rows, length)
        for line in range(fours, lines):
            w_at, y_at = w.first + line * w.step, y.first + line
            one_line(w_data, w_at, w.step, u_data, u.first, u.step, y_data, y_at, y.step, rows, length)

    return product


def _columns(vectors, wide, magnitude):
    """All columns of the transposed product for ``vectors`` vectors, ``wide`` registers at a time."""
    block = axpy_block(vectors, wide, False, magnitude)
    single = axpy_block(vectors, 1, False, magnitude)
    masked = axpy_block(vectors, 1, True, magnitude)

    @numba.njit(error_model="numpy")
    def columns(w, w_at, w_step, d, d_at, d_step, z, z_at, z_step, lines, length):
        c = 0
        while c + wide * WIDE_LANES <= lines:
            block(w, w_at + c, w_step, d, d_at, d_step, length, z, z_at + c, z_step, 0)
            c += wide * WIDE_LANES
        while c + WIDE_LANES <= lines:
            single(w, w_at + c, w_step, d, d_at, d_step, length, z, z_at + c, z_step, 0)
            c += WIDE_LANES
        if c < lines:
            masked(w, w_at + c, w_step, d, d_at, d_step, length, z, z_at + c, z_step, lines - c)

    return columns


def _transposed_product(magnitude):
    """z[v, c] = sum over o of w[o, c] d[v, o]; with ``magnitude`` of |w[o, c]|."""
    four_vectors = _columns(4, 4 if WIDE_LANES > LANES else 3, magnitude)  # AVX-512 has twice the registers
    one_vector = _columns(1, 8, magnitude)

    @numba.njit(error_model="numpy")
    def product(w, d, z, lines, rows, length):
        w_data, d_data, z_data = data_of(w.data), data_of(d.data), data_of(z.data)
        for v in range(rows):
            for c in range(lines):
                z_data[z.first + v * z.step + c] = 0
        fours = rows - rows % 4
        for o in range(0, length, SUM_BLOCK):
            part = min(SUM_BLOCK, length - o)
            w_at, d_at = w.first + o * w.step, d.first + o
            for v in range(0, fours, 4):
                d_of_v, z_of_v = d_at + v * d.step, z.first + v * z.step
                four_vectors(
                    w_data, w_at, w.step, d_data, d_of_v, d.step, z_data, z_of_v, z.step, lines, part
                )
            for v in range(fours, rows):
                d_of_v, z_of_v = d_at + v * d.step, z.first + v * z.step
                one_vector(w_data, w_at, w.step, d_data, d_of_v, d.step, z_data, z_of_v, z.step, lines, part)

    return product


product = _dot_product(False)
magnitude_product = _dot_product(True)
transposed_product = _transposed_product(False)
transposed_magnitude_product = _transposed_product(True)
