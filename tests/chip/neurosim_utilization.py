"""NeuroSim's own count of memory utilization, for comparison with its published figures.

NeuroSim groups subarrays into processing elements (PE) and these into tiles that hold one layer each, and
fills what a small layer leaves free with copies of it; its utilization is the share of cells of whole
tiles that hold a weight or a copy (DNN+NeuroSim manual, section "floorplan"; Peng et al., IEDM 2019).
A plan's ``utilization`` differs: it counts subarrays (tiles here) alone, and no copies.

Conventional mapping unfolds a kernel into one tall matrix; the novel mapping gives each of the k x k
positions of the most frequent kernel a PE of its own (Peng et al., ISCAS 2019).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crossgrid.chip import LayerShape


@dataclass(frozen=True, slots=True)
class FloorPlan:
    """How large NeuroSim makes its units, and how it averages."""

    tile: int  # subarrays along a side of a tile
    pe: int  # ... of a processing element
    columns: int  # columns of cells that one weight takes
    of_tiles: bool  # the mean over tiles, which differ in size under novel mapping; else over cells


#: The figures of the V1.0 manual, table I: 8-bit weights on 1-bit cells; the program prints a mean over tiles
V1_0 = FloorPlan(tile=8, pe=4, columns=8, of_tiles=True)
#: Those of the V2.1 manual: a weight on one cell, the smallest units
V2_1 = FloorPlan(tile=4, pe=2, columns=1, of_tiles=False)


def memory_utilization(
    layers: Sequence[LayerShape], array: int = 128, novel: bool = False, plan: FloorPlan = V2_1
) -> float:
    """Share of the cells of all tiles that hold a weight or a copy of one."""
    positions = _frequent_kernel(layers) if novel else 0
    held = used = 0.0
    for layer in layers:
        if positions and _is_novel(layer, positions, array):
            share, tiles, cells = _novel(layer, positions, array, plan)
        else:
            share, tiles, cells = _conventional(layer, array, plan)
        weight = tiles if plan.of_tiles else tiles * cells
        held, used = held + share * weight, used + weight
    return held / used


def _frequent_kernel(layers: Sequence[LayerShape]) -> int:
    sizes = Counter(math.prod(layer.convolution.kernel) for layer in layers if layer.convolution)
    sizes.pop(1, None)
    return sizes.most_common(1)[0][0] if sizes else 0


def _is_novel(layer: LayerShape, positions: int, array: int) -> bool:
    """Layers with the frequent kernel that fill at least a subarray's rows."""
    shape = layer.convolution
    return shape is not None and math.prod(shape.kernel) == positions and layer.in_ >= array


def _copies(size: int, layer_in: int, layer_out: int, unit: int) -> int:
    """Copies of a matrix that fit a square of ``size`` in steps of ``unit``; at least the one.

    Only a matrix that fits the square in one dimension is copied.
    """
    if layer_in > size and layer_out > size:
        return 1
    down, across = (size // unit) // -(-layer_in // unit), (size // unit) // -(-layer_out // unit)
    return max(down, 1) * max(across, 1)


def _conventional(layer: LayerShape, array: int, plan: FloorPlan) -> tuple[float, int, int]:
    """Share of its tiles' cells that an unfolded layer and its copies fill, tiles, and cells of a tile.

    Copies of PEs fill the tile, then copies of subarrays the PEs.
    """
    tile, pe, out = plan.tile * array, plan.pe * array, layer.out * plan.columns
    copies = _copies(tile, layer.in_, out, pe) * _copies(pe, layer.in_, out, array)
    tiles = -(-layer.in_ // tile) * -(-out // tile)
    return copies * layer.in_ * out / (tiles * tile * tile), tiles, tile * tile


def _novel(layer: LayerShape, positions: int, array: int, plan: FloorPlan) -> tuple[float, int, int]:
    """The same of a layer that gives each kernel position a PE; a tile has one for each position."""
    pe, out, channels = plan.pe * array, layer.out * plan.columns, layer.in_ // positions
    copies = _copies(pe, channels, out, array)
    tiles, cells = -(-channels // pe) * -(-out // pe), pe * pe * positions
    return copies * layer.in_ * out / (tiles * cells), tiles, cells
