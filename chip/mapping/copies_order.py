"""In which order the copies of layers take tiles: layer after layer, or along the input that they share out.

Copies make and read their share of the vectors in order, so the copies of neighbouring layers that work on
the same part of an input exchange most of what travels. Where layers have many copies, tiles that follow the
input keep it near; where they have few, tiles that follow the layers do.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..cost.cost import cost_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .partition import with_few_crossings


def with_fast_order(plan: MappingPlan, chip: Chip) -> MappingPlan:
    """Of both orders the one with the shorter interval; of a plan without copies the plan itself."""
    in_order = with_few_crossings(plan, chip)
    if not plan.table["copy"].any():
        return in_order
    along = with_few_crossings(_along_input(plan), chip)
    return min((in_order, along), key=lambda candidate: cost_of(candidate, chip).interval_ns)


def _along_input(plan: MappingPlan) -> MappingPlan:
    """Tiles go to copies by the middle of their share of the input; of equal ones layer after layer."""
    table = plan.table
    middle = (table["copy"] + 0.5) / plan.copies[table["layer"]]
    order = np.lexsort((table["index"], table["layer"], middle))
    tile = np.empty(len(order), np.int32)
    tile[order] = np.sort(table["tile"])
    return dataclasses.replace(plan, table={**table, "tile": tile})
