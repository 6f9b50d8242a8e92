"""How often layers are copied: candidates that do not depend on how fast the parts of a chip are.

A vector of a layer takes the reads of its largest block, or what passes the ports of its first tiles; which
takes longer is the chip's. Each of several guesses at it (``exchange``) gives the copies that make its
slowest layer fastest, and who costs them takes the best (``copies_order``). The candidates follow from sizes
and counts alone, so that slower parts, under which each takes as long or longer, never make the best faster.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..cost.messages import values_in
from ..cost.sums import additions
from ..description.adc import row_groups
from ..description.spec import Chip
from ..plan.graph import join_numbers, serial_steps, source_numbers
from ..plan.layer_shape import LayerShape
from .cutting import Table

#: guesses at what a value through a port takes, between those at which ports or reads decide for every layer
GUESSES = 6
#: blocks of all candidates together: so many are costed in some seconds
MOST_BLOCKS = 200_000


class Work(NamedTuple):
    """What one vector that copies can share out makes a layer's tiles do, of a step in a loop."""

    reads: float  # groups of rows that its largest block reads
    values: float  # that enter its first tiles, or leave them


def shareable(layers: Sequence[LayerShape]) -> list[int]:
    """Vectors of each layer that copies can share out: in a loop those of one step."""
    return [-(-layer.reuse // steps) for layer, steps in zip(layers, serial_steps(layers), strict=True)]


def work_of_vectors(layers: Sequence[LayerShape], tables: Sequence[Table], on: Sequence[Chip]) -> list[Work]:
    """The work of one shareable vector of each layer, over all steps of its loop; ``on`` describes the tiles
    that each is on.

    The first tile of each row takes in the partial sums of the others and what joins, and sends the results
    to every row of blocks that reads them.
    """
    steps, readers = serial_steps(layers), _reading_rows(layers, tables, on[0])  # links are the same for all
    joins = join_numbers(layers)
    found = []
    for k, (layer, table, chip) in enumerate(zip(layers, tables, on, strict=True)):
        out = int((table["out_stop"] - table["out_start"]).max())
        in_ = int((table["in_stop"] - table["in_start"]).max())
        columns = int(np.count_nonzero(table["out_start"] == table["out_start"][0]))
        stages = additions(columns, chip.links.sums)
        sums = sum(taker == 0 for stage in stages for _, taker, _ in stage)
        values = in_ / layer.in_ * values_in(layer) + out / layer.out * sum(number for _, number in joins[k])
        taken = sums * out + values / max(layer.vectors, 1.0)
        often = steps[k] * layer.activity
        found.append(Work(often * row_groups(chip, in_), often * max(taken, out * readers[k])))
    return found


def _reading_rows(layers: Sequence[LayerShape], tables: Sequence[Table], chip: Chip) -> list[float]:
    """For each layer how often its outputs are sent: to every row of blocks that reads them, or once."""
    counts = [0.0] * len(layers)
    for table, sources in zip(tables, source_numbers(layers), strict=True):
        rows = int(np.count_nonzero(table["in_start"] == table["in_start"][0]))
        for source in sources:
            if source >= 0:
                counts[source] += 1 if chip.links.multicast else rows
    return counts


def candidates(
    tiles: Sequence[int], vectors: Sequence[int], budgets: Sequence[int], works: Sequence[Work],
    kinds: Sequence[int] | None = None,
) -> list[list[int]]:  # fmt: skip
    """Different copies of each layer, each the best under one guess at what a value takes beside a read.

    ``budgets`` are the tiles of each kind, ``kinds`` says which one each layer is on.
    """
    found: list[list[int]] = []
    for exchange in _exchanges(works):
        pace = [max(work.reads, exchange * work.values) for work in works]
        copies = balance(tiles, vectors, budgets, pace, kinds)
        if copies not in found:
            found.append(copies)
    return found[: max(MOST_BLOCKS // max(sum(budgets), 1), 1)]


def _exchanges(works: Sequence[Work]) -> list[float]:
    """From reads that decide everywhere to values that do: 0, then what makes both equal for some layers."""
    equal = sorted(work.reads / work.values for work in works if work.values > 0.0)
    if not equal:
        return [0.0]
    return [0.0, *np.geomspace(equal[0], 2.0 * equal[-1], GUESSES).tolist()]


def balance(
    tiles: Sequence[int], vectors: Sequence[int], budgets: Sequence[int], pace: Sequence[float] | None = None,
    kinds: Sequence[int] | None = None,
) -> list[int]:  # fmt: skip
    """Copies of each layer that make the slowest one fastest: vectors a copy are ceil(vectors / copies).

    ``pace`` is what one vector of each layer takes; the same for all by default. ``budgets`` are the tiles of
    each kind, ``kinds`` says which one each layer is on; the first by default. The pipeline is as slow
    as its slowest layer, so the slowest gets the next copy; when that one has no room or no more vectors
    to share out, further copies of others would gain nothing.
    """
    pace = [1.0] * len(tiles) if pace is None else pace
    kinds = [0] * len(tiles) if kinds is None else kinds
    copies, left = [1] * len(tiles), list(budgets)
    for kind, count in zip(kinds, tiles, strict=True):
        left[kind] -= count
    queue = [(-count * pace[k], k) for k, count in enumerate(vectors)]
    heapq.heapify(queue)
    while queue:
        _, k = queue[0]
        each = math.ceil(vectors[k] / copies[k])
        if each == 1 or tiles[k] > left[kinds[k]]:
            break
        # the next number of copies that needs fewer vectors of each: no copy that changes nothing
        wanted = -(-vectors[k] // (each - 1))
        if (wanted - copies[k]) * tiles[k] > left[kinds[k]]:
            break
        left[kinds[k]] -= (wanted - copies[k]) * tiles[k]
        copies[k] = wanted
        heapq.heapreplace(queue, (-math.ceil(vectors[k] / wanted) * pace[k], k))
    return copies
