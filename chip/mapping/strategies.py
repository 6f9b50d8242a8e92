"""How blocks are assigned to tiles: one function a strategy, from layer shapes to a plan's table.

Tiles are numbered row by row, chip after chip. A strategy that takes a budget gets ``chips``; ``None``
means as many chips as are needed.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from ..description.spec import Chip
from ..plan.plan import LayerShape
from .packing import pack_blocks

Table = dict[str, np.ndarray]


def cut(n: int, limit: int) -> list[tuple[int, int]]:
    """``n`` cut into ceil(n / limit) near-equal parts, the first ``remainder`` of them one larger."""
    parts = 1 if limit <= 0 else -(-n // limit)
    size, remainder = divmod(n, parts)
    edges = [k * size + min(k, remainder) for k in range(parts + 1)]
    return list(itertools.pairwise(edges))


def cut_full(n: int, limit: int) -> list[tuple[int, int]]:
    """``n`` cut into parts of ``limit`` and what remains: the remainder can share a tile."""
    return [(start, min(start + limit, n)) for start in range(0, n, limit)]


def block_columns(
    number: int, out_cuts: Sequence[tuple[int, int]], in_cuts: Sequence[tuple[int, int]]
) -> Table:
    """The blocks of layer ``number``, row-major: outputs outer, inputs inner."""
    out_ON = np.array(out_cuts, np.int32)
    in_IN = np.array(in_cuts, np.int32)
    count = len(out_ON) * len(in_IN)
    zeros = np.zeros(count, np.int32)
    return {
        "layer": np.full(count, number, np.int32),
        "index": np.arange(count, dtype=np.int32),
        "copy": zeros,
        "round": zeros,
        "out_start": np.repeat(out_ON[:, 0], len(in_IN)),
        "out_stop": np.repeat(out_ON[:, 1], len(in_IN)),
        "in_start": np.tile(in_IN[:, 0], len(out_ON)),
        "in_stop": np.tile(in_IN[:, 1], len(out_ON)),
        "out_offset": zeros,
        "in_offset": zeros,
    }


def joined(tables: Sequence[Table]) -> Table:
    """Tables one after the other."""
    return {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}


def cut_layers(layers: Sequence[LayerShape], chip: Chip) -> list[Table]:
    """Every layer's blocks, cut near-equally to the chip's tiles."""
    return [
        block_columns(k, cut(layer.out, chip.tile_out), cut(layer.in_, chip.tile_in))
        for k, layer in enumerate(layers)
    ]


def per_layer(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Every block has a tile of its own; tiles are taken in order."""
    del chips  # the caller checks the fit
    table = joined(cut_layers(layers, chip))
    table["tile"] = np.arange(len(table["layer"]), dtype=np.int32)
    return table


def packed(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Full tiles first; what remains of each layer shares tiles with what remains of others."""
    del chips
    table = joined(
        [
            block_columns(k, cut_full(layer.out, chip.tile_out), cut_full(layer.in_, chip.tile_in))
            for k, layer in enumerate(layers)
        ]
    )
    out = table["out_stop"] - table["out_start"]
    in_ = table["in_stop"] - table["in_start"]
    packed_bins, table["out_offset"], table["in_offset"] = pack_blocks(out, in_, chip.tile_out, chip.tile_in)
    table["tile"] = _in_order_of_appearance(packed_bins)
    return table


def _in_order_of_appearance(bins: np.ndarray) -> np.ndarray:
    """Bins numbered anew, so that tiles follow the order of the layers."""
    _, first, inverse = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def replicated(layers: Sequence[LayerShape], chip: Chip, chips: int | None) -> Table:
    """Copies of the layer that works longest, again and again, while tiles are left for them."""
    tables = cut_layers(layers, chip)
    tiles = [len(table["layer"]) for table in tables]
    count = chips or -(-sum(tiles) // chip.tiles)
    copies = balance(tiles, [layer.reuse for layer in layers], count * chip.tiles)
    replicas = []
    for table, number in zip(tables, copies, strict=True):
        for copy in range(number):
            replicas.append({**table, "copy": np.full(len(table["layer"]), copy, np.int32)})
    whole = joined(replicas)
    whole["tile"] = np.arange(len(whole["layer"]), dtype=np.int32)
    return whole


def balance(tiles: Sequence[int], reuse: Sequence[int], budget: int) -> list[int]:
    """Copies of each layer that make the slowest one fastest: vectors a copy are ceil(reuse / copies).

    The pipeline is as slow as its slowest layer, so the slowest gets the next copy; when that one has
    no room or no more vectors to share out, further copies of others would gain nothing.
    """
    copies = [1] * len(tiles)
    left = budget - sum(tiles)
    queue = [(-vectors, k) for k, vectors in enumerate(reuse)]
    heapq.heapify(queue)
    while queue:
        vectors, k = queue[0]
        if vectors == -1 or tiles[k] > left:
            break
        # the next number of copies that needs fewer vectors of each: no copy that changes nothing
        wanted = -(-reuse[k] // (-vectors - 1))
        if (wanted - copies[k]) * tiles[k] > left:
            break
        left -= (wanted - copies[k]) * tiles[k]
        copies[k] = wanted
        vectors_each = -(-reuse[k] // wanted)
        heapq.heapreplace(queue, (-vectors_each, k))
    return copies


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


STRATEGIES: dict[str, Callable[[Sequence[LayerShape], Chip, int | None], Table]] = {
    "per-layer": per_layer,
    "packed": packed,
    "replicated": replicated,
    "time-multiplexed": time_multiplexed,
}
