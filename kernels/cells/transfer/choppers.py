"""Transfers with chopped signs: c-TTv2, and AGAD, which also estimates the fast array's offset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays.cell import fetched, write
from ...pulsed_update.arguments import Vectors
from ...rng import Stream
from ..numbers.draws import Purpose
from .config import ChoppedTransferCompound, DynamicTransferCompound
from .rules import Reads, buffered_rate, fast_rate
from .sequential.arguments import Choppers, Flips, Signed

if TYPE_CHECKING:
    from .cell import TransferCell


class Chopped:
    """c-TTv2. What an update needs of its choppers is worked out before its pulses, by ``fast_update``."""

    def __init__(self, cell: TransferCell) -> None:
        own = cell.compound
        assert isinstance(own, ChoppedTransferCompound)
        self.own, self.kernels, self.parameters = own, cell.kernels, cell.parameters
        self.numbers = cell.numbers
        self.keys_T2, tiles = cell.members[0].keys_T2, cell.shape[0]
        self.lines = cell.lines
        self.fast_step, self.slow_step = (member.granularity for member in cell.members)
        self.quantum = self._quantum()
        self.period = max(math.ceil(1.0 / own.in_chop_prob), 2) if own.in_chop_prob > 0.0 else 0  # sweeps
        self.buffer_TLM = cell.zeros_TLM()
        self.line_signs_TL = self.numbers.ones((tiles, cell.lines))
        self.other_signs_TM = self.numbers.ones((tiles, cell.others))
        self.sizes_T2 = self.numbers.zeros((tiles, 2))  # running max|x| and max|d|
        self.sign_TNM = self.numbers.zeros((tiles, 0, cell.others))
        self.fast_rate_TN = self.numbers.zeros((tiles, 0))
        self.flips_TN = self.numbers.zeros((tiles, 0), np.uint8)
        self._turns = self.numbers.Turns()
        self._line_draws, self._other_draws = (
            self.numbers.LineDraws(self.keys_T2, Stream.TRANSFER, purpose)
            for purpose in (Purpose.IN_CHOPPER, Purpose.OUT_CHOPPER)
        )

    def _quantum(self) -> float:
        """What has to be read in all, in units of the fast array, before a step is written."""
        own = self.own
        every = own.transfer_every_vec[0] if own.transfer_every_vec else own.transfer_every
        quantum = own.buffer_granularity * self.fast_step
        if own.auto_granularity > 0.0:
            quantum *= own.auto_granularity / (self.lines * every)
        if own.correct_gradient_magnitudes:
            quantum *= self.slow_step / self.fast_step
        return quantum

    def fast_update(self, vectors: Vectors, learning_rate: float, reads: Reads) -> tuple[Vectors, float]:
        """The gradient with the choppers' signs; with ``auto_scale`` also scaled to use the pulse trains.

        A rate of its own for each tile and vector is put in by scaling x and d with its square root: trains
        depend on the rate and on the two in no other way, except as ``check_update`` refuses.
        """
        own, tiles, batch = self.own, len(self.keys_T2), vectors.batch
        rate = fast_rate(own, learning_rate)
        auto = own.auto_scale and own.fast_lr > 0.0
        rate_TB = self.numbers.filled((tiles, batch), rate)
        if auto:
            self._follow_sizes(vectors, rate_TB)
        if own.correct_gradient_magnitudes:
            self.fast_rate_TN = self.numbers.columns(rate_TB, reads.after_N - 1)
        self.flips_TN = self._line_flips(reads)
        self.sign_TNM = self.numbers.empty((tiles, reads.count, self.other_signs_TM.shape[1]))
        scale_TB = self.numbers.sqrt(rate_TB) if auto else self.numbers.filled((tiles, batch), 1.0)
        x_TBI = self.numbers.empty((tiles, batch, vectors.x_XBI.shape[2]))
        d_TBO = self.numbers.empty((tiles, batch, vectors.d_DBO.shape[2]))
        self.kernels.chop(
            vectors, scale_TB,
            Choppers(self.line_signs_TL, self.other_signs_TM),
            Flips(self._lines(reads), reads.after_N, self.flips_TN, self._other_flips(reads)),
            own.transfer_columns, Signed(x_TBI, d_TBO, self.sign_TNM),
        )  # fmt: skip
        all_tiles = np.arange(tiles)
        return Vectors(x_TBI, all_tiles, d_TBO, all_tiles), 1.0 if auto else rate

    def _lines(self, reads: Reads) -> NDArray[np.int64]:
        """The lines that are read, the same in all tiles, on the host."""
        return (reads.first + np.arange(reads.count)) % self.lines

    def _follow_sizes(self, vectors: Vectors, rate_TB: Any) -> None:
        own = self.own
        x_max_XB, d_max_DB = self.numbers.largest(vectors.x_XBI), self.numbers.largest(vectors.d_DBO)
        follow = np.float32((1.0 - own.auto_momentum) / vectors.batch)
        top = np.float32(own.fast_lr * self.parameters.desired_bl * self.fast_step)
        x_of_T, d_of_T = self.numbers.kept(vectors.x_of_T), self.numbers.kept(vectors.d_of_T)
        self.kernels.running_rates(x_max_XB, x_of_T, d_max_DB, d_of_T, self.sizes_T2, follow, top, rate_TB)

    def _sweeps(self, reads: Reads) -> NDArray[np.int64]:
        """How many sweeps over all lines are complete before each read."""
        return (reads.first + np.arange(reads.count)) // self.lines

    def _line_flips(self, reads: Reads) -> Any:
        """Whether the chopper of the line flips after each read: uint8 [tiles, reads]."""
        own = self.own
        if own.in_chop_prob == 0.0:
            none_TN = self.numbers.filled((len(self.keys_T2), reads.count), 0.0)
            return self.numbers.bits(none_TN > 0.0)
        return self._random_flips(reads) if own.in_chop_random else self._regular_flips(reads)

    def _random_flips(self, reads: Reads) -> Any:
        uniform_TN = self._line_draws.uniforms(reads.first, reads.count)
        return self.numbers.bits(uniform_TN < float(np.float32(self.own.in_chop_prob)))

    def _regular_flips(self, reads: Reads) -> Any:
        """All lines flip in the last sweep of every period."""
        sweep_N = self._turns.take(reads.first, reads.count) // self.lines
        regular_N = self.numbers.bits(sweep_N % self.period == self.period - 1)
        return self.numbers.each_tile(regular_N, len(self.keys_T2))

    def _other_flips(self, reads: Reads) -> Any:
        """Which of the other choppers flip after each sweep that this update completes; None: none."""
        others = self.other_signs_TM.shape[1]
        ticks_N = reads.first + np.arange(reads.count)
        ends_S = ticks_N[(ticks_N + 1) % self.lines == 0]
        if self.own.out_chop_prob == 0.0 or len(ends_S) == 0:
            return self.numbers.no_flips((len(self.keys_T2), max(len(ends_S), 1), others))
        uniform = self._other_draws.uniforms(int(ends_S[0]), len(ends_S), self.lines, others)
        uniform_TSM = uniform.reshape(-1, len(ends_S), others)
        return self.numbers.bits(uniform_TSM < float(np.float32(self.own.out_chop_prob)))

    def writes(self, level: int, read_TNM: Any, reads: Reads, learning_rate: float) -> tuple[Any, float]:
        """The steps that the buffer releases, signs restored; it counts in steps of the slow array."""
        own = self.own
        gain_TN = self.numbers.filled(
            reads.lines_TN.shape, buffered_rate(own, 0, learning_rate) / self.quantum
        )
        if own.correct_gradient_magnitudes:
            gain_TN = self.numbers.only(self.fast_rate_TN > 0, gain_TN / self.fast_rate_TN)
        steps_TNM = self.numbers.empty(read_TNM.shape)
        self.kernels.fill_buffer(
            self.buffer_TLM, read_TNM * self.sign_TNM, self.numbers.unless_found(reads.lines_TN), gain_TN,
            np.float32(1.0),
            np.float32(own.momentum), own.forget_buffer, np.float32(self.cap()),
            np.float32(own.transfer_update.desired_bl), steps_TNM,
        )  # fmt: skip
        return steps_TNM, own.step * self.slow_step

    def cap(self) -> float:
        """Limit of the buffer; 0: none."""
        return 0.0

    def visible(self, fast_TOI: Any) -> Any:
        """The fast array with its signs restored."""
        return fast_TOI * self.oriented(self.line_signs_TL[:, :, None] * self.other_signs_TM[:, None, :])

    def clear(self) -> None:
        """Empty the buffer."""
        self.buffer_TLM[...] = 0.0

    def kept(self) -> dict[str, Any]:
        """What is saved, where it is: buffer, choppers and running sizes."""
        return {
            "buffer": self.buffer_TLM, "in_chopper": self.line_signs_TL, "out_chopper": self.other_signs_TM,
            "sizes": self.sizes_T2,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {name: fetched(values) for name, values in self.kept().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        for name, values in self.kept().items():
            write(values, state[name])

    def collected(self) -> dict[str, Any]:
        """The buffer [tiles, out, in]."""
        return {"buffered_FP_weight": self.oriented(self.buffer_TLM)}

    def oriented(self, values_TLM: Any) -> Any:
        """Numbers of crosspoints as [tiles, out, in]."""
        return values_TLM.swapaxes(1, 2) if self.own.transfer_columns else values_TLM


class Dynamic(Chopped):
    """AGAD: reads count from the mean that the line had before its chopper last flipped."""

    def __init__(self, cell: TransferCell) -> None:
        super().__init__(cell)
        assert isinstance(cell.compound, DynamicTransferCompound)
        self.dynamic = cell.compound
        self.mean_TLM, self.past_TLM = cell.zeros_TLM(), cell.zeros_TLM()
        self.switched_TL = self.numbers.zeros((len(self.keys_T2), self.lines), np.uint8)

    def _line_flips(self, reads: Reads) -> Any:
        """Flips in the last sweep of every period, and random ones if asked for."""
        flips_TN = self._regular_flips(reads)
        return flips_TN | self._random_flips(reads) if self.own.in_chop_random else flips_TN

    def writes(self, level: int, read_TNM: Any, reads: Reads, learning_rate: float) -> tuple[Any, float]:
        """As c-TTv2 with the offset taken off; nothing is written before the first estimate is complete."""
        read_TNM = self.numbers.copy(read_TNM)
        follow = np.float32(min(self.dynamic.tail_weightening / self.period, 1.0))
        self.kernels.subtract_reference(
            read_TNM, self._lines(reads), self.flips_TN, self.switched_TL, self.mean_TLM, self.past_TLM,
            follow,
        )  # fmt: skip
        steps_TNM, rate = super().writes(level, read_TNM, reads, learning_rate)
        early = int((self._sweeps(reads) <= self.period).sum())
        if early:
            steps_TNM[:, :early] = 0.0
        return steps_TNM, rate

    def cap(self) -> float:
        """Limit of the buffer; 0: none."""
        return self.dynamic.buffer_cap * self.own.transfer_update.desired_bl

    def kept(self) -> dict[str, Any]:
        """Also the estimates."""
        estimates = {"mean": self.mean_TLM, "past_mean": self.past_TLM, "switched": self.switched_TL}
        return {**super().kept(), **estimates}

    def collected(self) -> dict[str, Any]:
        """Buffer, running mean and reference [tiles, out, in]."""
        return {
            **super().collected(),
            "running_mean_weight": self.oriented(self.mean_TLM),
            "past_mean_weight": self.oriented(self.past_TLM),
        }
