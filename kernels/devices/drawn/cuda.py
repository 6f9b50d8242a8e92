"""Populations on a CUDA card, drawn where they are needed."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
import linecache
from typing import Any

import triton
import triton.language as tl

from ...machine.programs import programs
from ...rng.cuda import jitted, normal_pair, philox4x32, unit_interval
from ..base import PulsedDevice
from .traced import Traced, formula_text


def formula_of(device: PulsedDevice, changes: bool = False) -> Any:
    """What draws ``device`` inside a kernel, see ``formula_text``; None where only numpy can."""
    traced = formula_text(device, changes)
    return None if traced is None else _formula(traced)


@functools.cache
def _formula(traced: Traced) -> Any:
    """The Triton function of a text; Triton reads it where Python keeps the lines of files."""
    text = traced.text
    file = f"<drawn {len(linecache.cache)}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    scope: dict[str, Any] = {
        "tl": tl, "normal_pair": normal_pair, "philox4x32": philox4x32, "unit_interval": unit_interval,
        "__name__": __name__, **{name: jitted(formula) for name, formula in traced.formulas},
    }  # fmt: skip
    exec(compile(text, file, "exec"), scope)
    return triton.jit(scope["drawn"])


@triton.jit
def drawn_row(keys_T2, t, row, column, columns, formula: tl.constexpr, KIND: tl.constexpr):
    """The parameters of some devices of one row of tile ``t``."""
    k0 = tl.load(keys_T2 + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys_T2 + 2 * t + 1).to(tl.uint32, bitcast=True)
    zero = tl.zeros_like(column).to(tl.uint32)
    return formula(zero + k0, zero + k1, zero + tl.cast(row, tl.uint32), column, columns, KIND)


@triton.jit
def population_kernel(
    p_TOIP, keys_T2, rows, columns, formula: tl.constexpr, KIND: tl.constexpr, PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (t rows + row, k) writes the parameters of block k of a row."""
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    t, row = tl.program_id(0) // rows, tl.program_id(0) % rows
    p_PI = drawn_row(keys_T2, t, row, column, columns, formula, KIND)
    at = p_TOIP + (tl.program_id(0).to(tl.int64) * columns + column) * PARAMETERS
    for k in tl.static_range(PARAMETERS):
        tl.store(at + k, p_PI[k], column < columns)


def population(kind: Any, formula: Any, keys_T2: Any, p_TOIP: Any) -> None:
    """Write what ``formula`` draws, a tuple ``kind``, to the tensor ``p_TOIP``.

    ``keys_T2``: int32, on the card.
    """
    tiles, rows, columns, parameters = p_TOIP.shape
    block = min(triton.next_power_of_2(columns), 256)
    grid = programs("rows of a population", tiles * rows, triton.cdiv(columns, block))
    population_kernel[grid](
        p_TOIP, keys_T2, rows, columns, formula=formula, KIND=kind,
        PARAMETERS=parameters, BLOCK=block, enable_fp_fusion=False,
    )  # fmt: skip
