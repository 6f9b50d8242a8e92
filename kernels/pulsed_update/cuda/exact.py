"""Outer products without pulses, on a CUDA card, one vector after the other: the bits of ``cpu.exact``."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...machine.cuda.findings import note_update
from ...machine.cuda.kept import Kept
from ...machine.programs import programs
from ..arguments import Vectors
from .update import on_card

LOOKED_AT = 1024  # columns that a program has


class Outer(NamedTuple):
    """x [X, batch, I] and d [D, batch, O], which block each tile takes, the rate, and the sizes of a tile."""

    x_XBI: Any
    x_of_T: Any
    d_DBO: Any
    d_of_T: Any
    rate: Any
    batch: Any
    rows: Any
    columns: Any


def outer_products(vectors: Vectors, rate: float, w_TOI: Any, kept: Kept, word: Any, place: int) -> Outer:
    """Those of an update of ``w_TOI``, on its card; what of them is not finite is noted in ``word``."""
    x_XBI, d_DBO = (on_card(each, w_TOI.device) for each in (vectors.x_XBI, vectors.d_DBO))
    note_update(word, x_XBI, d_DBO, place)
    x_of_T, d_of_T = kept.of(vectors.x_of_T), kept.of(vectors.d_of_T)
    return Outer(x_XBI, x_of_T, d_DBO, d_of_T, rate, vectors.batch, *w_TOI.shape[1:])


@triton.jit
def with_products(w_I, low_I, high_I, outer, t, row, column, BOUNDED: tl.constexpr):
    """w - rate d x for every vector in order, clipped after each if ``BOUNDED``: columns of one row."""
    here = column < outer.columns
    x_first, d_first = tl.load(outer.x_of_T + t) * outer.batch, tl.load(outer.d_of_T + t) * outer.batch
    for b in range(0, outer.batch):
        scale = outer.rate * tl.load(outer.d_DBO + (d_first + b) * outer.rows + row)
        x_I = tl.load(outer.x_XBI + (x_first + b) * outer.columns + column, here, 0.0)
        w_I = tl.where(scale != 0.0, w_I - scale * x_I, w_I)
        if BOUNDED:
            w_I = tl.maximum(tl.minimum(w_I, high_I), low_I)
    return w_I


@triton.jit
def collect_kernel(values, outer, findings, BLOCK: tl.constexpr):
    """Columns of block b of row r, counted through all tiles; nothing once anything was found wrong."""
    program = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at, here = values + program.to(tl.int64) * outer.columns + column, column < outer.columns
    if tl.load(findings) == 0:
        v_I = tl.load(at, here, 0.0)
        t, row = program // outer.rows, program % outer.rows
        tl.store(at, with_products(v_I, v_I, v_I, outer, t, row, column, False), here)


def collect(values_TOI: Any, outer: Outer, findings: Any) -> None:
    """values <- values - rate d x for every vector, without bounds."""
    block = min(triton.next_power_of_2(outer.columns), LOOKED_AT)
    grid = programs("outer products", len(values_TOI) * outer.rows, triton.cdiv(outer.columns, block))
    collect_kernel[grid](values_TOI, outer, findings, BLOCK=block, enable_fp_fusion=False)
