"""Where partial sums of several tiles are added, and how wide they are.

A row of blocks has C partial sums of the same outputs, which meet in its first block. ``star``: all others
send theirs there, and its port takes them one after the other. ``chain``: each adds what the next one sends,
so a sum passes all. ``tree``: neighbours add in pairs, then pairs of pairs, in as many stages as C has bits.
All take C - 1 additions an output; what differs is the way, and how much enters one tile.
"""

from __future__ import annotations

import math

from ..description.adc import row_groups
from ..description.spec import Chip

Stage = list[tuple[int, int, int]]


def additions(columns: int, kind: str) -> list[Stage]:
    """Stage after stage who sends to whom among ``columns`` blocks of a row: giver, taker, and how many
    blocks' sum it sends."""
    if columns == 1:
        return []
    if kind == "star":
        return [[(giver, 0, 1) for giver in range(1, columns)]]
    if kind == "chain":
        return [[(giver, giver - 1, columns - giver)] for giver in range(columns - 1, 0, -1)]
    stages, apart = [], 1
    while apart < columns:
        givers = range(apart, columns, 2 * apart)
        stages.append([(giver, giver - apart, min(apart, columns - giver)) for giver in givers])
        apart *= 2
    return stages


def entering(chip: Chip, columns: int) -> float:
    """Bits of partial sums that enter the first of ``columns`` blocks, for one output of one vector."""
    stages = additions(columns, chip.links.sums)
    return float(sum(sum_bits(chip, terms) for stage in stages for _, taker, terms in stage if taker == 0))


def sum_bits(chip: Chip, terms: int) -> int:
    """Bits of the sum of what ``terms`` blocks made for one output: ``sum_bits``, or all that it has."""
    if chip.sum_bits is not None:
        return chip.sum_bits
    if chip.adc is None:
        return chip.output_bits
    return max(chip.output_bits, _of_one_block(chip) + math.ceil(math.log2(terms)))


def _of_one_block(chip: Chip) -> int:
    """A conversion's bits, and those by which slices, passes and groups of rows are shifted and added."""
    assert chip.adc is not None
    bar, streamed = chip.crossbar, 0
    if chip.dac is not None:
        streamed = max((chip.dac.input_bits or chip.dac.bits) - chip.dac.bits, 0)
    shifted = (chip.slices - 1) * (bar.bits_per_cell or 0) + streamed
    carries = math.ceil(math.log2(row_groups(chip))) + (bar.phases > 1)
    return chip.adc.bits + chip.adc.saved_bits + shifted + carries
