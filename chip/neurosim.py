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

from .plan import LayerShape

#: a tile is at least 4 x 4 subarrays, a PE 2 x 2 (manual V2.1)
TILE, PE = 4, 2


def memory_utilization(layers: Sequence[LayerShape], array: int = 128, novel: bool = False) -> float:
    """Share of the cells of all tiles that hold a weight or a copy of one."""
    positions = _frequent_kernel(layers) if novel else 0
    by_position = [layer for layer in layers if positions and _is_novel(layer, positions, array)]
    unfolded = [layer for layer in layers if layer not in by_position]
    held, cells = _conventional(unfolded, array)
    if by_position:
        held_novel, cells_novel = _novel(by_position, positions, array)
        held, cells = held + held_novel, cells + cells_novel
    return held / cells


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


def _conventional(layers: Sequence[LayerShape], array: int) -> tuple[float, float]:
    """Weights and copies held, and cells, of layers unfolded into matrices; copies of PEs, then in them."""
    tile, pe = TILE * array, PE * array
    held = cells = 0.0
    for layer in layers:
        copies = _copies(tile, layer.in_, layer.out, pe) * _copies(pe, layer.in_, layer.out, array)
        held += copies * layer.weights
        cells += -(-layer.in_ // tile) * -(-layer.out // tile) * tile * tile
    return held, cells


def _novel(layers: Sequence[LayerShape], positions: int, array: int) -> tuple[float, float]:
    """The same of layers that give each kernel position a PE."""
    pe = PE * array
    held = cells = 0.0
    for layer in layers:
        channels = layer.in_ // positions
        held += _copies(pe, channels, layer.out, array) * layer.weights
        cells += -(-channels // pe) * -(-layer.out // pe) * pe * pe * positions
    return held, cells
