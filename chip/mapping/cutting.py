"""How a layer's matrix is cut into blocks that fit tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from ..plan.layer_shape import LayerShape

Table = dict[str, np.ndarray]
Cut = Callable[[int, int], list[tuple[int, int]]]


def cut(n: int, limit: int) -> list[tuple[int, int]]:
    """``n`` cut into ceil(n / limit) near-equal parts, the first ``remainder`` of them one larger."""
    parts = 1 if limit <= 0 else -(-n // limit)
    size, remainder = divmod(n, parts)
    edges = [k * size + min(k, remainder) for k in range(parts + 1)]
    return list(itertools.pairwise(edges))


def cut_full(n: int, limit: int) -> list[tuple[int, int]]:
    """``n`` cut into parts of ``limit`` and what remains: the remainder can share a tile."""
    return [(start, min(start + limit, n)) for start in range(0, n, limit)]


def groups_a_tile(layer: LayerShape, tile_out: int, tile_in: int) -> int:
    """How many groups of ``layer`` stand side by side on one tile of such a size; 0: no limit."""
    height, width = layer.out // layer.groups, layer.in_ // layer.groups
    fit = min(tile_out // height if tile_out else layer.groups, tile_in // width if tile_in else layer.groups)
    return max(fit, 1) if layer.grouped == "diagonal" else 1


def blocks_of_layer(layer: LayerShape, tile_out: int, tile_in: int, by: Cut = cut) -> np.ndarray:
    """The blocks of ``layer``, [B, 4]: outputs from and to, inputs from and to, counted through all groups.

    Group after group, each row-major: outputs outer, inputs inner. Groups side by side are one block, which
    holds nothing between the inputs of one and the outputs of another.
    """
    height, width = layer.out // layer.groups, layer.in_ // layer.groups
    joined = groups_a_tile(layer, tile_out, tile_in)
    if joined > 1:
        ends_P2 = np.array(cut(layer.groups, joined))
        return np.concatenate([ends_P2 * height, ends_P2 * width], axis=1)
    outs_R2, ins_C2 = np.array(by(height, tile_out)), np.array(by(width, tile_in))
    one_B4 = np.concatenate(
        [np.repeat(outs_R2, len(ins_C2), axis=0), np.tile(ins_C2, (len(outs_R2), 1))], axis=1
    )
    first_G4 = np.arange(layer.groups)[:, None] * np.array([height, height, width, width])
    return (first_G4[:, None] + one_B4).reshape(-1, 4)


def block_columns(number: int, blocks_B4: np.ndarray) -> Table:
    """The columns of a plan's table for the blocks of layer ``number``, but for their tiles."""
    count = len(blocks_B4)
    zeros = np.zeros(count, np.int32)
    ends = ("out_start", "out_stop", "in_start", "in_stop")
    return {
        "layer": np.full(count, number, np.int32),
        "index": np.arange(count, dtype=np.int32),
        "copy": zeros,
        "round": zeros,
        **dict(zip(ends, blocks_B4.astype(np.int32).T, strict=True)),
        "out_offset": zeros,
        "in_offset": zeros,
    }


def joined(tables: Sequence[Table]) -> Table:
    """Tables one after the other."""
    return {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}
