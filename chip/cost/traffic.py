"""What travels between tiles for one input, and how far.

Partial sums of a row of blocks travel to the row's first block, which adds them (as the local digital
units of HERMES do; Le Gallo et al., Nat. Electron. 6, 680, 2023) and sends the result to every tile of
the layers that read it. What joins a layer's outputs on the way (``graph``) travels to those first blocks
too. Images travel once, not unfolded: a tile gets the channels that its rows cover. Every copy is sent
on its own (no multicast).
"""

from __future__ import annotations

import functools
import itertools
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


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic of one input, summed up."""

    hop_bits: np.ndarray  # of each layer: bits times links
    crossing_bits: np.ndarray  # of each layer: bits from chip to chip
    busiest_bits: np.ndarray  # of each layer: bits into the tile that gets most
    busiest_crossing: np.ndarray  # of each layer: bits into the chip that gets most from others
    longest: np.ndarray  # of each layer: links on the longest way
    tile_bits: np.ndarray  # of each tile, where asked for: bits that enter or leave it


def traffic_of(plan: MappingPlan, chip: Chip, per_tile: bool = False) -> Traffic:
    """The traffic of one input. Layers are taken one at a time: a large model has many messages."""
    count = len(plan.layers)
    sums = {key: np.zeros(count) for key in ("hop", "crossing", "busiest", "busiest_crossing", "longest")}
    tile_bits = np.zeros(plan.tiles_available if per_tile else 0)
    tile = plan.table["tile"]
    place = _where(chip, tile)
    for k, group in itertools.groupby(_all_messages(plan, chip), key=lambda pair: pair[0]):
        into_tiles, into_chips = _Sums(), _Sums()
        for _, messages in group:
            crossing = _crossing(place[0], messages)
            links_NM = _links(chip, place, messages, crossing)
            target_NC, bits = tile[messages.target], messages.bits
            column_bits = np.bincount(messages.column, bits, minlength=target_NC.shape[1])
            into_tiles.add(target_NC, column_bits)
            if messages.source is not None:
                source_M = tile[messages.source]
                stays = _staying(source_M, target_NC, messages.column)
                if len(stays):
                    into_tiles.add(source_M[stays], -bits[stays])
                if per_tile:
                    _add_counts(tile_bits, source_M, bits * len(target_NC))
                    np.subtract.at(tile_bits, source_M[stays], bits[stays])
            sums["hop"][k] += _total(links_NM.sum(axis=0, dtype=np.int32), bits)
            sums["longest"][k] = max(sums["longest"][k], float(links_NM.max()))
            for number, crosses_M in crossing:
                over = _total(crosses_M, bits)
                sums["crossing"][k] += over
                into_chips.add(np.array([number]), np.array([over]))
        sums["busiest"][k], sums["busiest_crossing"][k] = into_tiles.most, into_chips.most
        if per_tile:
            tile_bits[into_tiles.low : into_tiles.low + len(into_tiles.amounts)] += into_tiles.amounts
    return Traffic(
        sums["hop"], sums["crossing"], sums["busiest"], sums["busiest_crossing"], sums["longest"], tile_bits
    )


def _staying(source_M: np.ndarray, target_NC: np.ndarray, column_M: np.ndarray) -> np.ndarray:
    """Messages from a tile to itself, each as often as it is one."""
    if source_M.max() < target_NC.min() or source_M.min() > target_NC.max():
        return np.zeros(0, np.intp)
    return np.nonzero(source_M == np.take(target_NC, column_M, axis=1))[1]


def _total(times: np.ndarray, bits: np.ndarray) -> float:
    """Bits, each as often as it counts; without BLAS, whose threads would wait for each other."""
    return float(np.multiply(times, bits).sum())


class _Sums:
    """Amounts by number, for numbers that lie close together."""

    def __init__(self) -> None:
        self.low = 0
        self.amounts: np.ndarray = np.zeros(0)

    def add(self, numbers: np.ndarray, amounts: np.ndarray) -> None:
        """Add amounts, broadcast to the shape of ``numbers``."""
        low, high = int(numbers.min()), int(numbers.max()) + 1
        if len(self.amounts):
            low, high = min(low, self.low), max(high, self.low + len(self.amounts))
        added: np.ndarray = np.bincount(
            (numbers - low).ravel(), np.broadcast_to(amounts, numbers.shape).ravel(), minlength=high - low
        )
        added[self.low - low : self.low - low + len(self.amounts)] += self.amounts
        self.low, self.amounts = low, added

    @property
    def most(self) -> float:
        """The largest amount."""
        return float(self.amounts.max(initial=0.0))


def _add_counts(sums: np.ndarray, where: np.ndarray, amounts: np.ndarray) -> None:
    """Add amounts at places, which lie close together."""
    low = int(where.min())
    added = np.bincount((where - low).ravel(), np.broadcast_to(amounts, where.shape).ravel())
    sums[low : low + len(added)] += added


def crossing_bits(plan: MappingPlan, chip: Chip) -> float:
    """Bits from chip to chip for one input."""
    chip_of = plan.table["tile"] // chip.tiles
    return sum(
        _total(times_M, messages.bits)
        for _, messages in _all_messages(plan, chip)
        for _, times_M in _crossing(chip_of, messages)
    )


def bits_over_cuts(plan: MappingPlan, chip: Chip) -> np.ndarray:
    """For each b the bits that travel between tiles of numbers below b and the others, for one input."""
    tile = plan.table["tile"]
    change = np.zeros(int(tile.max()) + 3)
    for _, messages in _all_messages(plan, chip):
        if messages.source is None:
            continue
        source_M, target_NC = tile[messages.source], tile[messages.target]
        if source_M.max() < target_NC.min() or target_NC.max() < source_M.min():  # no need for pairs
            sign = 1.0 if source_M[0] < target_NC[0, 0] else -1.0
            column_bits = np.bincount(messages.column, messages.bits, minlength=target_NC.shape[1])
            _add_counts(change, source_M + 1, sign * len(target_NC) * messages.bits)
            _add_counts(change, target_NC + 1, -sign * column_bits)
            continue
        target_NM = np.take(target_NC, messages.column, axis=1)
        _add_counts(change, np.minimum(source_M, target_NM) + 1, messages.bits)
        _add_counts(change, np.maximum(source_M, target_NM) + 1, -messages.bits)
    return np.cumsum(change)[:-1]


class HopCount:
    """Bits times links of a small plan under many placements: messages do not depend on where tiles stand."""

    def __init__(self, plan: MappingPlan, chip: Chip) -> None:
        self.chip = chip
        tile = plan.table["tile"]
        pairs = []
        for _, messages in _all_messages(plan, chip):
            target_NM = tile[messages.target][:, messages.column]
            source = np.int32(-1) if messages.source is None else tile[messages.source]
            parts = (source, target_NM, messages.bits)
            pairs.append([np.broadcast_to(part, target_NM.shape).ravel() for part in parts])
        self.source, self.target, self.bits = (np.concatenate([pair[i] for pair in pairs]) for i in range(3))

    def __call__(self, position: np.ndarray) -> float:
        """Bits times links where the tile of number k stands at ``position[k]``."""
        place = _where(self.chip, position)
        outside = self.source < 0
        inner = _flat(self.source[~outside], self.target[~outside], self.bits[~outside])
        total = self._links_of(place, inner)
        outer = _flat(None, self.target[outside], self.bits[outside])
        return total + self._links_of(place, outer)

    def _links_of(self, place: tuple[np.ndarray, ...], messages: Messages) -> float:
        links_NM = _links(self.chip, place, messages, _crossing(place[0], messages))
        return _total(links_NM[0], messages.bits)


def _flat(source: np.ndarray | None, target: np.ndarray, bits: np.ndarray) -> Messages:
    """Messages to a block each."""
    return Messages(source, target[None], np.arange(len(target)), bits)


def values_in(layer: LayerShape) -> int:
    """Values that a layer reads for one input: an image once, not its patches."""
    if layer.convolution is None:
        return layer.in_ * layer.reuse
    height, width = layer.convolution.size_in
    return layer.convolution.channels_in * height * width


def _all_messages(plan: MappingPlan, chip: Chip) -> Iterator[tuple[int, Messages]]:
    starts = np.searchsorted(plan.table["layer"], np.arange(len(plan.layers) + 1))
    table = plan.table

    @functools.cache
    def homes(number: int, every_copy: bool = False) -> np.ndarray:
        rows = np.arange(starts[number], starts[number + 1])
        return rows[(table["in_start"][rows] == 0) & (every_copy | (table["copy"][rows] == 0))]

    joins = join_numbers(plan.layers)
    for k, sources in enumerate(source_numbers(plan.layers)):
        layer, rows = plan.layers[k], np.arange(starts[k], starts[k + 1])
        yield k, _partial_sums(plan, chip, k, rows)
        across = int(np.count_nonzero((table["out_start"][rows] == 0) & (table["copy"][rows] == 0)))
        inputs = Extent(rows.reshape(-1, across), table["in_start"], table["in_stop"], layer.in_)
        for source in sources:  # of several, each gives an equal part of what is read
            from_homes = None if source < 0 else homes(source)
            values = values_in(layer) / (len(sources) * int(plan.copies[k]))
            yield k, _values(plan, chip, from_homes, inputs, values)
        mine = homes(k, every_copy=True).reshape(int(plan.copies[k]), -1)
        outputs = Extent(mine, table["out_start"], table["out_stop"], layer.out)
        for join, number in joins[k]:
            from_homes = None if join < 0 else homes(join)
            yield k, _values(plan, chip, from_homes, outputs, number / int(plan.copies[k]))


@dataclass(frozen=True, slots=True)
class Extent:
    """Blocks that values go to, and which part of them each needs."""

    rows_NC: np.ndarray  # rows of the plan's table; each row of blocks gets all values
    start: np.ndarray  # the table's columns that bound a block's part
    stop: np.ndarray
    size: int  # what they count up to


def _partial_sums(plan: MappingPlan, chip: Chip, k: int, rows: np.ndarray) -> Messages:
    """From every other block to the first of its row: its outputs, for the vectors that its copy takes."""
    table = plan.table
    firsts = rows[table["in_start"][rows] == 0]  # ordered by copy and row, as the rows are
    home = np.repeat(firsts, len(rows) // len(firsts))
    out = (table["out_stop"][rows] - table["out_start"][rows]).astype(np.float64)
    bits = out * chip.output_bits * -(-plan.layers[k].reuse // int(plan.copies[k]))
    return _flat(rows, home, bits)


def _values(plan: MappingPlan, chip: Chip, homes: np.ndarray | None, to: Extent, values: float) -> Messages:
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


#: for each chip that messages come to from others, how often each message [M] does
Crossing = list[tuple[int, np.ndarray]]


def _crossing(chip_of: np.ndarray, messages: Messages) -> Crossing:
    """Which messages cross to another chip, where blocks are on the chips ``chip_of``."""
    if messages.source is None:
        return []
    chip_M, chip_NC = chip_of[messages.source], chip_of[messages.target]
    if chip_NC.min() == chip_NC.max() == chip_M.min() == chip_M.max():
        return []
    found = []
    for number in np.flatnonzero(np.bincount(chip_NC.ravel())).tolist():
        times_C = np.count_nonzero(chip_NC == number, axis=0)
        found.append((number, np.where(chip_M != number, times_C[messages.column], 0)))
    return found


def _links(chip: Chip, place: tuple[np.ndarray, ...], messages: Messages, crossing: Crossing) -> np.ndarray:
    """Links that each message passes, [N, M].

    Between chips a message leaves and enters by the tile at row 0, column 0; so does what comes from outside.
    """
    row_b, column_b = (np.take(part[messages.target], messages.column, axis=1) for part in place[1:])
    zero = np.zeros(1, row_b.dtype)
    if messages.source is None:
        return distance(chip, zero, zero, row_b, column_b)
    chip_a, row_a, column_a = (part[messages.source] for part in place)
    links = distance(chip, row_a, column_a, row_b, column_b)
    if not crossing:
        return links
    crosses = chip_a != np.take(place[0][messages.target], messages.column, axis=1)
    leave = distance(chip, row_a, column_a, zero, zero)
    enter = distance(chip, zero, zero, row_b, column_b)
    return np.where(crosses, leave + enter, links)


def distance(
    chip: Chip, row_a: np.ndarray, column_a: np.ndarray, row_b: np.ndarray, column_b: np.ndarray
) -> np.ndarray:
    """Links between two tiles of one chip."""
    if chip.links.kind == "h-tree":
        # up to the smallest square of 2^n x 2^n tiles that holds both, and down again
        differ = np.maximum(row_a ^ row_b, column_a ^ column_b)
        return _H_TREE_LINKS[differ]
    rows, columns = np.subtract(row_a, row_b), np.subtract(column_a, column_b)
    np.abs(rows, out=rows)  # in place: these arrays are large
    np.abs(columns, out=columns)
    if chip.links.kind == "torus":
        rows = np.minimum(rows, chip.grid.rows - rows)
        columns = np.minimum(columns, chip.grid.columns - columns)
    return np.add(rows, columns, out=rows)


#: by the exclusive or of two places on a line of an H-tree, which is below 2^15 (``_where``)
_H_TREE_LINKS = (2 * np.ceil(np.log2(np.arange(1 << 15) + 1.0))).astype(np.int16)


def _where(chip: Chip, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chip, row and column; rows and columns in 16 bits, a grid's side is far below 2^14 (``spec``)."""
    number, rest = np.divmod(tile, chip.tiles)
    row, column = np.divmod(rest, chip.grid.columns)
    return number, row.astype(np.int16), column.astype(np.int16)
