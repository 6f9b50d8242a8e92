"""Whether a plan can run, whoever made it: blocks that hold every weight once and stand beside each other."""

from __future__ import annotations

import numpy as np

from crossgrid.kernels.errors import ConfigError

from .layer_shape import LayerShape
from .plan import MappingPlan

#: the sides of a block
ENDS = ("out_start", "out_stop", "in_start", "in_stop")


def check_blocks(plan: MappingPlan, where: str = "the plan") -> None:
    """Raise ``ConfigError`` unless the plan's blocks are its layers, cut along lines, on the tiles it has.

    Each copy of a layer is cut the same, group after group: along the same lines of inputs for all its rows
    of blocks, row after row in the table, numbered in that order. No block is larger than a tile, and blocks
    of one tile and round share no cell.
    """
    numbers = plan.table["layer"]
    if (np.diff(numbers) < 0).any() or len(np.unique(numbers)) != len(plan.layers):
        raise ConfigError(f"{where} must list every layer's blocks, layer after layer; map the model anew")
    for k, layer in enumerate(plan.layers):
        _check_layer(plan, k, layer, where)
    _check_fit(plan, where)
    _check_apart(plan, where)


def _check_layer(plan: MappingPlan, k: int, layer: LayerShape, where: str) -> None:
    rows = plan.layer_rows[k]
    copies, blocks = int(plan.copies[k]), rows.stop - rows.start
    each = blocks // copies
    of_copy, index = plan.table["copy"][rows], plan.table["index"][rows]
    way_out = "cut its copies along the same lines, and list blocks by copy, group, out_start and in_start"
    if blocks % copies or (of_copy != np.repeat(np.arange(copies), each)).any():
        raise ConfigError(f"{where}: layer '{layer.name}' has {blocks} blocks in {copies} copies; {way_out}")
    ends_K4B = np.stack([plan.table[key][rows].reshape(copies, each) for key in ENDS], axis=1)
    ordered = (index.reshape(copies, each) == np.arange(each)).all() and (ends_K4B == ends_K4B[0]).all()
    if not ordered or not _is_cut(ends_K4B[0].astype(np.int64), layer):
        raise ConfigError(
            f"{where}: the {each} blocks of layer '{layer.name}' are no cut of {layer.out} x {layer.in_} "
            f"weights; {way_out}"
        )


def _is_cut(ends_4B: np.ndarray, layer: LayerShape) -> bool:
    """Whether blocks hold a layer's matrix: group after group a grid, or groups side by side in a block."""
    out_start, out_stop, in_start, in_stop = ends_4B
    height, width = layer.out // layer.groups, layer.in_ // layer.groups
    if (out_stop <= out_start).any() or (in_stop <= in_start).any():
        return False
    if ((out_stop - out_start) > height).any():  # several groups each
        whole = _follow(out_start // height, out_stop // height, layer.groups)
        exact = [out_start % height, out_stop % height, in_start % width, in_stop % width]
        same = (out_start // height == in_start // width) & (out_stop // height == in_stop // width)
        return bool(whole and not np.any(exact) and same.all())
    parts = np.array([(out_start == out_start[0]).sum(), (in_start == in_start[0]).sum()])
    columns, rows = int(parts[0]), int(parts[1])
    if len(out_start) != layer.groups * rows * columns:
        return False
    ends_4GRC = ends_4B.reshape(4, layer.groups, rows, columns)
    first = np.arange(layer.groups)[:, None]
    outs_2GR = ends_4GRC[:2, :, :, 0] - first * height
    ins_2GC = ends_4GRC[2:, :, 0] - first * width
    straight = (ends_4GRC[:2] == ends_4GRC[:2, :, :, :1]).all() and (
        ends_4GRC[2:] == ends_4GRC[2:, :, :1]
    ).all()
    alike = (outs_2GR == outs_2GR[:, :1]).all() and (ins_2GC == ins_2GC[:, :1]).all()
    (out_low, out_high), (in_low, in_high) = outs_2GR[:, 0], ins_2GC[:, 0]
    return bool(straight and alike and _follow(out_low, out_high, height) and _follow(in_low, in_high, width))


def _follow(start: np.ndarray, stop: np.ndarray, whole: int) -> bool:
    """Whether parts follow each other from 0 to ``whole``."""
    return bool(start[0] == 0 and stop[-1] == whole and (start[1:] == stop[:-1]).all())


def _check_fit(plan: MappingPlan, where: str) -> None:
    table = plan.table
    kind_of = plan.kind_of(table["tile"])
    if (kind_of != plan.layer_kind[table["layer"]]).any():
        k = int(np.flatnonzero(kind_of != plan.layer_kind[table["layer"]])[0])
        raise ConfigError(
            f"{where}: blocks of layer '{plan.layers[int(table['layer'][k])].name}' are on tiles of several "
            "kinds, which convert differently; keep a layer on one"
        )
    for side in ("out", "in"):
        reach = table[f"{side}_offset"].astype(np.int64) + table[f"{side}_stop"] - table[f"{side}_start"]
        sizes = [getattr(kind, f"tile_{side}") for kind in plan.kinds] or [getattr(plan, f"tile_{side}")]
        limit = np.array(sizes)[kind_of]
        if (reach > limit).any():
            k = int(np.argmax(reach - limit))
            name = plan.layers[int(table["layer"][k])].name
            raise ConfigError(
                f"{where}: a block of layer '{name}' reaches to {side}put {int(reach[k])} of a tile that has "
                f"{int(limit[k])}; cut it smaller"
            )


def _check_apart(plan: MappingPlan, where: str) -> None:
    """Refuse blocks of one tile and round that lie on the same cells."""
    table = plan.table
    key = table["tile"].astype(np.int64) * plan.rounds + table["round"]
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    several = np.flatnonzero(count[inverse] > 1)
    several = several[np.argsort(inverse[several], kind="stable")]
    for held in np.split(several, np.flatnonzero(np.diff(inverse[several])) + 1):
        outs, ins = (
            (table[f"{side}_offset"][held], table[f"{side}_stop"][held] - table[f"{side}_start"][held])
            for side in ("out", "in")
        )
        shared = _overlap(*outs) & _overlap(*ins)
        np.fill_diagonal(shared, False)
        if shared.any():
            a, b = (plan.layers[int(table["layer"][held[k]])].name for k in np.argwhere(shared)[0])
            raise ConfigError(
                f"{where}: blocks of layers '{a}' and '{b}' lie on the same cells of tile "
                f"{plan.address(int(table['tile'][held[0]]))}; give them offsets or tiles of their own"
            )


def _overlap(start_B: np.ndarray, size_B: np.ndarray) -> np.ndarray:
    """Which two of B ranges have something in common, [B, B]."""
    stop_B = start_B + size_B
    common: np.ndarray = (start_B[:, None] < stop_B[None]) & (start_B[None] < stop_B[:, None])
    return common
