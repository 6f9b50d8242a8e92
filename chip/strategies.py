"""How blocks are assigned to tiles: one function a strategy, from layer shapes to a plan's table.

Tiles are numbered row by row, chip after chip. A strategy that takes a budget gets ``chips``; ``None``
means as many chips as are needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from .plan import LayerShape
from .spec import Chip

Table = dict[str, np.ndarray]


def cut(n: int, limit: int) -> list[tuple[int, int]]:
    """``n`` cut into ceil(n / limit) near-equal parts, the first ``remainder`` of them one larger."""
    parts = 1 if limit <= 0 else -(-n // limit)
    size, remainder = divmod(n, parts)
    edges = [k * size + min(k, remainder) for k in range(parts + 1)]
    return list(itertools.pairwise(edges))


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


STRATEGIES: dict[str, Callable[[Sequence[LayerShape], Chip, int | None], Table]] = {"per-layer": per_layer}
