"""Transfers with chopped signs: c-TTv2, and AGAD, which also estimates the fast array's offset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays.cell import Array
from ...pulsed_update.arguments import Vectors
from ...rng import Stream
from ..draws import Purpose, line_uniforms
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
        self.keys_T2, tiles = cell.members[0].keys_T2, cell.shape[0]
        self.lines = cell.lines
        self.fast_step, self.slow_step = (member.granularity for member in cell.members)
        self.quantum = self._quantum()
        self.period = max(math.ceil(1.0 / own.in_chop_prob), 2) if own.in_chop_prob > 0.0 else 0  # sweeps
        self.buffer_TLM = cell.zeros_TLM()
        self.line_signs_TL = np.ones((tiles, cell.lines), np.float32)
        self.other_signs_TM = np.ones((tiles, cell.others), np.float32)
        self.sizes_T2 = np.zeros((tiles, 2), np.float32)  # running max|x| and max|d|
        self.sign_TNM = np.zeros((tiles, 0, cell.others), np.float32)
        self.fast_rate_TN = np.zeros((tiles, 0), np.float32)
        self.flips_TN = np.zeros((tiles, 0), np.uint8)

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
        rate_TB = np.full((tiles, batch), rate, np.float32)
        if auto:
            self._follow_sizes(vectors, rate_TB)
        self.fast_rate_TN = rate_TB[:, reads.after_N - 1]
        self.flips_TN = self._line_flips(reads)
        self.sign_TNM = np.empty((tiles, reads.count, self.other_signs_TM.shape[1]), np.float32)
        scale_TB = np.sqrt(rate_TB) if auto else np.ones((tiles, batch), np.float32)
        x_TBI = np.empty((tiles, batch, vectors.x_XBI.shape[2]), np.float32)
        d_TBO = np.empty((tiles, batch, vectors.d_DBO.shape[2]), np.float32)
        self.kernels.chop(
            vectors, scale_TB,
            Choppers(self.line_signs_TL, self.other_signs_TM),
            Flips(reads.lines_TN[0], reads.after_N, self.flips_TN, self._other_flips(reads)),
            own.transfer_columns, Signed(x_TBI, d_TBO, self.sign_TNM),
        )  # fmt: skip
        all_tiles = np.arange(tiles)
        return Vectors(x_TBI, all_tiles, d_TBO, all_tiles), 1.0 if auto else rate

    def _follow_sizes(self, vectors: Vectors, rate_TB: Array) -> None:
        own = self.own
        x_max_XB, d_max_DB = np.abs(vectors.x_XBI).max(axis=2), np.abs(vectors.d_DBO).max(axis=2)
        follow = np.float32((1.0 - own.auto_momentum) / vectors.batch)
        top = np.float32(own.fast_lr * self.parameters.desired_bl * self.fast_step)
        self.kernels.running_rates(
            x_max_XB, vectors.x_of_T, d_max_DB, vectors.d_of_T, self.sizes_T2, follow, top, rate_TB
        )

    def _sweeps(self, reads: Reads) -> NDArray[np.int64]:
        """How many sweeps over all lines are complete before each read."""
        return (reads.first + np.arange(reads.count)) // self.lines

    def _line_flips(self, reads: Reads) -> NDArray[np.uint8]:
        """Whether the chopper of the line flips after each read [tiles, reads]."""
        own, tiles = self.own, len(self.keys_T2)
        if own.in_chop_prob == 0.0:
            return np.zeros((tiles, reads.count), np.uint8)
        if own.in_chop_random:
            return self._random_flips(reads)
        return np.tile((self._sweeps(reads) % self.period == self.period - 1).astype(np.uint8), (tiles, 1))

    def _random_flips(self, reads: Reads) -> NDArray[np.uint8]:
        ticks_N = reads.first + np.arange(reads.count)
        uniform_TN = line_uniforms(self.keys_T2, Stream.TRANSFER, ticks_N, Purpose.IN_CHOPPER)
        return (uniform_TN < np.float32(self.own.in_chop_prob)).astype(np.uint8)

    def _other_flips(self, reads: Reads) -> NDArray[np.uint8]:
        """Which of the other choppers flip after each sweep that this update completes."""
        others = self.other_signs_TM.shape[1]
        ticks_N = reads.first + np.arange(reads.count)
        ends_S = ticks_N[(ticks_N + 1) % self.lines == 0]
        if self.own.out_chop_prob == 0.0 or len(ends_S) == 0:
            return np.zeros((len(self.keys_T2), max(len(ends_S), 1), others), np.uint8)
        uniform = line_uniforms(self.keys_T2, Stream.TRANSFER, ends_S, Purpose.OUT_CHOPPER, others)
        return (uniform.reshape(-1, len(ends_S), others) < np.float32(self.own.out_chop_prob)).astype(
            np.uint8
        )

    def writes(self, level: int, read_TNM: Array, reads: Reads, learning_rate: float) -> tuple[Array, float]:
        """The steps that the buffer releases, signs restored; it counts in steps of the slow array."""
        own = self.own
        gain_TN = np.full(
            reads.lines_TN.shape, buffered_rate(own, 0, learning_rate) / self.quantum, np.float32
        )
        if own.correct_gradient_magnitudes:
            gain_TN = np.where(self.fast_rate_TN > 0, gain_TN / self.fast_rate_TN, np.float32(0.0))
        steps_TNM = np.empty_like(read_TNM)
        self.kernels.fill_buffer(
            self.buffer_TLM, read_TNM * self.sign_TNM, reads.lines_TN, gain_TN, np.float32(1.0),
            np.float32(own.momentum), own.forget_buffer, np.float32(self.cap()),
            np.float32(own.transfer_update.desired_bl), steps_TNM,
        )  # fmt: skip
        return steps_TNM, own.step * self.slow_step

    def cap(self) -> float:
        """Limit of the buffer; 0: none."""
        return 0.0

    def visible(self, fast_TOI: Array) -> Array:
        """The fast array with its signs restored."""
        sign_TLM = self.line_signs_TL[:, :, None] * self.other_signs_TM[:, None, :]
        return fast_TOI * (sign_TLM.transpose(0, 2, 1) if self.own.transfer_columns else sign_TLM)

    def clear(self) -> None:
        """Empty the buffer."""
        self.buffer_TLM.fill(0.0)

    def state(self) -> dict[str, Any]:
        """Buffer, choppers and running sizes."""
        return {
            "buffer": self.buffer_TLM, "in_chopper": self.line_signs_TL, "out_chopper": self.other_signs_TM,
            "sizes": self.sizes_T2,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        for name, values in self.state().items():
            values[...] = state[name]

    def hidden_parameters(self) -> dict[str, Array]:
        """The buffer [tiles, out, in]."""
        return {"buffered_FP_weight": self.oriented(self.buffer_TLM)}

    def oriented(self, values_TLM: Array) -> Array:
        """Numbers of crosspoints as [tiles, out, in]."""
        return values_TLM.transpose(0, 2, 1) if self.own.transfer_columns else values_TLM


class Dynamic(Chopped):
    """AGAD: reads count from the mean that the line had before its chopper last flipped."""

    def __init__(self, cell: TransferCell) -> None:
        super().__init__(cell)
        assert isinstance(cell.compound, DynamicTransferCompound)
        self.dynamic = cell.compound
        self.mean_TLM, self.past_TLM = cell.zeros_TLM(), cell.zeros_TLM()
        self.switched_TL = np.zeros(self.line_signs_TL.shape, np.uint8)

    def _line_flips(self, reads: Reads) -> NDArray[np.uint8]:
        """Flips in the last sweep of every period, and random ones if asked for."""
        regular_N = self._sweeps(reads) % self.period == self.period - 1
        flips_TN = np.tile(regular_N.astype(np.uint8), (len(self.keys_T2), 1))
        return flips_TN | self._random_flips(reads) if self.own.in_chop_random else flips_TN

    def writes(self, level: int, read_TNM: Array, reads: Reads, learning_rate: float) -> tuple[Array, float]:
        """As c-TTv2 with the offset taken off; nothing is written before the first estimate is complete."""
        read_TNM = read_TNM.copy()
        follow = np.float32(min(self.dynamic.tail_weightening / self.period, 1.0))
        self.kernels.subtract_reference(
            read_TNM, reads.lines_TN[0], self.flips_TN, self.switched_TL, self.mean_TLM, self.past_TLM, follow
        )
        steps_TNM, rate = super().writes(level, read_TNM, reads, learning_rate)
        steps_TNM[:, self._sweeps(reads) <= self.period] = 0.0
        return steps_TNM, rate

    def cap(self) -> float:
        """Limit of the buffer; 0: none."""
        return self.dynamic.buffer_cap * self.own.transfer_update.desired_bl

    def state(self) -> dict[str, Any]:
        """Also the estimates."""
        estimates = {"mean": self.mean_TLM, "past_mean": self.past_TLM, "switched": self.switched_TL}
        return {**super().state(), **estimates}

    def hidden_parameters(self) -> dict[str, Array]:
        """Buffer, running mean and reference [tiles, out, in]."""
        return {
            **super().hidden_parameters(),
            "running_mean_weight": self.oriented(self.mean_TLM),
            "past_mean_weight": self.oriented(self.past_TLM),
        }
