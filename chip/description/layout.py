"""Where the tiles of each kind stand on a chip: spread evenly, so that layers on different kinds can be
neighbours."""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=256)
def kind_of_places(tiles: tuple[int, ...]) -> np.ndarray:
    """The kind of each place, row by row, where kind k has ``tiles[k]`` of all.

    The j-th of t tiles of a kind wants to stand at (j + 1/2) / t of the way; of several that want the same
    place those of the first kind come first.
    """
    kind = np.repeat(np.arange(len(tiles)), tiles)
    wanted = np.concatenate([(np.arange(count) + 0.5) / count for count in tiles if count] or [np.zeros(0)])
    found: np.ndarray = kind[np.lexsort((kind, np.round(wanted, 12)))]
    found.setflags(write=False)
    return found


@functools.lru_cache(maxsize=256)
def places_of_kinds(tiles: tuple[int, ...]) -> np.ndarray:
    """The places of all tiles of the first kind, then those of the next, each in ascending order."""
    found: np.ndarray = np.argsort(kind_of_places(tiles), kind="stable")
    found.setflags(write=False)
    return found
