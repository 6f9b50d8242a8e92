"""What the blocks of a layer read of plain vectors, and which blocks some vectors drive at all."""

from __future__ import annotations

import numpy as np

from crossgrid.kernels.analog_mvm.settings import silent_at_zero

from ..config.rpu import periphery_of
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.values import library, require_finite


def of_block(spec: LayerSpec, x_BI: Floats, column: int) -> Floats:
    """What block ``column`` reads of plain vectors; groups that share a tile all read the same."""
    tile, width = spec.tile_in(column), spec.in_size
    if tile.in_stop > width:
        repeated: Floats = library(x_BI).tile(x_BI, (1, tile.in_stop // width))
        return repeated
    return x_BI[:, tile.in_start : tile.in_stop]


def driven(spec: LayerSpec, x_BI: Floats) -> set[int]:
    """The columns of blocks whose outputs are not zero for certain: where nothing comes of zeros, not all.

    Raises:
        InputError: an entry of x is not finite.
    """
    from crossgrid.kernels.finite import NOT_FINITE, largest_of_lines  # with numba

    largest_1I = largest_of_lines(np.ascontiguousarray(x_BI, np.float32))[None]
    if largest_1I.max() >= NOT_FINITE:
        require_finite(spec.name, "input", x_BI)
    columns = {tile.column for tile in spec.tiles}
    if not silent_at_zero(periphery_of(spec.rpu_config)[0]):
        return columns
    return {column for column in columns if of_block(spec, largest_1I, column).any()}
