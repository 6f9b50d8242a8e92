"""How blocks are assigned to tiles: one function a strategy, from layer shapes to a plan's table.

Tiles are numbered row by row, chip after chip. A strategy that takes a budget gets ``chips``; ``None``
means as many chips as are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrid.kernels.errors import ConfigError, unknown

from ..description.spec import Chip
from ..plan.plan import LayerShape
from .balance import candidates, shareable, work_of_vectors
from .cutting import Table, block_columns, blocks_of_layer, cut_full, joined
from .packing import pack_blocks

#: vectors that a tile may share out in any network: those of an image of 32 x 32
FEW_VECTORS = 1024


@dataclass(frozen=True, slots=True)
class Given:
    """What is asked of a strategy."""

    chips: int | None = None  # None: as many as are needed
    copies: Sequence[int] | None = None  # of each layer; None: as many as are best


def cut_layers(layers: Sequence[LayerShape], chip: Chip) -> list[Table]:
    """Every layer's blocks, cut near-equally to the chip's tiles."""
    return [
        block_columns(k, blocks_of_layer(layer, chip.tile_out, chip.tile_in))
        for k, layer in enumerate(layers)
    ]


def per_layer(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Every block has a tile of its own; tiles are taken in order."""
    del given  # the caller checks the fit
    table = joined(cut_layers(layers, chip))
    table["tile"] = np.arange(len(table["layer"]), dtype=np.int32)
    return [table]


def packed(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Full tiles first; what remains of each layer shares tiles with what remains of others.

    Blocks that share a tile work in turn, so no tile gets more vectors than the layer with most of them,
    which therefore has its tiles alone; small networks may share up to ``FEW_VECTORS``.
    """
    del given
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
    return [table]


def _in_order_of_appearance(bins: np.ndarray) -> np.ndarray:
    """Bins numbered anew, so that tiles follow the order of the layers."""
    _, first, inverse = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def replicated(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Copies of the layer that takes longest, again and again, while tiles are left for them: for several
    guesses at what takes longest. Or the copies that are given.
    """
    tables = cut_layers(layers, chip)
    if given.copies is not None:
        return [_copied(tables, given.copies)]
    tiles = [len(table["layer"]) for table in tables]
    count = given.chips or -(-sum(tiles) // chip.tiles)
    works = work_of_vectors(layers, tables, chip)
    found = candidates(tiles, shareable(layers), count * chip.tiles, works)
    return [_copied(tables, copies) for copies in found]


def _copied(tables: Sequence[Table], copies: Sequence[int]) -> Table:
    replicas = []
    for table, number in zip(tables, copies, strict=True):
        for copy in range(number):
            replicas.append({**table, "copy": np.full(len(table["layer"]), copy, np.int32)})
    whole = joined(replicas)
    whole["tile"] = np.arange(len(whole["layer"]), dtype=np.int32)
    return whole


def number_of_copies(layers: Sequence[LayerShape], copies: Mapping[str, int]) -> list[int]:
    """Copies of each layer, those that are given by name and one of each other.

    Raises:
        ConfigError: copies of a layer that is not there, or more than it has vectors to share out.
    """
    most = {layer.name: count for layer, count in zip(layers, shareable(layers), strict=True)}
    for name, number in copies.items():
        if name not in most:
            raise unknown("layer of copies", name, most)
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most[name]:
            raise ConfigError(
                f"copies of layer '{name}' = {number!r}: it has {most[name]} vectors at once to share out; "
                f"give an integer from 1 to {most[name]}"
            )
    return [copies.get(layer.name, 1) for layer in layers]


def time_multiplexed(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """More layers than tiles: the tiles are programmed anew between rounds of whole layers."""
    available = (given.chips or chip.chips) * chip.tiles
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
    return [joined(tables)]


@dataclass(frozen=True, slots=True)
class Strategy:
    """How blocks get their tiles, and why one sits where it sits, in words that a plan keeps."""

    tables: Callable[[Sequence[LayerShape], Chip, Given], list[Table]]  # the fastest is taken
    why: str


STRATEGIES = {
    "per-layer": Strategy(per_layer, "next free tile, no sharing between layers"),
    "packed": Strategy(packed, "packed where it wastes the fewest cells"),
    "replicated": Strategy(replicated, "next free tile"),
    "time-multiplexed": Strategy(
        time_multiplexed, "next free tile of this round; tiles are reprogrammed between rounds"
    ),
}
