"""Reads inside cells: an array's lines through a periphery of their own."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..analog_mvm.parameters import BoundManagementType, IOParameters, NoiseManagementType
from ..analog_mvm.reads.make import periphery
from ..analog_mvm.reads.periphery import on_host
from ..arrays.cell import Array, Keys, member_keys
from ..backends import Backend

LINES_AT_ONCE = 64  # reads that share one call


class ArrayReader:
    """Reads all columns of an array, one after another."""

    def __init__(
        self, io: IOParameters, keys_T2: Keys, number: int, out_size: int, in_size: int, backend: Backend
    ) -> None:
        keys_T2 = member_keys(keys_T2, number)
        self._periphery = periphery(io, keys_T2, out_size, in_size, direction="forward", backend=backend)
        self._one_hot_XII = np.eye(in_size, dtype=np.float32)[None]
        self._first_T = np.zeros(len(keys_T2), np.int64)

    def read(self, w_TOI: Array, tick: int) -> Array:
        """The weights as read; column p has tick + p."""
        y_TIO, _ = self._periphery.read(w_TOI, self._one_hot_XII, self._first_T, tick)
        return np.ascontiguousarray(on_host(y_TIO).transpose(0, 2, 1))

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
        self.columns = columns
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

    def read(self, lines_TNM: Array, first: int) -> Array:
        """What is read of single lines; read number n has tick first + n."""
        if self._periphery is None:
            return lines_TNM * np.float32(self.io.out_scale)
        tiles, reads, outputs = lines_TNM.shape
        read_TNM = np.empty_like(lines_TNM)
        one_hot_XII = np.eye(LINES_AT_ONCE, dtype=np.float32)[None]
        same_T = np.zeros(tiles, np.int64)
        w_TML = np.zeros((tiles, outputs, LINES_AT_ONCE), np.float32)
        for start in range(0, reads, LINES_AT_ONCE):
            stop = min(start + LINES_AT_ONCE, reads)
            w_TML[:, :, : stop - start] = lines_TNM[:, start:stop].transpose(0, 2, 1)
            x_XBI = np.ascontiguousarray(one_hot_XII[:, : stop - start])
            y_TBM, _ = self._periphery.read(w_TML, x_XBI, same_T, first + start)
            read_TNM[:, start:stop] = on_host(y_TBM)
        return read_TNM

    def read_whole(self, w_TOI: Array, lines_T: NDArray[np.int64], tick: int) -> Array:
        """What is read [tiles, outputs] of line lines_T[t] of each tile, the whole array taking part."""
        assert self._periphery is not None
        x_TBL = np.zeros((len(lines_T), 1, self._lines), np.float32)
        x_TBL[self._tiles_T, 0, lines_T] = 1.0
        y_TBM, _ = self._periphery.read(w_TOI, x_TBL, self._tiles_T, tick)
        return on_host(y_TBM)[:, 0]
