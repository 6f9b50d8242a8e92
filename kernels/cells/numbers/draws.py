"""Addressed random numbers for decisions about whole vectors or lines of a tile."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ...rng import Stream
from ...rng.formulas import unit_interval
from ...rng.naive import philox4x32

Array = NDArray[np.float32]
Keys = NDArray[np.uint32]


class Purpose(IntEnum):
    """Counter row of a draw within a stream. Part of the reproducible result: never renumber."""

    CHOICE = 0  # which member is updated, which line is transferred first
    RESET = 1
    IN_CHOPPER = 2
    OUT_CHOPPER = 3


def line_uniforms(
    keys_T2: Keys,
    stream: Stream,
    ticks_N: NDArray[np.int64],
    purpose: Purpose = Purpose.CHOICE,
    lines: int = 1,
) -> Array:
    """Uniform numbers in [0, 1) for each tile, tick and line [tiles, ticks, lines]; [tiles, ticks] for one.

    Line number l of n is word l // calls of call l % calls, calls = ceil(n / 4).
    """
    calls = (lines + 3) // 4
    call, tick = np.meshgrid(np.arange(calls), np.asarray(ticks_N, np.int64), indexing="ij")
    high = (int(stream) << 24) | (tick >> 32)
    address = np.stack([call, np.full_like(call, purpose), tick & 0xFFFFFFFF, high]).astype(np.uint32)
    tiles = []
    for key in keys_T2:
        words = philox4x32(key, address)  # [4, calls, ticks]
        tiles.append(unit_interval(words.reshape(4 * calls, -1)[:lines].T))
    uniform_TNL = np.stack(tiles)
    return uniform_TNL[:, :, 0] if lines == 1 else uniform_TNL
