"""The network of a system: links between tiles, ports of tiles, links between chips, and what passes there.

A message from chip to chip leaves and enters by the tile at row 0, column 0; so does what comes from
outside, over a link of its own into each chip. Chips form a near-square mesh that is walked row by row to
and fro, so that chips of neighbouring numbers are neighbours; or a ring; or a star around a switch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..description.spec import Chip
from .fabric import Fabric, Legs
from .messages import Messages

OUTSIDE_TILE = -1


@dataclass(frozen=True, slots=True)
class Pairs:
    """Messages as single pairs of tiles' numbers, those that stay on their tile left out."""

    source: np.ndarray  # OUTSIDE_TILE: from outside
    target: np.ndarray
    bits: np.ndarray
    message: np.ndarray  # equal where the same values go to several tiles
    stage: np.ndarray  # of partial sums: how many were sent before; 0: no partial sums


def pairs_of(parts: Sequence[Messages], tile: np.ndarray) -> Pairs:
    """The pairs of all ``parts``, where row k of the plan's table is on the tile ``tile[k]``."""
    columns: list[list[np.ndarray]] = []
    first = 0
    for part in parts:
        target_NM = np.take(tile[part.target], part.column, axis=1)
        rows, count = target_NM.shape
        source_M = np.full(count, OUTSIDE_TILE) if part.source is None else tile[part.source]
        message_M = np.arange(first, first + count)
        first += count
        of_row = [source_M, part.bits, message_M]
        source, bits, message = of_row if rows == 1 else (np.tile(values, rows) for values in of_row)
        columns.append([source, target_NM.ravel(), bits, message, np.full(rows * count, part.stage)])
    source, target, bits, message, stage = (
        np.concatenate([column[i] for column in columns]) if columns else np.zeros(0, np.int64)
        for i in range(5)
    )
    moving = np.flatnonzero((source != target) & (bits > 0))
    return Pairs(source[moving], target[moving], bits[moving], message[moving], stage[moving])


@dataclass(frozen=True, slots=True)
class Loads:
    """Bits over everything that can fill, of the chips from ``first`` on."""

    first: int
    links: np.ndarray  # [chips, links of a chip]
    sent: np.ndarray  # [chips, tiles]: what each tile sends
    taken: np.ndarray  # [chips, tiles]: what each tile takes in
    crossings: np.ndarray  # [links between chips], of the whole system
    entered: np.ndarray  # [chips]: from outside

    def add(self, other: Loads) -> None:
        """Add the loads of fewer chips."""
        at = slice(other.first - self.first, other.first - self.first + len(other.entered))
        self.links[at] += other.links
        self.sent[at] += other.sent
        self.taken[at] += other.taken
        self.entered[at] += other.entered
        self.crossings[:] += other.crossings

    def busiest(self, network: Network) -> tuple[float, float]:
        """Time in ns that the fullest link or port of tiles takes, and the fullest link of chips."""
        inner = max(float(part.max(initial=0.0)) for part in (self.links, self.sent, self.taken))
        outer = max(float(part.max(initial=0.0)) for part in (self.crossings, self.entered))
        return inner / network.bits_per_ns, outer / network.chip_bits_per_ns

    def slowest(self, network: Network) -> tuple[float, str]:
        """Time in ns of the fullest of all, and its name."""
        found = []
        for kind, part in (("link", self.links), ("sent", self.sent), ("taken", self.taken)):
            if part.size:
                where = int(np.argmax(part))
                found.append((float(part.ravel()[where]) / network.bits_per_ns, kind, where))
        for kind, part in (("crossing", self.crossings), ("entered", self.entered)):
            if part.size:
                where = int(np.argmax(part))
                found.append((float(part[where]) / network.chip_bits_per_ns, kind, where))
        time, kind, where = max(found, default=(0.0, "link", 0), key=lambda entry: entry[0])
        return time, network.name_of(kind, where, self.first)


@dataclass(frozen=True)
class Network:
    """The links of ``chips`` chips like ``chip``."""

    chip: Chip
    chips: int

    @cached_property
    def tiles(self) -> Fabric:
        """Links between the tiles of a chip."""
        return Fabric(self.chip.links.kind, self.chip.grid.rows, self.chip.grid.columns)

    @cached_property
    def between(self) -> Fabric:
        """Links between chips."""
        if self.chip.links.chips == "mesh":
            side = math.isqrt(self.chips - 1) + 1
            return Fabric("mesh", -(-self.chips // side), side)
        return Fabric("torus" if self.chip.links.chips == "ring" else "star", 1, self.chips)

    @property
    def bits_per_ns(self) -> float:
        """Of a link between tiles, and of a tile's port."""
        return self.chip.links.width_bits * max(self.chip.links.clock_ghz.value, 1e-9)

    @property
    def chip_bits_per_ns(self) -> float:
        """Of a link between chips."""
        return self.chip.links.chip_gbit_per_s.value or self.bits_per_ns

    def place_of_chip(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of chips among chips: every other row is walked backwards."""
        row, column = np.divmod(number, self.between.columns)
        return row, np.where(row % 2, self.between.columns - 1 - column, column)

    def name_of(self, kind: str, where: int, first: int) -> str:
        """The name of the ``where``-th link or port of a kind, of loads from chip ``first`` on."""
        if kind == "entered":
            return f"link from outside into chip {first + where}"
        if kind == "crossing":
            row, column, way = self.between.link_name(where)
            number = row * self.between.columns
            number += self.between.columns - 1 - column if row % 2 else column
            return f"link {way} of chip {number}"
        if kind == "link":
            chip, link = divmod(where, self.tiles.links)
            row, column, way = self.tiles.link_name(link)
            return f"link {way} of tile {first + chip}/{row},{column}"
        chip, tile = divmod(where, self.chip.tiles)
        row, column = divmod(tile, self.tiles.columns)
        what = "what leaves" if kind == "sent" else "what enters"
        return f"{what} tile {first + chip}/{row},{column}"

    def distances(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """For each pair the links between tiles and those between chips on its way."""
        chip_a, row_a, column_a, chip_b, row_b, column_b = self._ends(pairs)
        here = chip_a == chip_b
        zero = np.zeros_like(row_a)
        links = np.where(
            here,
            self.tiles.distance(row_a, column_a, row_b, column_b),
            self.tiles.distance(row_a, column_a, zero, zero)
            + self.tiles.distance(zero, zero, row_b, column_b),
        )
        hops = self.between.distance(*self.place_of_chip(chip_a), *self.place_of_chip(chip_b))
        return links, np.where(here, 0, hops)

    def totals(self, pairs: Pairs) -> tuple[float, float]:
        """Bits times links between tiles, and bits times links between chips."""
        if self.chip.links.multicast:
            loads = self.loads(pairs)
            return float(loads.links.sum()), float(loads.crossings.sum())
        links, hops = self.distances(pairs)
        return float((links * pairs.bits).sum()), float((hops * pairs.bits).sum())

    def loads(self, pairs: Pairs) -> Loads:
        """What passes over each link and port."""
        chip_a, row_a, column_a, chip_b, row_b, column_b = self._ends(pairs)
        first = int(min(chip_a.min(initial=self.chips), chip_b.min(initial=self.chips)))
        chips = int(max(chip_a.max(initial=first), chip_b.max(initial=first))) + 1 - first
        over = np.flatnonzero(chip_a != chip_b)
        here = np.flatnonzero(chip_a == chip_b)
        zero = np.zeros(len(over), np.int64)
        ends = (
            (here, chip_a[here], row_a[here], column_a[here], row_b[here], column_b[here]),
            (over, chip_a[over], row_a[over], column_a[over], zero, zero),
            (over, chip_b[over], zero, zero, row_b[over], column_b[over]),
        )
        which, chip, row_p, column_p, row_q, column_q = (
            np.concatenate(column) for column in zip(*ends, strict=True)
        )
        tree = self._trees(pairs.message[which] * self.chips + chip)
        legs = Legs(chip - first, row_p, column_p, row_q, column_q, pairs.bits[which], tree)
        (row_p, column_p), (row_q, column_q) = (self.place_of_chip(part[over]) for part in (chip_a, chip_b))
        tree = self._trees(pairs.message[over])
        crossing = Legs(zero, row_p, column_p, row_q, column_q, pairs.bits[over], tree)
        inside = pairs.source >= 0
        size = chips * self.chip.tiles
        origin = first * self.chip.tiles
        entering = self._once(chip_b, pairs, ~inside)
        return Loads(
            first,
            self.tiles.loads(legs, chips),
            self._port(pairs.source - origin, pairs, inside, size).reshape(chips, -1),
            self._port(pairs.target - origin, pairs, np.ones_like(inside), size).reshape(chips, -1),
            self.between.loads(crossing, 1)[0],
            np.bincount(chip_b[entering] - first, pairs.bits[entering], minlength=chips),
        )

    def nothing(self, chips: int) -> Loads:
        """No loads, of the first ``chips`` chips."""
        tiles = self.chip.tiles
        return Loads(
            0, np.zeros((chips, self.tiles.links)), np.zeros((chips, tiles)), np.zeros((chips, tiles)),
            np.zeros(self.between.links), np.zeros(chips),
        )  # fmt: skip

    def _ends(self, pairs: Pairs) -> tuple[np.ndarray, ...]:
        chip_b, row_b, column_b = self._where(pairs.target)
        chip_a, row_a, column_a = self._where(np.maximum(pairs.source, 0))
        outside = pairs.source < 0
        if outside.any():
            chip_a = np.where(outside, chip_b, chip_a)
            row_a, column_a = np.where(outside, 0, row_a), np.where(outside, 0, column_a)
        return chip_a, row_a, column_a, chip_b, row_b, column_b

    def _where(self, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        number, rest = np.divmod(tile.astype(np.int64), self.chip.tiles)
        return number, *np.divmod(rest, self.chip.grid.columns)

    def _trees(self, message: np.ndarray) -> np.ndarray:
        return message if self.chip.links.multicast else np.arange(len(message))

    def _once(self, where: np.ndarray, pairs: Pairs, chosen: np.ndarray) -> np.ndarray:
        """Indices of the chosen pairs; with multicast the values of a message are at each place once."""
        index = np.flatnonzero(chosen)
        if not self.chip.links.multicast or not len(index):
            return index
        key = pairs.message[index] * (int(where.max()) + 1) + where[index]
        return index[np.unique(key, return_index=True)[1]]

    def _port(self, tile: np.ndarray, pairs: Pairs, chosen: np.ndarray, size: int) -> np.ndarray:
        index = self._once(tile, pairs, chosen)
        return np.bincount(tile[index], pairs.bits[index], minlength=size)
