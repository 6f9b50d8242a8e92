"""What is written into the next array for what was read from one: Tiki-Taka v1 and v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...arrays.cell import fetched, write
from ...pulsed_update.arguments import Vectors
from .config import BufferedTransferCompound, TransferCompound

if TYPE_CHECKING:
    from .cell import TransferCell

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reads:
    """The lines of one array that an update reads: number n comes after ``after_N[n]`` of its vectors."""

    first: int  # reads of this array before this update
    after_N: Index
    lines_TN: Any  # int64, where the cell's numbers are

    @property
    def count(self) -> int:
        """How many lines are read."""
        return len(self.after_N)


class Rule(Protocol):
    """How transfers are made."""

    def fast_update(self, vectors: Vectors, learning_rate: float, reads: Reads) -> tuple[Vectors, float]:
        """The vectors that are pulsed into the fast array, and with which rate."""

    def writes(self, level: int, read_TNM: Any, reads: Reads, learning_rate: float) -> tuple[Any, float]:
        """What each read writes into array level + 1, in units of the second result, a learning rate."""

    def visible(self, fast_TOI: Any) -> Any:
        """The fast array as the weight sees it."""

    def clear(self) -> None:
        """Drop what was collected for weights that have been overwritten."""

    def state(self) -> dict[str, Any]:
        """Everything that changes."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""

    def collected(self) -> dict[str, Any]:
        """What the rule holds of each crosspoint, by name, in place [tiles, out, in]."""


def fast_rate(own: TransferCompound, learning_rate: float) -> float:
    """The learning rate of the fast array."""
    if own.fast_lr <= 0.0:
        return learning_rate
    return own.fast_lr * learning_rate if own.scale_fast_lr else own.fast_lr


def transfer_rate(own: TransferCompound, level: int, learning_rate: float) -> float:
    """The learning rate of the transfer from array ``level``."""
    rate = own.transfer_lr_vec[level] if own.transfer_lr_vec else own.transfer_lr
    return rate * learning_rate if own.scale_transfer_lr else rate


def buffered_rate(own: TransferCompound, level: int, learning_rate: float) -> float:
    """The same where a buffer lies between: what is also seen of an array counts less in the next one."""
    rate = transfer_rate(own, level, learning_rate)
    here, there = own.weights_of_members()[level : level + 2]
    return rate * here / there if here > 0.0 and there > 0.0 else rate


class Direct:
    """Tiki-Taka v1: the reading itself is written."""

    def __init__(self, cell: TransferCell) -> None:
        self.own = cell.compound

    def fast_update(self, vectors: Vectors, learning_rate: float, reads: Reads) -> tuple[Vectors, float]:
        """The gradient as it is."""
        return vectors, fast_rate(self.own, learning_rate)

    def writes(self, level: int, read_TNM: Any, reads: Reads, learning_rate: float) -> tuple[Any, float]:
        """Each reading, at the transfer's rate."""
        return read_TNM, transfer_rate(self.own, level, learning_rate)

    def visible(self, fast_TOI: Any) -> Any:
        """The fast array itself."""
        return fast_TOI

    def clear(self) -> None:
        """Nothing is collected."""

    def state(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""

    def collected(self) -> dict[str, Any]:
        """Nothing is held."""
        return {}


class Buffered(Direct):
    """Tiki-Taka v2: a buffer for each array but the last, [tiles, lines, other lines]."""

    def __init__(self, cell: TransferCell) -> None:
        super().__init__(cell)
        assert isinstance(cell.compound, BufferedTransferCompound)
        self.buffered = cell.compound
        self.kernels, self.numbers = cell.kernels, cell.numbers
        self.targets = [member.granularity for member in cell.members[1:]]
        self.buffers_KTLM = [cell.zeros_TLM() for _ in self.targets]

    def writes(self, level: int, read_TNM: Any, reads: Reads, learning_rate: float) -> tuple[Any, float]:
        """The steps that the buffer releases."""
        own, target = self.buffered, self.targets[level]
        gain_TN = self.numbers.filled(reads.lines_TN.shape, buffered_rate(own, level, learning_rate))
        steps_TNM = self.numbers.empty(read_TNM.shape)
        self.kernels.fill_buffer(
            self.buffers_KTLM[level], read_TNM, self.numbers.unless_found(reads.lines_TN), gain_TN,
            np.float32(own.thres_scale * target),
            np.float32(own.momentum), own.forget_buffer, np.float32(0.0),
            np.float32(own.transfer_update.desired_bl), steps_TNM,
        )  # fmt: skip
        return steps_TNM, own.step * target

    def clear(self) -> None:
        """Empty the buffers."""
        for buffer_TLM in self.buffers_KTLM:
            buffer_TLM[...] = 0.0

    def state(self) -> dict[str, Any]:
        """The buffers."""
        return {f"buffer_{k}": fetched(buffer_TLM) for k, buffer_TLM in enumerate(self.buffers_KTLM)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        for k, buffer_TLM in enumerate(self.buffers_KTLM):
            write(buffer_TLM, state[f"buffer_{k}"])

    def collected(self) -> dict[str, Any]:
        """The buffers [tiles, out, in]."""
        columns = self.own.transfer_columns
        return {
            f"buffered_FP_weight_{k}": buffer.swapaxes(1, 2) if columns else buffer
            for k, buffer in enumerate(self.buffers_KTLM)
        }
