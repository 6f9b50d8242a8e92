"""A bank's read on a CUDA card as one launch that nobody waits for: bound management is the kernel's own."""

from __future__ import annotations

import numpy as np
import torch
import triton
from numpy.typing import NDArray

from ...card import card
from ...machine.cuda.findings import Findings, Wrong
from ...machine.cuda.pool import Pool
from ...machine.programs import programs
from ..parameters import BoundManagementType, IOParameters
from ..rows import Rows
from ..settings import SCALE_AVERAGE, Settings, attempt_factors, uses_np_sum
from ..spread import Spread
from .kernel import average_kernel
from .read import LOOKED_AT, Prepared, RowsThere, launch, lines_of, stages_of
from .stages import Inputs, Outputs, Results, Shape, Shared

Tensor = torch.Tensor


class WholeRead:
    """Reads of equal tiles in one direction, on the card; what they count stays there."""

    def __init__(
        self, io: IOParameters, settings: Settings, spread: Spread, keys_T2: NDArray[np.uint32], limit: float,
        findings: Findings | None, place: int,
    ) -> None:  # fmt: skip
        self.prepared, self.spread = Prepared(settings, settings.numbers), spread
        self._keys = self.prepared.keep(keys_T2, np.uint32)
        factors = attempt_factors(io, settings.transposed)
        self._stages = stages_of(settings)._replace(
            scaled=settings.scaling == SCALE_AVERAGE,
            attempts=len(factors),
            worst=len(factors) > 1 and uses_np_sum(io, 1),
            twice=io.bound_management is BoundManagementType.ITERATIVE_WORST_CASE,
        )
        self._limit = limit
        self.findings = Findings() if findings is None else findings
        self._finding = place + (Wrong.GRADIENT if settings.transposed else Wrong.INPUT)
        self.pool = Pool()
        tiles = len(keys_T2)
        self._counted_2T = torch.zeros((2, tiles), dtype=torch.int64, device=card())
        self.average_T = torch.full((tiles,), -1.0, dtype=torch.float32, device=card())

    def read(
        self, w_TOI: Tensor, x_RI: Tensor, rows: Rows, tick: int, batch: int, bounded: bool,
        none_NI: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Results [rows, lines], and which of them stand at the bound, if asked.

        ``none_NI``: uint8, 1 where an input of a row is none.
        """
        there = self.prepared.placed(rows, keep=True)
        shape = len(rows.vector_N), lines_of(self.prepared, w_TOI)
        y_NL = self.pool.empty(shape)
        mask_NL = self.pool.empty(shape, torch.uint8) if bounded else None
        if shape[0] == 0:
            return y_NL, mask_NL
        shared = Shared(self.prepared.clock.at(tick, batch), self.findings.word, self._finding)
        inputs = Inputs(x_RI, there.source, x_RI, x_RI if none_NI is None else none_NI)
        stages = self._stages._replace(bounded=bounded, masked=none_NI is not None)
        if stages.scaled:
            inputs = inputs._replace(scale=self._averages(inputs, there, shared, stages.masked))
        none = self._counted_2T
        out = Results(
            y_NL, none if mask_NL is None else mask_NL, none, none, self._counted_2T[0], self._counted_2T[1]
        )
        launch(
            self.prepared, self.spread, self._keys, w_TOI, inputs, there, out, shared, stages,
            limit=self._limit, advance=batch,
        )  # fmt: skip
        return y_NL, mask_NL

    def found(self) -> bool:
        """Whether an input was not finite; forgotten then: a wait."""
        wrong = bool(self.findings.word[0].item())
        if wrong:
            self.findings.word.zero_()
        return wrong

    def counts(self) -> NDArray[np.int64]:
        """Results beyond the ADC's range and further attempts since the start, [2, tiles]: a wait."""
        counted: NDArray[np.int64] = self._counted_2T.cpu().numpy().copy()
        return counted

    def _averages(self, inputs: Inputs, rows: RowsThere, shared: Shared, masked: bool) -> Tensor:
        """The running average at each vector of each tile, in place of its scale."""
        scale_M = self.pool.empty(tuple(rows.source.shape))
        length = inputs.x.shape[1]
        tiles = len(self.average_T)
        shape = Shape(1, 1, tiles, 0, length, 0, 0, 0, 0, float(self.prepared.settings.unscaled_if_zero), 0.0)
        average_kernel[programs("averages of a read", tiles)](
            inputs, Outputs(rows.first, rows.input_first, rows.vector), scale_M, self.average_T,
            self.prepared.numbers, shape, shared, MASKED=masked,
            LOOK=min(max(triton.next_power_of_2(length), 8), LOOKED_AT), enable_fp_fusion=False,
        )  # fmt: skip
        return scale_M
