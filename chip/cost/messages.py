"""What is sent between tiles for one input: who sends how much to whom, wherever they stand.

Partial sums of a row of blocks meet in the row's first block (``sums``), which sends the result to every tile
of the layers that read it. What joins a layer's outputs on the way (``graph``) travels to those first blocks
too. Images travel once, not unfolded: a tile gets the channels that its rows cover, of a concatenation from
whom they are. Of a layer's copies each makes and gets its share of every row of an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..description.spec import Chip
from ..plan.graph import join_numbers, source_numbers
from ..plan.layer_shape import LayerShape
from ..plan.plan import MappingPlan
from .sums import additions, sum_bits


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one kind for one layer and one input. Tiles are given as rows of the plan's table.

    Every row of blocks gets the same inputs from the same tiles: M messages to C blocks, to N rows of them.
    """

    source: np.ndarray | None  # [M]; None: from outside, by the tile at row 0, column 0 of each chip
    target: np.ndarray  # [N, C]
    column: np.ndarray  # [M]: which of the C blocks a message is for
    bits: np.ndarray  # [M], float64: whole numbers, but many
    stage: int = 0  # of partial sums: how many were sent before; 0: no partial sums


#: all messages of a plan, each with its layer: whoever tries many places for the same tiles makes them once
Sent = Sequence[tuple[int, Messages]]


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
        for source, part in zip(sources[k], layer.shares, strict=True):
            share = part[1] - part[0] if layer.concatenated else 1.0 / len(sources[k])
            read = [replace(extent, part=part) for extent in inputs]
            found = _shared_out(plan, chip, source, read, values_in(layer) * share)
            yield from ((k, messages) for messages in found)
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
    part: tuple[float, float] = (0.0, 1.0)  # of that, what the values are; the rest comes from others


def _partial_sums(plan: MappingPlan, chip: Chip, k: int) -> Iterator[Messages]:
    """Between the blocks of each row: their outputs added up, for the vectors that a copy takes."""
    cut_KGRC, layer = plan.layer_cut(k), plan.layers[k]
    vectors = math.ceil(layer.reuse / len(cut_KGRC)) * layer.activity
    made_by = chip.described(int(plan.layer_kind[k]))
    for stage, added in enumerate(additions(cut_KGRC.shape[-1], chip.links.sums), start=1):
        givers, takers, terms = (list(column) for column in zip(*added, strict=True))
        source, home = cut_KGRC[..., givers], cut_KGRC[..., takers]
        out = (plan.table["out_stop"][source] - plan.table["out_start"][source]).astype(np.float64)
        bits = out * vectors * np.array([sum_bits(made_by, count) for count in terms])
        number = np.arange(source.size)
        yield Messages(source.ravel(), home.reshape(1, -1), number, bits.ravel(), stage)


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
    first, size = to.part[0], to.part[1] - to.part[0]
    columns = to.rows_NC[0]
    low, high = (np.clip((ends[columns] / to.size - first) / size, 0.0, 1.0) for ends in (to.start, to.stop))
    reading = np.flatnonzero(high > low + 1e-12)
    low, high = low[reading], high[reading]
    if homes is None:
        bits = np.ceil(np.round((high - low) * values, 6)) * chip.output_bits
        return Messages(None, to.rows_NC, reading, bits)
    made = int(plan.table["out_stop"][homes].max())
    edges = np.append(plan.table["out_start"][homes], made)  # ascending: homes are ordered by row
    low, high = low * made, high * made
    first_giver = np.searchsorted(edges, low + 1e-9, side="right") - 1
    last_giver = np.maximum(np.searchsorted(edges, high - 1e-9, side="left") - 1, first_giver)
    each = last_giver - first_giver + 1
    giver = np.repeat(first_giver - (np.cumsum(each) - each), each) + np.arange(each.sum())
    receiver = np.repeat(np.arange(len(reading)), each)
    overlap = np.minimum(high[receiver], edges[giver + 1]) - np.maximum(low[receiver], edges[giver])
    bits = np.ceil(np.round(overlap * (values / made), 6)) * chip.output_bits
    return Messages(homes[giver], to.rows_NC, reading[receiver], bits)
