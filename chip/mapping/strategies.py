"""How blocks are assigned to tiles: one function a strategy, from layer shapes to a plan's table.

Tiles are numbered row by row, chip after chip. A strategy that takes a budget gets ``chips``; ``None``
means as many chips as are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..description.spec import Chip
from ..plan.plan import LayerShape
from .balance import balance, shareable, vector_times
from .cutting import Table, block_columns, blocks_of_layer, cut_full, joined
from .packing import pack_blocks

#: vectors that a tile may share out in any network: those of an image of 32 x 32
FEW_VECTORS = 1024


def cut_layers(layers: Sequence[LayerShape], chip: Chip) -> list[Table]:
    """Every layer's blocks, cut near-equally to the chip's tiles."""
    return [
        block_columns(k, blocks_of_layer(layer, chip.tile_out, chip.tile_in))
        for k, layer in enumerate(layers)
    ]


def per_layer(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Every block has a tile of its own; tiles are taken in order."""
    del chips  # the caller checks the fit
    table = joined(cut_layers(layers, chip))
    table["tile"] = np.arange(len(table["layer"]), dtype=np.int32)
    return table


def packed(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Full tiles first; what remains of each layer shares tiles with what remains of others.

    Blocks that share a tile work in turn, so no tile gets more vectors than the layer with most of them,
    which therefore has its tiles alone; small networks may share up to ``FEW_VECTORS``.
    """
    del chips
    table = joined(
        [
            block_columns(k, blocks_of_layer(layer, chip.tile_out, chip.tile_in, cut_full))
            for k, layer in enumerate(layers)
        ]
    )
    out = table["out_stop"] - table["out_start"]
    in_ = table["in_stop"] - table["in_start"]
    work = np.array([layer.reuse for layer in layers])
    packed_bins, table["out_offset"], table["in_offset"] = pack_blocks(
        out, in_, chip.tile_out, chip.tile_in, work[table["layer"]], max(int(work.max()), FEW_VECTORS)
    )
    table["tile"] = _in_order_of_appearance(packed_bins)
    return table


def _in_order_of_appearance(bins: np.ndarray) -> np.ndarray:
    """Bins numbered anew, so that tiles follow the order of the layers."""
    _, first, inverse = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def replicated(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Copies of the layer that takes longest, again and again, while tiles are left for them."""
    tables = cut_layers(layers, chip)
    tiles = [len(table["layer"]) for table in tables]
    count = chips or -(-sum(tiles) // chip.tiles)
    pace = vector_times(layers, tables, chip)
    copies = balance(tiles, shareable(layers), count * chip.tiles, pace)
    replicas = []
    for table, number in zip(tables, copies, strict=True):
        for copy in range(number):
            replicas.append({**table, "copy": np.full(len(table["layer"]), copy, np.int32)})
    whole = joined(replicas)
    whole["tile"] = np.arange(len(whole["layer"]), dtype=np.int32)
    return whole


def time_multiplexed(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """More layers than tiles: the tiles are programmed anew between rounds of whole layers."""
    available = (chips or chip.chips) * chip.tiles
    tables = cut_layers(layers, chip)
    taken, turn = 0, 0
    for table in tables:
        count = len(table["layer"])
        if taken and taken + count > available:  # a layer that fits is not split between rounds
            taken, turn = 0, turn + 1
        position = taken + np.arange(count, dtype=np.int64)
        table["tile"] = (position % available).astype(np.int32)
        table["round"] = (turn + position // available).astype(np.int32)
        turn += (taken + count - 1) // available
        taken = (taken + count - 1) % available + 1
    return joined(tables)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How blocks get their tiles, and why one sits where it sits, in words that a plan keeps."""

    table: Callable[[Sequence[LayerShape], Chip, int | None], Table]
    why: str


STRATEGIES = {
    "per-layer": Strategy(per_layer, "next free tile, no sharing between layers"),
    "packed": Strategy(packed, "packed where it wastes the fewest cells"),
    "replicated": Strategy(replicated, "next free tile"),
    "time-multiplexed": Strategy(
        time_multiplexed, "next free tile of this round; tiles are reprogrammed between rounds"
    ),
}
