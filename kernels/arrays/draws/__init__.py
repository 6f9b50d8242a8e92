"""Addressed draws for the crosspoints of a bank, by any backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...devices.base import Array
from ...rng import Stream, counter_high
from ...rng.formulas import unit_interval


class CrosspointDraws:
    """Draws of one stream and tick for a range of rows of every tile."""

    def __init__(
        self, keys_T2: NDArray[np.uint32], rows: slice, columns: int, stream: Stream, tick: int = 0,
        backend: Backend = CPU, extra: int = 0,
    ) -> None:  # fmt: skip
        self._place = (keys_T2, rows.start, rows.stop, columns)
        self._stream, self._tick, self._extra, self._kernels = stream, tick, extra, backend.crosspoints
        self._words: dict[int, NDArray[np.uint32]] = {}
        self._normals: dict[int, Array] = {}

    def normal(self, index: int) -> Array:
        block, number = divmod(index, 4)
        if block not in self._normals:
            self._normals[block] = self._kernels.normals(*self._place, *self._high(block))
        return self._normals[block][number]

    def uniform(self, index: int) -> Array:
        block, number = divmod(index, 4)
        if block not in self._words:
            self._words[block] = self._kernels.words(*self._place, *self._high(block))
        return unit_interval(self._words[block][number])

    def _high(self, block: int) -> tuple[np.uint32, np.uint32]:
        return counter_high(self._stream, self._tick, self._extra + block)
