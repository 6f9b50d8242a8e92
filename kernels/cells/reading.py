"""Reads inside cells: an array's lines through a periphery of their own."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np

from ..analog_mvm.parameters import BoundManagementType, IOParameters, NoiseManagementType
from ..analog_mvm.reads.make import periphery
from ..arrays.cell import Keys, member_keys
from ..backends import Backend
from .unit_cell import contiguous, numbers_of

LINES_AT_ONCE = 64  # reads that share one call


class ArrayReader:
    """Reads all columns of an array, one after another."""

    def __init__(
        self, io: IOParameters, keys_T2: Keys, number: int, out_size: int, in_size: int, backend: Backend
    ) -> None:
        keys_T2 = member_keys(keys_T2, number)
        self._periphery = periphery(io, keys_T2, out_size, in_size, direction="forward", backend=backend)
        self._numbers = numbers_of(backend)
        self.one_hot_XII = self._numbers.placed(np.eye(in_size, dtype=np.float32)[None])
        self._first_T = np.zeros(len(keys_T2), np.int64)

    def read(self, w_TOI: Any, tick: int) -> Any:
        """The weights as read, where they are; column p has tick + p."""
        y_TIO, _ = self._periphery.read(w_TOI, self.one_hot_XII, self._first_T, tick)
        return contiguous(self._numbers.placed(y_TIO).swapaxes(1, 2))

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return self._periphery.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` gave."""
        self._periphery.load_state(state)


class LineReader:
    """Reads single lines of an array with a one-hot input, without noise or bound management.

    With one input on, the result depends on the other lines only through noise at their inputs and
    through the wires' voltage drop. Where neither is modelled, a read takes the line alone, and many
    reads, at different times, share one call; else it takes the whole array.
    """

    def __init__(
        self, io: IOParameters, keys_T2: Keys, number: int, out_size: int, in_size: int, columns: bool,
        backend: Backend,
    ) -> None:  # fmt: skip
        self.io = copy.copy(io)
        self.io.noise_management = NoiseManagementType.NONE
        self.io.bound_management = BoundManagementType.NONE
        self.whole = not io.perfect and (io.inp_noise > 0.0 or io.ir_drop != 0.0)
        self._numbers = numbers_of(backend)
        self._one_hot_XII = self._numbers.placed(np.eye(LINES_AT_ONCE, dtype=np.float32)[None])
        self._lines, self._outputs = (in_size, out_size) if columns else (out_size, in_size)
        keys_T2 = member_keys(keys_T2, number)
        self._tiles_T = np.arange(len(keys_T2))
        direction: Literal["forward", "backward"] = "forward"
        size = (self._outputs, LINES_AT_ONCE)
        if self.whole:
            direction, size = ("forward" if columns else "backward"), (out_size, in_size)
        self._periphery = None
        if not self.io.perfect:
            self._periphery = periphery(self.io, keys_T2, *size, direction=direction, backend=backend)

    def read(self, lines_TNM: Any, first: int) -> Any:
        """What is read of single lines; read number n has tick first + n."""
        if self._periphery is None:
            return lines_TNM * float(np.float32(self.io.out_scale))
        tiles, reads, outputs = lines_TNM.shape
        read_TNM = self._numbers.empty(lines_TNM.shape)
        same_T = np.zeros(tiles, np.int64)
        w_TML = self._numbers.filled((tiles, outputs, LINES_AT_ONCE), 0.0)
        for start in range(0, reads, LINES_AT_ONCE):
            stop = min(start + LINES_AT_ONCE, reads)
            w_TML[:, :, : stop - start] = lines_TNM[:, start:stop].swapaxes(1, 2)
            x_XBI = contiguous(self._one_hot_XII[:, : stop - start])
            y_TBM, _ = self._periphery.read(w_TML, x_XBI, same_T, first + start)
            read_TNM[:, start:stop] = self._numbers.placed(y_TBM)
        return read_TNM

    def read_whole(self, w_TOI: Any, lines_T: Any, tick: int) -> Any:
        """What is read [tiles, outputs] of line lines_T[t] of each tile, the whole array taking part."""
        assert self._periphery is not None
        x_TBL = self._numbers.one_hot(lines_T[:, None], self._lines)
        y_TBM, _ = self._periphery.read(w_TOI, x_TBL, self._tiles_T, tick)
        return self._numbers.placed(y_TBM)[:, 0]
