"""Several chips with few crossings: where one chip's tiles end and the next one's begin.

Tiles are taken in the order of the layers, so a chip ends somewhere in a layer's rows. Where the chips have
more tiles than are needed, some may stay free, and a chip may end earlier, where fewer bits cross. The
order of tiles is kept, which makes the best ends a sequence that dynamic programming finds.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..cost.messages import Sent
from ..cost.traffic import bits_over_cuts, crossing_bits
from ..description.spec import Chip
from ..plan.plan import MappingPlan


def with_few_crossings(plan: MappingPlan, chip: Chip, sent: Sent | None = None) -> MappingPlan:
    """``plan`` on as many chips, with no more bits between them for one input than with full chips.

    Args:
        sent: the plan's messages, where they are known.
    """
    used = int(plan.table["tile"].max(initial=0)) + 1
    chips = -(-used // chip.tiles)
    spare = chips * chip.tiles - used
    # tiles that are programmed anew serve many layers, those of several kinds stand side by side
    if chips == 1 or spare == 0 or plan.rounds > 1 or plan.kinds:
        return plan
    ends = _best_ends(bits_over_cuts(plan, chip, sent), chips, chip.tiles, spare)
    number = np.searchsorted(ends, plan.table["tile"], side="right")
    starts = np.concatenate([[0], ends])
    tile = number * chip.tiles + plan.table["tile"] - starts[number]
    moved = dataclasses.replace(plan, table={**plan.table, "tile": tile.astype(np.int32)})
    # a message over two ends counted twice until here, so look at what it really is
    return moved if crossing_bits(moved, chip, sent) < crossing_bits(plan, chip, sent) else plan


def _best_ends(cost: np.ndarray, chips: int, tiles: int, spare: int) -> np.ndarray:
    """Ends of all chips but the last: the b_j that make the sum of ``cost[b_j]`` least, chips not overfull.

    With b_j = j tiles - o_j, tiles that stay free are never taken back: o_1 <= o_2 <= ... <= spare.
    """
    offsets = np.arange(spare + 1)
    best = np.zeros(spare + 1)
    choices = np.empty((chips - 1, spare + 1), np.int32)
    for j in range(1, chips):
        # the least of all offsets up to each: where it is, the first one
        least = np.minimum.accumulate(best)
        changes = np.concatenate([[True], least[1:] < least[:-1]])
        choices[j - 1] = np.maximum.accumulate(np.where(changes, offsets, 0))
        best = least + cost[j * tiles - offsets]
    ends = np.empty(chips - 1, np.int64)
    at = int(np.argmin(best))
    for j in range(chips - 1, 0, -1):
        ends[j - 1] = j * tiles - at
        at = int(choices[j - 1, at])
    return ends
