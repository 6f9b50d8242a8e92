"""The read of stacked tiles on a CUDA card: tensors in and out stay there.

The addresses of all draws are those of ``naive`` and ``cpu``; a product's terms are added in another order,
so results may differ from theirs in the last bits, and by a converter's step where a value is at a threshold.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from numpy.typing import NDArray

from ...card import card
from ...machine.cuda.clock import Clock
from ...machine.cuda.findings import Findings
from ...machine.programs import programs
from .. import naive
from ..rows import Attempt, Rows
from ..settings import NO_WEIGHT_NOISE, Settings
from ..spread import Spread
from .kernel import read_kernel
from .stages import Inputs, Outputs, Results, Shape, Shared, Spreads, Stages

LOOKED_AT = 1024  # inputs that a program looks at, at a time
TERMS, TERMS_OF_MANY = 32, 16  # of the products that a program adds at a time; of the largest blocks fewer
MOST_ROWS, MOST_LINES = 32, 64  # of a program: more would not fit the registers
MOST_LINES_OF_SUMS = 32  # where several products are formed at once, attempts repeated, or inputs left out
ROWS_OF_ATTEMPTS = 16  # where attempts are repeated

Tensor = torch.Tensor


class RowsThere(NamedTuple):
    """``Rows`` on the card, and the most rows of one tile."""

    first: Tensor
    vector: Tensor
    input_first: Tensor
    source: Tensor
    tile: Tensor
    input_vector: Tensor
    most: int


@dataclass(slots=True)
class Prepared:
    """Settings, the numbers among them, and what every read of a periphery needs on the card."""

    settings: Settings
    numbers: Any
    kept: dict[int, tuple[Any, Tensor]] = field(default_factory=dict)
    rows: tuple[Rows, RowsThere] | None = None
    clock: Clock = field(default_factory=Clock)
    findings: Findings = field(default_factory=Findings)  # of reads that are asked at once

    def keep(self, array: NDArray[Any], dtype: Any = np.float32) -> Tensor:
        """``array``, which lives and stays the same as long as its periphery, on the card."""
        found = self.kept.get(id(array))
        if found is None:
            found = self.kept[id(array)] = array, ready(array, dtype)
        return found[1]

    def placed(self, rows: Rows, keep: bool) -> RowsThere:
        """``rows`` on the card, by one copy; ``keep`` them for the next read."""
        if self.rows is not None and self.rows[0] is rows:
            return self.rows[1]
        parts = rows[:6]
        packed = ready(np.concatenate(parts), np.int64)
        pieces = torch.split(packed, [len(part) for part in parts])
        first, vector, input_first, source, tile, input_vector = pieces
        most = int(np.diff(rows.first_T1).max(initial=0))
        there = RowsThere(first, vector, input_first, source, tile, input_vector, most)
        if keep:
            self.rows = rows, there
        return there


_where = functools.cache(card)


def ready(values: Any, dtype: Any = np.float32) -> Tensor:
    """``values`` on the card, contiguous; uint32 as the int32 of the same bits."""
    if isinstance(values, Tensor):
        return values.detach().to(_where(), torch.float32).contiguous()
    array = np.require(values, dtype, ["C", "W"])
    return torch.from_numpy(array.view(np.int32) if dtype == np.uint32 else array).to(_where())


def prepare(settings: Settings) -> Prepared:
    """Settings as the other functions take them."""
    return Prepared(settings, settings.numbers)


def passed(named: Any) -> Any:
    """See ``naive.passed``."""
    return named


def threads(vectors: int, lines: int, length: int) -> int:
    """See ``naive.threads``: a card has its own."""
    return 1


def watched(vectors: int, lines: int, length: int) -> AbstractContextManager[int]:
    """See ``naive.watched``."""
    return nullcontext(1)


def scales(prepared: Prepared, scaling: int, x_RI: Tensor) -> tuple[Tensor, bool]:
    """See ``naive.scales``: of reads whose digits the host cuts."""
    alpha_R, finite = naive.scales(prepared.settings, scaling, x_RI.cpu().numpy())
    return ready(alpha_R), finite


def at_bound(y_TBL: Tensor, limit_M: Any, first_T: NDArray[np.int64]) -> tuple[int, Tensor]:
    """See ``naive.at_bound``; the mask stays on the card."""
    of_vector = ready(first_T[:, None] + np.arange(y_TBL.shape[1]), np.int64)
    limit_TB1 = ready(limit_M)[of_vector][:, :, None]
    mask_TBL = (y_TBL.abs() >= limit_TB1) & (limit_TB1 > 0)
    return int(mask_TBL.sum()), mask_TBL.view(torch.uint8)


def attempt(
    prepared: Prepared, spread: Spread, keys_T2: NDArray[np.uint32], w_TOI: Any, x_RI: Any,
    scale_M: Any, rows: Rows, factor: float, tick: int, number: int, threads: int = 1,
) -> Attempt:  # fmt: skip
    """One attempt at ``rows``, see ``naive.attempt``; results stay on the card, counts do not."""
    w_TOI, x_RI, scale_M = ready(w_TOI), ready(x_RI), ready(scale_M)
    there = prepared.placed(rows, keep=number == 0)
    if factor != 1.0:
        scale_M = scale_M * factor
    count = len(rows.vector_N)
    y_NL = torch.empty((count, lines_of(prepared, w_TOI)), dtype=torch.float32, device=_where())
    beyond_2N = torch.zeros((2, count), dtype=torch.int32, device=_where())
    if count:
        none = beyond_2N
        out = Results(y_NL, none, beyond_2N[0], beyond_2N[1], none, none)
        shared = Shared(prepared.clock.at(tick, 0), prepared.findings.word, 1)
        stages = stages_of(prepared.settings)._replace(scaled=True, per_row=True)
        launch(
            prepared, spread, prepared.keep(keys_T2, np.uint32), w_TOI,
            Inputs(x_RI, there.source, scale_M, x_RI), there, out, shared, stages, number=number,
        )  # fmt: skip
    total = int(beyond_2N.sum())
    if total == 0:
        return y_NL, np.zeros(count, bool), np.zeros(count, np.int64), 0, None, scale_M, True
    above_N, below_N = beyond_2N.cpu().numpy().astype(np.int64)
    hits_N = (above_N > 0) | (prepared.settings.bm_test_negative_bound & (below_N > 0))
    return y_NL, hits_N, above_N + below_N, total, None, scale_M, True


def lines_of(prepared: Prepared, w_TOI: Tensor) -> int:
    """Outputs of a read of tiles."""
    return int(w_TOI.shape[2 if prepared.settings.transposed else 1])


def launch(
    prepared: Prepared, spread: Spread, keys: Tensor, w_TOI: Tensor, inputs: Inputs, rows: RowsThere,
    out: Results, shared: Shared, stages: Stages, number: int = 0, limit: float = 0.0, advance: int = 0,
) -> None:  # fmt: skip
    """The read of ``rows`` from attempt ``number`` on; the clock moves on by ``advance``."""
    settings = prepared.settings
    tiles, in_size = len(w_TOI), w_TOI.shape[2]
    lines, length = lines_of(prepared, w_TOI), inputs.x.shape[-1]
    several = settings.ir_drop > 0 or settings.weight_noise_type != NO_WEIGHT_NOISE
    again = stages.attempts > 1
    most_rows, most_lines = ROWS_OF_ATTEMPTS if again else MOST_ROWS, MOST_LINES
    if several or again or stages.masked:
        most_lines = MOST_LINES_OF_SUMS
    block_rows = min(max(triton.next_power_of_2(rows.most), 16), most_rows)
    block_lines = min(max(triton.next_power_of_2(lines), 16), most_lines)
    row_blocks = triton.cdiv(rows.most, block_rows)
    line_blocks = triton.cdiv(lines, block_lines) if stages.attempts == 1 else 1
    lines_of_w, terms_of_w = (1, in_size) if settings.transposed else (in_size, 1)
    keep, factor = prepared.keep, len(spread.read_factor_TOI) > 0
    stages = stages._replace(
        rows=block_rows, lines=block_lines, factor=factor,
        terms=TERMS_OF_MANY if again or (block_rows, block_lines) == (most_rows, most_lines) else TERMS,
        look=min(max(triton.next_power_of_2(length), 8), LOOKED_AT // block_rows),
    )  # fmt: skip
    grid = programs("outputs of a read", tiles * row_blocks, line_blocks)
    shape = Shape(
        row_blocks, line_blocks, tiles * row_blocks * line_blocks, lines, length, lines_of_w, terms_of_w,
        number, advance, float(settings.unscaled_if_zero), limit,
    )  # fmt: skip
    read_kernel[grid](
        w_TOI, inputs, Outputs(rows.first, rows.input_first, rows.vector), keys, prepared.numbers,
        Spreads(
            keep(spread.read_factor_TOI), keep(spread.out_noise_TL), keep(spread.curvature_TL),
            keep(spread.slope_T), keep(spread.offset_TL),
        ),
        out, shape, shared, STAGES=stages, enable_fp_fusion=False,
    )  # fmt: skip


@functools.cache
def stages_of(settings: Settings) -> Stages:
    """The stages of one attempt at a read, without the sizes of its blocks."""
    return Stages(
        stream=settings.stream,
        passes=settings.passes,
        inp_random=settings.inp_random,
        inp_noisy=bool(settings.inp_noise > 0),
        factor=False,
        wires=bool(settings.ir_drop > 0),
        offset=settings.has_offset,
        weight_noise=settings.weight_noise_type,
        nonlinear=settings.nonlinear,
        out_noisy=bool(settings.out_noise > 0),
        out_spread=settings.has_out_spread,
        out_random=settings.out_random,
        scaling=settings.scaling,
        scaled=False,
        attempts=1,
        worst=False,
        twice=False,
        below_too=settings.bm_test_negative_bound,
        bounded=False,
        masked=False,
        per_row=False,
        rows=0,
        lines=0,
        terms=0,
        look=0,
    )
