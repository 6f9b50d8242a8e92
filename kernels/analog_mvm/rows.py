"""Which vectors an attempt reads: rows sorted by tile, and where each takes its input from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
NOT_SCALED = np.zeros(0, np.float32)  # in place of scales that an attempt is to work out of its inputs
#: what ``naive.attempt`` gives
Attempt = tuple[Any, NDArray[np.bool_], Index, int, "int | None", Any, bool]


class Rows(NamedTuple):
    """Rows of one attempt.

    An output row n is vector ``vector_N[n]`` of the tile t with first_T1[t] <= n < first_T1[t + 1].
    Its converted input is input row ``input_first_T[t] + n - first_T1[t]``, made from row
    ``source_M`` of the inputs for tile ``tile_M`` and vector ``input_vector_M``; tiles share input rows
    where nothing random happens to them.
    """

    first_T1: Index
    vector_N: Index
    input_first_T: Index
    source_M: Index
    tile_M: Index
    input_vector_M: Index
    shared: bool


NO_BLOCK = -1  # of the inputs: the tile is not read


def all_rows(batch: int, x_of_tile: Index, blocks: int, shared: bool) -> Rows:
    """Every vector of every tile that reads; with ``shared`` an input row serves all that read its block."""
    read_T = x_of_tile != NO_BLOCK
    vector = np.tile(np.arange(batch), read_T.sum())
    first = np.append(0, np.cumsum(read_T)) * batch
    if shared:
        source = np.arange(blocks * batch)
        return Rows(first, vector, x_of_tile * batch, source, source * 0, source % max(batch, 1), True)
    tile = np.repeat(np.flatnonzero(read_T), batch)
    return Rows(first, vector, first[:-1], x_of_tile[tile] * batch + vector, tile, vector, False)


def some_rows(tile_N: Index, vector_N: Index, tiles: int, batch: int, x_of_tile: Index) -> Rows:
    """The listed vectors, which are sorted by tile; each has its own input row."""
    first = np.searchsorted(tile_N, np.arange(tiles + 1))
    return Rows(first, vector_N, first[:-1], x_of_tile[tile_N] * batch + vector_N, tile_N, vector_N, False)
