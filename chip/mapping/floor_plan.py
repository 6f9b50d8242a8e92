"""Placement on the grid: which tile number stands where, so that messages pass fewer links."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..cost.traffic import HopCount, traffic_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan

#: plans with more blocks than this are not refined by trying swaps
REFINE_BLOCKS = 600
REFINE_TRIALS = 1500


def shorten_traffic(plan: MappingPlan, chip: Chip) -> MappingPlan:
    """The best of several orders of the grid, refined by swaps for small plans; never worse than before."""
    best = plan
    least = float(traffic_of(plan, chip).hop_bits.sum())
    for walk in (snake, bands, hilbert):
        order = walk(*plan.grid)
        candidate = _renumbered(plan, order)
        hops = float(traffic_of(candidate, chip).hop_bits.sum())
        if hops < least:
            best, least = candidate, hops
    if len(plan) <= REFINE_BLOCKS:
        best = _swapped(best, chip)
    return best


def _renumbered(plan: MappingPlan, order: np.ndarray) -> MappingPlan:
    """The plan with the k-th tile of every chip moved to ``order[k]``."""
    chip, tile = np.divmod(plan.table["tile"], len(order))
    table = {**plan.table, "tile": (chip * len(order) + order[tile]).astype(np.int32)}
    return dataclasses.replace(plan, table=table)


def _swapped(plan: MappingPlan, chip: Chip) -> MappingPlan:
    """Swap two tiles of the chips in use (a free one may be of them) where that shortens traffic.

    Trials are drawn from a fixed seed: the same model gets the same plan.
    """
    draw = np.random.default_rng(0)
    tiles = (int(plan.used_tiles.max()) // chip.tiles + 1) * chip.tiles
    hop_count = HopCount(plan, chip)
    position = np.arange(tiles, dtype=np.int32)
    least = hop_count(position)
    moved = draw.choice(plan.used_tiles, REFINE_TRIALS)
    for a, b in zip(moved, draw.integers(tiles, size=REFINE_TRIALS), strict=True):
        position[[a, b]] = position[[b, a]]
        hops = hop_count(position)
        if hops < least:
            least = hops
        else:
            position[[a, b]] = position[[b, a]]
    return dataclasses.replace(plan, table={**plan.table, "tile": position[plan.table["tile"]]})


def snake(rows: int, columns: int) -> np.ndarray:
    """Row by row, every other row backwards."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    grid[1::2] = grid[1::2, ::-1]
    return grid.ravel().astype(np.int32)


def bands(rows: int, columns: int) -> np.ndarray:
    """Bands of four rows, walked column by column, every other band backwards."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    walk = []
    for start in range(0, rows, 4):
        band = grid[start : start + 4]
        band = band[:, ::-1] if (start // 4) % 2 else band
        walk.append(band.T.ravel())
    return np.concatenate(walk).astype(np.int32)


def hilbert(rows: int, columns: int) -> np.ndarray:
    """Along Hilbert's curve over the smallest square of a power of two that holds the grid."""
    side = 1 << (max(rows, columns) - 1).bit_length()
    step = np.arange(side * side)
    row, column = np.zeros_like(step), np.zeros_like(step)
    size, rest = 1, step.copy()
    while size < side:
        right = 1 & (rest // 2)
        up = 1 & (rest ^ right)
        flip = (up == 0) & (right == 1)
        column, row = np.where(flip, size - 1 - column, column), np.where(flip, size - 1 - row, row)
        swap = up == 0
        column, row = np.where(swap, row, column), np.where(swap, column, row)
        column, row = column + size * right, row + size * up
        rest //= 4
        size *= 2
    inside = (row < rows) & (column < columns)
    return (row * columns + column)[inside].astype(np.int32)
