"""Addressed draws for the crosspoints of a bank, by any executor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..devices.base import Array
from ..rng import Stream, counter_high
from ..rng.formulas import normal_pair, unit_interval
from ..rng.naive import philox4x32


def naive_words(
    keys_T2: NDArray[np.uint32], rows: slice, columns: int, high: tuple[Any, Any]
) -> NDArray[np.uint32]:
    """Words [4, tiles, rows, columns] of every crosspoint in ``rows``; ``high``: counter words 2 and 3."""
    size = (rows.stop - rows.start, columns)
    row, column = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns), indexing="ij")
    low = np.stack([column, row, np.full(size, high[0]), np.full(size, high[1])]).astype(np.uint32)
    return np.stack([philox4x32(key, low) for key in keys_T2], axis=1)


class CrosspointDraws:
    """Draws of one stream and tick for a range of rows of every tile."""

    def __init__(
        self, keys_T2: NDArray[np.uint32], rows: slice, columns: int, stream: Stream, tick: int = 0,
        executor: str = "cpu", extra: int = 0,
    ) -> None:  # fmt: skip
        self._where = (keys_T2, rows, columns)
        self._stream, self._tick, self._extra, self._executor = stream, tick, extra, executor
        self._blocks: dict[int, NDArray[np.uint32]] = {}
        self._normals: dict[int, Array] = {}

    def normal(self, index: int) -> Array:
        block, number = divmod(index, 4)
        if block not in self._normals:
            self._normals[block] = self._draw_normals(block)
        return self._normals[block][number]

    def uniform(self, index: int) -> Array:
        block, number = divmod(index, 4)
        if block not in self._blocks:
            self._blocks[block] = self._draw_words(block)
        return unit_interval(self._blocks[block][number])

    def _high(self, block: int) -> tuple[np.uint32, np.uint32]:
        return counter_high(self._stream, self._tick, self._extra + block)

    def _draw_words(self, block: int) -> NDArray[np.uint32]:
        if self._executor == "naive":
            return naive_words(*self._where, self._high(block))
        from .cpu import crosspoint_words

        keys_T2, rows, columns = self._where
        return crosspoint_words(keys_T2, rows.start, rows.stop, columns, *self._high(block))

    def _draw_normals(self, block: int) -> Array:
        if self._executor == "naive":
            words = naive_words(*self._where, self._high(block))
            return np.stack([*normal_pair(words[0]), *normal_pair(words[1])])
        from .cpu import crosspoint_normals

        keys_T2, rows, columns = self._where
        return crosspoint_normals(keys_T2, rows.start, rows.stop, columns, *self._high(block))
