"""The gradients that tiles read backward and learn from: which a tile sees, those of several passes."""

from __future__ import annotations

import numpy as np

from .bank import Floats, Index, Mask
from .values import as_kind_of, library

Gradients = tuple[Floats, Index]  # d[blocks, vectors, out], and which block each tile uses


def seen_by_tiles(d_XBO: Floats, d_of_tile: Index, mask_TBO: Mask | None) -> Gradients:
    """The gradients that tiles see: none of a result at the ADC's bound, which does not follow its signal."""
    if mask_TBO is None:
        return d_XBO, d_of_tile
    d_TBO = as_kind_of(d_XBO, mask_TBO)[d_of_tile]
    return library(d_TBO).where(mask_TBO > 0, 0.0, d_TBO), np.arange(len(d_of_tile))


def joined(gradients: list[Gradients]) -> Gradients:
    """The gradients of several passes one after the other."""
    if len(gradients) == 1:
        return gradients[0]
    join = library(gradients[0][0]).concatenate
    of_tiles = [of_tile for _, of_tile in gradients]
    if all(np.array_equal(of_tile, of_tiles[0]) for of_tile in of_tiles[1:]):
        return join([d_XBO for d_XBO, _ in gradients], axis=1), of_tiles[0]
    each_TBO = [d_XBO[of_tile] for d_XBO, of_tile in gradients]
    return join(each_TBO, axis=1), np.arange(len(of_tiles[0]))
