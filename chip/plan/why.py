"""Why a block of a plan is where it is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .plan import MappingPlan


def reason(plan: MappingPlan, k: int) -> str:
    """Why the ``k``-th block of ``plan`` is cut as it is and sits where it sits."""
    table = plan.table
    layer = plan.layers[int(table["layer"][k])]
    out = int(table["out_stop"][k] - table["out_start"][k])
    in_ = int(table["in_stop"][k] - table["in_start"][k])
    height, width = layer.out // layer.groups, layer.in_ // layer.groups
    size, tile = f"{height} x {width}", f"{plan.tile_out} x {plan.tile_in}"
    kind = plan.kinds[int(plan.layer_kind[int(table["layer"][k])])] if plan.kinds else None
    if kind is not None:
        tile = f"{kind.tile_out} x {kind.tile_in}"
    if layer.groups > 1:
        size = f"a group of {size}"
    if in_ > width:
        cut = (
            f"{in_ // width} of {layer.groups} groups of {height} x {width} side by side on a tile of {tile}"
        )
    elif (out, in_) == (height, width):
        cut = f"{size} fits a tile of {tile}"
    else:
        cut = f"{size} exceeds a tile of {tile}, so cut to {out} x {in_}"
    where = plan.strategy_why or "placed by hand"
    if kind is not None:
        where += f", of kind '{kind.name}'"
    if len(plan) > plan.tiles_used:
        beside = (table["tile"] == table["tile"][k]) & (table["round"] == table["round"][k])
        shared = int(np.count_nonzero(beside)) - 1
        where += f"; shares its tile with {shared} other blocks" if shared else ""
    copies = int(plan.copies[int(table["layer"][k])])
    if copies > 1:
        where += f"; copy {int(table['copy'][k]) + 1} of {copies}, for {layer.reuse} vectors an input"
    if plan.placement != "row-major":
        where += f"; placed by {plan.placement}"
    return f"{cut}; {where}"
