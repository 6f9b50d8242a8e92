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
from ..plan.layer_shape import LayerShape
from .balance import candidates, shareable, work_of_vectors
from .cutting import Cut, Table, block_columns, blocks_of_layer, cut, cut_full, joined
from .given import Given
from .sharing import fits_when_full, sharings, unshared


def cut_layers(
    layers: Sequence[LayerShape], chip: Chip, given: Given | None = None, by: Cut = cut
) -> list[Table]:
    """Every layer's blocks, cut (near-equally) to the tiles of its kind."""
    given = given or Given()
    kinds = [chip.described(kind) for kind in range(len(chip.kind_names))]
    return [
        block_columns(k, blocks_of_layer(layer, of.tile_out, of.tile_in, by))
        for k, (layer, of) in enumerate((layer, kinds[given.kind(k)]) for k, layer in enumerate(layers))
    ]


def per_layer(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Every block has a tile of its own; tiles are taken in order."""
    table = joined(cut_layers(layers, chip, given))  # the caller checks the fit
    return [unshared(table, given)]


def packed(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Blocks share tiles where that holds up no layer (``sharings``), each cut as by ``per_layer``.

    Blocks that fit the given chips only as full tiles and remainders are cut so; this follows from sizes
    alone, so that what a model computes does not depend on how often its layers are known to be read.
    """
    tables = cut_layers(layers, chip, given)
    if given.chips is not None and not fits_when_full(joined(tables), chip, given):
        tables = cut_layers(layers, chip, given, cut_full)
    return sharings(layers, tables, chip, given)


def replicated(layers: Sequence[LayerShape], chip: Chip, given: Given) -> list[Table]:
    """Copies of the layer that takes longest, again and again, while tiles are left for them: for several
    guesses at what takes longest. Or the copies that are given.
    """
    tables = cut_layers(layers, chip, given)
    if given.copies is not None:
        return [_copied(tables, given.copies, given)]
    tiles = [len(table["layer"]) for table in tables]
    kinds = [given.kind(k) for k in range(len(layers))]
    taken = np.bincount(kinds, tiles, minlength=len(chip.kind_names)).astype(int).tolist()
    each = zip(taken, chip.kind_tiles, strict=True)
    count = given.chips or max(-(-number // there) for number, there in each if number)
    works = work_of_vectors(layers, tables, [chip.described(kind) for kind in kinds])
    budgets = [count * there for there in chip.kind_tiles]
    found = candidates(tiles, shareable(layers), budgets, works, kinds)
    return [_copied(tables, copies, given) for copies in found]


def _copied(tables: Sequence[Table], copies: Sequence[int], given: Given) -> Table:
    replicas = []
    for table, number in zip(tables, copies, strict=True):
        for copy in range(number):
            replicas.append({**table, "copy": np.full(len(table["layer"]), copy, np.int32)})
    return unshared(joined(replicas), given)


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
    """More layers than tiles: the tiles, of all kinds together, are programmed anew between rounds of whole
    layers."""
    tables = cut_layers(layers, chip, given)
    taken, turn = [0] * len(chip.kind_names), 0  # of each kind
    for k, table in enumerate(tables):
        count, kind = len(table["layer"]), given.kind(k)
        available = (given.chips or chip.chips) * chip.kind_tiles[kind]
        if taken[kind] and taken[kind] + count > available:  # a layer that fits is not split between rounds
            taken, turn = [0] * len(taken), turn + 1
        position = taken[kind] + np.arange(count, dtype=np.int64)
        table["tile"] = (position % available).astype(np.int32)
        table["round"] = (turn + position // available).astype(np.int32)
        last = taken[kind] + count - 1
        if last // available:
            taken, turn = [0] * len(taken), turn + last // available
        taken[kind] = last % available + 1
    return [joined(tables)]


@dataclass(frozen=True, slots=True)
class Strategy:
    """How blocks get their tiles, and why one sits where it sits, in words that a plan keeps."""

    tables: Callable[[Sequence[LayerShape], Chip, Given], list[Table]]  # the fastest is taken
    why: str


STRATEGIES = {
    "per-layer": Strategy(per_layer, "next free tile, no sharing between layers"),
    "packed": Strategy(packed, "packed where it wastes the fewest cells and holds nobody up"),
    "replicated": Strategy(replicated, "next free tile"),
    "time-multiplexed": Strategy(
        time_multiplexed, "next free tile of this round; tiles are reprogrammed between rounds"
    ),
}
