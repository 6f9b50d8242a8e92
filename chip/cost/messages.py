"""What is sent between tiles for one input: who sends how much to whom, wherever they stand.

Partial sums of a row of blocks travel to the row's first block, which adds them (as the local digital
units of HERMES do; Le Gallo et al., Nat. Electron. 6, 680, 2023) and sends the result to every tile of
the layers that read it. What joins a layer's outputs on the way (``graph``) travels to those first blocks
too. Images travel once, not unfolded: a tile gets the channels that its rows cover. Of a layer's copies each
makes and gets its share of the vectors, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..description.spec import Chip
from ..plan.graph import join_numbers, source_numbers
from ..plan.plan import LayerShape, MappingPlan


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one kind for one layer and one input. Tiles are given as rows of the plan's table.

    Every row of blocks gets the same inputs from the same tiles: M messages to C blocks, to N rows of them.
    """

    source: np.ndarray | None  # [M]; None: from outside, by the tile at row 0, column 0 of each chip
    target: np.ndarray  # [N, C]
    column: np.ndarray  # [M]: which of the C blocks a message is for
    bits: np.ndarray  # [M], float64: whole numbers, but many


def values_in(layer: LayerShape) -> float:
    """Values that a layer reads for one input: an image once, not its patches."""
    if layer.convolution is None:
        return layer.in_ * layer.vectors
    height, width = layer.convolution.size_in
    return layer.convolution.channels_in * height * width * layer.activity


def messages_of(plan: MappingPlan, chip: Chip) -> Iterator[tuple[int, Messages]]:
    """All messages with the number of the layer that they are for, layer after layer."""
    sources, joins = source_numbers(plan.layers), join_numbers(plan.layers)
    for k, layer in enumerate(plan.layers):
        yield from ((k, messages) for messages in _partial_sums(plan, chip, k))
        cut_KGRC = plan.layer_cut(k)
        inputs = [
            _Extent(_side_by_side(one_GRC), plan.table["in_start"], plan.table["in_stop"], layer.in_)
            for one_GRC in cut_KGRC
        ]
        for source in sources[k]:  # of several, each gives an equal part of what is read
            values = values_in(layer) / len(sources[k])
            yield from ((k, messages) for messages in _shared_out(plan, chip, source, inputs, values))
        outputs = [
            _Extent(mine[None], plan.table["out_start"], plan.table["out_stop"], layer.out)
            for mine in (_homes(one_GRC) for one_GRC in cut_KGRC)
        ]
        for join, number in joins[k]:
            values = number * layer.activity
            yield from ((k, messages) for messages in _shared_out(plan, chip, join, outputs, values))


def _homes(one_GRC: np.ndarray) -> np.ndarray:
    """Of each row of blocks of one copy the first, which has its outputs."""
    homes: np.ndarray = one_GRC[:, :, 0].ravel()
    return homes


def _side_by_side(one_GRC: np.ndarray) -> np.ndarray:
    """Blocks of one copy, [rows, columns]: the columns of all groups, in the order of their inputs."""
    groups, rows, columns = one_GRC.shape
    return one_GRC.transpose(1, 0, 2).reshape(rows, groups * columns)


@dataclass(frozen=True, slots=True)
class _Extent:
    """Blocks that values go to, and which part of them each needs."""

    rows_NC: np.ndarray  # rows of the plan's table; each row of blocks gets all values
    start: np.ndarray  # the table's columns that bound a block's part
    stop: np.ndarray
    size: int  # what they count up to


def _partial_sums(plan: MappingPlan, chip: Chip, k: int) -> Iterator[Messages]:
    """From every other block to the first of its row: its outputs, for the vectors that its copy takes."""
    cut_KGRC, layer = plan.layer_cut(k), plan.layers[k]
    if cut_KGRC.shape[-1] == 1:
        return
    source = cut_KGRC[..., 1:].ravel()
    home = np.repeat(cut_KGRC[..., 0].ravel(), cut_KGRC.shape[-1] - 1)
    out = (plan.table["out_stop"][source] - plan.table["out_start"][source]).astype(np.float64)
    vectors = math.ceil(layer.reuse / len(cut_KGRC)) * layer.activity
    yield Messages(source, home[None], np.arange(len(home)), out * chip.output_bits * vectors)


def _shared_out(
    plan: MappingPlan, chip: Chip, giver: int, to: list[_Extent], values: float
) -> Iterator[Messages]:
    """``values`` values of layer ``giver`` (-1: from outside), shared out among copies ``to``."""
    if giver < 0:
        for extent in to:
            yield _values(plan, chip, None, extent, values / len(to))
        return
    given = [_homes(one_GRC) for one_GRC in plan.layer_cut(giver)]
    for i, homes in enumerate(given):
        first, last = i * len(to) // len(given), -(-(i + 1) * len(to) // len(given))
        for j in range(first, last):
            shared = min((i + 1) / len(given), (j + 1) / len(to)) - max(i / len(given), j / len(to))
            yield _values(plan, chip, homes, to[j], values * shared)


def _values(plan: MappingPlan, chip: Chip, homes: np.ndarray | None, to: _Extent, values: float) -> Messages:
    """To each block its part of ``values`` values, from those of ``homes`` that made it; None: from outside.

    Values are ordered by channel where they are made and where they are needed, so a range of inputs
    is the same fraction of the outputs.
    """
    columns = to.rows_NC[0]
    low, high = to.start[columns] / to.size, to.stop[columns] / to.size
    if homes is None:
        bits = np.ceil(np.round((high - low) * values, 6)) * chip.output_bits
        return Messages(None, to.rows_NC, np.arange(len(columns)), bits)
    made = int(plan.table["out_stop"][homes].max())
    edges = np.append(plan.table["out_start"][homes], made)  # ascending: homes are ordered by row
    low, high = low * made, high * made
    first = np.searchsorted(edges, low + 1e-9, side="right") - 1
    last = np.maximum(np.searchsorted(edges, high - 1e-9, side="left") - 1, first)
    each = last - first + 1
    giver = np.repeat(first - (np.cumsum(each) - each), each) + np.arange(each.sum())
    receiver = np.repeat(np.arange(len(columns)), each)
    overlap = np.minimum(high[receiver], edges[giver + 1]) - np.maximum(low[receiver], edges[giver])
    bits = np.ceil(np.round(overlap * (values / made), 6)) * chip.output_bits
    return Messages(homes[giver], to.rows_NC, receiver, bits)
