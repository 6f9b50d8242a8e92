"""Which of several plans is the fastest, and in which order the copies of its layers take tiles.

Copies make and read their share of the vectors in order, so the copies of neighbouring layers that work on
the same part of an input exchange most of what travels. Where layers have many copies, tiles that follow the
input keep it near; where they have few, tiles that follow the layers do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ..cost.cost import interval_of
from ..cost.messages import Sent, messages_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .partition import with_few_crossings


def fastest(plans: Sequence[MappingPlan], chip: Chip) -> MappingPlan:
    """The plan with the shortest interval, of equal ones the first; plans with copies in both orders.

    None of them depends on how long parts and links take, and each takes no less where these take longer: so
    does the fastest. A chip of faster parts is never the slower one.
    """
    ordered = [order for plan in plans for order in _orders(plan, chip)]
    if len(ordered) == 1:
        return ordered[0][0]
    return min(ordered, key=lambda each: interval_of(each[0], chip, each[1]))[0]


def _orders(plan: MappingPlan, chip: Chip) -> Iterator[tuple[MappingPlan, Sent | None]]:
    """The orders of a plan's copies, with the messages, which are the same in both."""
    if not plan.table["copy"].any():  # a large model has many messages, and they are needed once
        yield with_few_crossings(plan, chip), None
        return
    sent = list(messages_of(plan, chip))
    yield with_few_crossings(plan, chip, sent), sent
    yield with_few_crossings(_along_input(plan), chip, sent), sent


def _along_input(plan: MappingPlan) -> MappingPlan:
    """Tiles go to copies by the middle of their share of the input; of equal ones layer after layer."""
    table = plan.table
    middle = (table["copy"] + 0.5) / plan.copies[table["layer"]]
    order = np.lexsort((table["index"], table["layer"], middle))
    tile = np.empty(len(order), np.int32)
    kind = plan.layer_kind[table["layer"]]
    for each in np.unique(kind).tolist():  # every kind keeps its tiles
        tile[order[kind[order] == each]] = np.sort(table["tile"][kind == each])
    return dataclasses.replace(plan, table={**table, "tile": tile})
