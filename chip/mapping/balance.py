"""How often layers are copied: what one vector takes, and copies of whatever takes longest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from ..cost.events import mvm_interval_ns
from ..cost.messages import values_in
from ..cost.network import Network
from ..cost.sums import entering
from ..description.adc import row_groups
from ..description.spec import Chip
from ..plan.graph import join_numbers, serial_steps, source_numbers
from ..plan.plan import LayerShape
from .cutting import Table


def shareable(layers: Sequence[LayerShape]) -> list[int]:
    """Vectors of each layer that copies can share out: in a loop those of one step."""
    return [-(-layer.reuse // steps) for layer, steps in zip(layers, serial_steps(layers), strict=True)]


def vector_times(layers: Sequence[LayerShape], tables: Sequence[Table], chip: Chip) -> list[float]:
    """Time in ns that one shareable vector keeps a layer's tiles or the ports of its first tiles busy.

    The first tile of each row takes in the partial sums of the others and what joins, and sends the results
    to every row of blocks that reads them: a port that is slower than the array sets the pace.
    """
    steps, readers = serial_steps(layers), _reading_rows(layers, tables, chip)
    joins = join_numbers(layers)
    port = Network(chip, 1).bits_per_ns
    times = []
    for k, (layer, table) in enumerate(zip(layers, tables, strict=True)):
        out = int((table["out_stop"] - table["out_start"]).max())
        in_ = int((table["in_stop"] - table["in_start"]).max())
        columns = int(np.count_nonzero(table["out_start"] == table["out_start"][0]))
        per_vector = 1.0 / max(layer.vectors, 1.0)
        values = in_ / layer.in_ * values_in(layer) + out / layer.out * sum(number for _, number in joins[k])
        taken = entering(chip, columns) * out + values * per_vector * chip.output_bits
        sent = out * readers[k] * chip.output_bits
        slowest = max(mvm_interval_ns(chip, row_groups(chip, in_)), taken / port, sent / port)
        times.append(steps[k] * slowest * layer.activity)
    return times


def _reading_rows(layers: Sequence[LayerShape], tables: Sequence[Table], chip: Chip) -> list[float]:
    """For each layer how often its outputs are sent: to every row of blocks that reads them, or once."""
    counts = [0.0] * len(layers)
    for table, sources in zip(tables, source_numbers(layers), strict=True):
        rows = int(np.count_nonzero(table["in_start"] == table["in_start"][0]))
        for source in sources:
            if source >= 0:
                counts[source] += 1 if chip.links.multicast else rows
    return counts


def balance(
    tiles: Sequence[int], vectors: Sequence[int], budget: int, pace: Sequence[float] | None = None
) -> list[int]:
    """Copies of each layer that make the slowest one fastest: vectors a copy are ceil(vectors / copies).

    ``pace`` is what one vector of each layer takes; the same for all by default. The pipeline is as slow
    as its slowest layer, so the slowest gets the next copy; when that one has no room or no more vectors
    to share out, further copies of others would gain nothing.
    """
    pace = [1.0] * len(tiles) if pace is None else pace
    copies = [1] * len(tiles)
    left = budget - sum(tiles)
    queue = [(-count * pace[k], k) for k, count in enumerate(vectors)]
    heapq.heapify(queue)
    while queue:
        _, k = queue[0]
        each = math.ceil(vectors[k] / copies[k])
        if each == 1 or tiles[k] > left:
            break
        # the next number of copies that needs fewer vectors of each: no copy that changes nothing
        wanted = -(-vectors[k] // (each - 1))
        if (wanted - copies[k]) * tiles[k] > left:
            break
        left -= (wanted - copies[k]) * tiles[k]
        copies[k] = wanted
        heapq.heapreplace(queue, (-math.ceil(vectors[k] / wanted) * pace[k], k))
    return copies
