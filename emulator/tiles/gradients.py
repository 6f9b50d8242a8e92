"""The gradients that tiles read backward and learn from: which a tile sees, those of several passes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .bank import Floats, Index, Mask
from .values import as_kind_of, library


class Gradients(NamedTuple):
    """d[blocks, vectors, out], which block each tile uses, and on a card 1 where a tile's is none."""

    d_XBO: Floats
    d_of_tile: Index
    none_TBO: Mask | None = None


def seen_by_tiles(d_XBO: Floats, d_of_tile: Index, mask_TBO: Mask | None) -> Gradients:
    """The gradients that tiles see: none of a result at the ADC's bound, which does not follow its signal."""
    if mask_TBO is None:
        return Gradients(d_XBO, d_of_tile)
    d_XBO = as_kind_of(d_XBO, mask_TBO)
    if isinstance(d_XBO, np.ndarray):
        d_TBO = d_XBO[d_of_tile]
    else:  # no index has to come from the host
        d_TBO = library(d_XBO).stack([d_XBO[k] for k in d_of_tile.tolist()])
    return Gradients(library(d_TBO).where(mask_TBO > 0, 0.0, d_TBO), np.arange(len(d_of_tile)))


def joined(gradients: list[Gradients]) -> Gradients:
    """The gradients of several passes one after the other."""
    if len(gradients) == 1:
        return gradients[0]
    gradients = [seen_by_tiles(*each) for each in gradients]
    join = library(gradients[0][0]).concatenate
    of_tiles = [each.d_of_tile for each in gradients]
    if all(np.array_equal(of_tile, of_tiles[0]) for of_tile in of_tiles[1:]):
        return Gradients(join([each.d_XBO for each in gradients], axis=1), of_tiles[0])
    each_TBO = [each.d_XBO[each.d_of_tile] for each in gradients]
    return Gradients(join(each_TBO, axis=1), np.arange(len(of_tiles[0])))
