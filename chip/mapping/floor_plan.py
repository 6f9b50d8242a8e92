"""Placement on the grid: which tile number stands where, so that messages pass fewer links."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..cost.parts import energy_by_part
from ..cost.traffic import WayCost, traffic_of
from ..description.events import Events
from ..description.spec import Chip
from ..plan.plan import MappingPlan

#: plans with more blocks than this are not refined by trying swaps
REFINE_BLOCKS = 600
REFINE_TRIALS = 1500


def shorten_traffic(plan: MappingPlan, chip: Chip) -> MappingPlan:
    """The best of several orders of the grid, refined by swaps for small plans.

    Best is what takes the least energy of links and of crossings between chips together; it is never more
    than before.
    """
    prices = _prices(chip)
    best, least = plan, _cost(plan, chip, prices)
    for walk in (snake, bands, hilbert):
        candidate = _renumbered(plan, walk(*plan.grid))
        cost = _cost(candidate, chip, prices)
        if cost < least:
            best, least = candidate, cost
    if len(plan) <= REFINE_BLOCKS:
        best = _swapped(best, chip, prices)
    return best


def _prices(chip: Chip) -> tuple[float, float]:
    """Energy of a bit over a link between tiles and between chips; bits alone where a chip gives none."""
    of_link, of_crossing = (
        sum(energy_by_part(chip, events, 1).values())
        for events in (Events(hop_bit=1.0), Events(crossing_bit=1.0))
    )
    return (of_link, of_crossing) if of_link or of_crossing else (1.0, 1.0)


def _cost(plan: MappingPlan, chip: Chip, prices: tuple[float, float]) -> float:
    traffic = traffic_of(plan, chip)
    return prices[0] * float(traffic.hop_bits.sum()) + prices[1] * float(traffic.crossing_bits.sum())


def _renumbered(plan: MappingPlan, order: np.ndarray) -> MappingPlan:
    """The plan with the k-th tile of every chip moved to ``order[k]``; of several kinds with the k-th tile of
    each moved to the k-th of its kind along the order."""
    chip, tile = np.divmod(plan.table["tile"], len(order))
    if plan.kinds:
        places = np.arange(len(order))
        walked, order = order[np.argsort(plan.kind_of(order), kind="stable")], np.empty_like(order)
        order[np.argsort(plan.kind_of(places), kind="stable")] = walked
    table = {**plan.table, "tile": (chip * len(order) + order[tile]).astype(np.int32)}
    return dataclasses.replace(plan, table=table)


def _swapped(plan: MappingPlan, chip: Chip, prices: tuple[float, float]) -> MappingPlan:
    """Swap two tiles of the chips in use (a free one may be of them) where that makes traffic cheaper.

    Trials are drawn from a fixed seed: the same model gets the same plan.
    """
    draw = np.random.default_rng(0)
    tiles = (int(plan.used_tiles.max()) // chip.tiles + 1) * chip.tiles
    cost_of_ways = WayCost(plan, chip, *prices)
    position = np.arange(tiles, dtype=np.int32)
    least = cost_of_ways(position)
    moved = draw.choice(plan.used_tiles, REFINE_TRIALS)
    kind = chip.kind_of(position)
    for a, b in zip(moved, draw.integers(tiles, size=REFINE_TRIALS), strict=True):
        if kind[a] != kind[b]:
            continue
        position[[a, b]] = position[[b, a]]
        cost = cost_of_ways(position)
        if cost < least:
            least = cost
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
