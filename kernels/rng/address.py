"""What a random number is drawn for, and whose it is."""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .naive import philox4x32

TICK_BITS = 48


class Stream(IntEnum):
    """The purpose of a draw. Numbers are part of the reproducible result: never renumber. Gaps are free."""

    TILE_KEY = 0
    POPULATION = 1  # device-to-device spread, drawn once
    PULSE_X = 2  # bits of the column (input) trains
    PULSE_D = 3  # bits of the row (output) trains
    STEP_NOISE = 4  # cycle-to-cycle noise of a step
    WRITE_NOISE = 5
    ROUND_X = 6  # stochastic rounding of the update's inputs
    ROUND_D = 7
    DIFFUSION = 9
    RESET = 10
    DRIFT = 11
    UNIT_CELL = 12  # which member of a cell is updated, which column is transferred
    TRANSFER = 13  # reads and writes inside compound cells
    FORWARD = 16  # periphery of the forward product
    BACKWARD = 17
    FORWARD_POPULATION = 18  # spread of the periphery from line to line, drawn once
    BACKWARD_POPULATION = 19
    MODIFIER = 20  # weight modifiers of hardware-aware training
    PROGRAMMING = 24
    DRIFT_EXPONENT = 25
    READ_NOISE = 26


def tile_key(layer_key: int, block: int) -> NDArray[np.uint32]:
    """The key [2] of one tile: block number ``block`` of the layer whose 64-bit key is ``layer_key``."""
    key = np.array([layer_key & 0xFFFFFFFF, (layer_key >> 32) & 0xFFFFFFFF], np.uint32)
    counter = np.array([block & 0xFFFFFFFF, block >> 32, 0, Stream.TILE_KEY << 24], np.uint32)
    return philox4x32(key, counter)[:2].copy()


def new_key(*parts: int | str) -> int:
    """A 64-bit layer key from any parts, the same in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def counter_high(stream: int, tick: int, extra: int = 0) -> tuple[np.uint32, np.uint32]:
    """Counter words 2 and 3 of an address."""
    assert 0 <= tick < 1 << TICK_BITS
    assert 0 <= extra < 256
    return np.uint32(tick & 0xFFFFFFFF), np.uint32(stream << 24 | extra << 16 | tick >> 32)
