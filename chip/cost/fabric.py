"""Directed links between nodes, and the bits that pass over each: the tiles of chips, or chips themselves.

Nodes stand on equal planes of rows and columns. On a mesh or torus a message goes along its row first, then
along its column (XY routing); on an H-tree up to the smallest square that holds both ends, and down again;
through a star's switch by one link in and one out. Messages of one tree hold the same values and start at
the same node: a link that several of them need carries them once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

DIRECTIONS = ("east", "west", "south", "north")
WAYS = ("up", "down")


@dataclass(frozen=True, slots=True)
class Legs:
    """Messages between nodes of one plane each: arrays of equal length."""

    plane: np.ndarray
    row_a: np.ndarray  # from
    column_a: np.ndarray
    row_b: np.ndarray  # to
    column_b: np.ndarray
    bits: np.ndarray  # float64: whole numbers, but many
    tree: np.ndarray  # int64: equal where values are; messages of one tree start at the same node

    def __len__(self) -> int:
        return len(self.bits)

    def where(self, chosen: np.ndarray) -> Legs:
        """Those of a mask or of indices."""
        return Legs(*(getattr(self, spec.name)[chosen] for spec in fields(self)))


@dataclass(frozen=True, slots=True)
class Fabric:
    """The links of every plane of ``rows`` x ``columns`` nodes."""

    kind: str  # mesh, torus, h-tree, star
    rows: int
    columns: int

    @property
    def levels(self) -> int:
        """Levels of an H-tree's squares, tiles not counted."""
        return (max(self.rows, self.columns) - 1).bit_length()

    @property
    def links(self) -> int:
        """Places of links on a plane; at the edges of a mesh some are none."""
        if self.kind == "h-tree":
            return 2 * sum(rows * columns for rows, columns in self._squares())
        return (2 if self.kind == "star" else 4) * self.rows * self.columns

    def distance(
        self, row_a: np.ndarray, column_a: np.ndarray, row_b: np.ndarray, column_b: np.ndarray
    ) -> np.ndarray:
        """Links between two nodes of a plane."""
        if self.kind == "h-tree":
            return 2 * _bit_length(np.maximum(row_a ^ row_b, column_a ^ column_b))
        if self.kind == "star":
            return 2 * ((row_a != row_b) | (column_a != column_b))
        rows, columns = self._steps(row_a, row_b, self.rows), self._steps(column_a, column_b, self.columns)
        return np.abs(rows) + np.abs(columns)

    def loads(self, legs: Legs, planes: int) -> np.ndarray:
        """Bits over each link, [planes, links]."""
        if self.kind == "h-tree":
            return self._squares_loads(legs, planes)
        if self.kind == "star":
            return self._star_loads(legs, planes)
        return self._lines_loads(legs, planes)

    def link_name(self, link: int) -> tuple[int, int, str]:
        """Row, column and direction of the node that a link of a plane leaves."""
        if self.kind == "h-tree":
            for level, (rows, columns) in enumerate(self._squares()):
                if link < 2 * rows * columns:
                    way, rest = divmod(link, rows * columns)
                    row, column = divmod(rest, columns)
                    return row << level, column << level, f"{WAYS[way]} at level {level + 1}"
                link -= 2 * rows * columns
        way, rest = divmod(link, self.rows * self.columns)
        row, column = divmod(rest, self.columns)
        return row, column, (("out", "in") if self.kind == "star" else DIRECTIONS)[way]

    def _steps(self, a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
        """Steps from a to b with their sign; around a torus the shorter way, rising where both are equal."""
        steps = np.subtract(b, a, dtype=np.int64)
        if self.kind == "torus":
            steps %= size
            steps -= np.where(2 * steps > size, size, 0)
        return steps

    def _lines_loads(self, legs: Legs, planes: int) -> np.ndarray:
        across = self._steps(legs.column_a, legs.column_b, self.columns)
        down = self._steps(legs.row_a, legs.row_b, self.rows)
        loads = np.empty((planes, 4, self.rows, self.columns))
        for k, chosen, steps in _longest(across, legs.tree):
            line = legs.plane[chosen] * self.rows + legs.row_a[chosen]
            run = _run_loads(
                line, legs.column_a[chosen], steps, legs.bits[chosen], planes * self.rows, self.columns
            )
            loads[:, k] = run.reshape(planes, self.rows, self.columns)
        # of a tree's messages those that turn in the same column share the way along it
        turning = legs.tree * self.columns + legs.column_b
        for k, chosen, steps in _longest(down, turning):
            line = legs.plane[chosen] * self.columns + legs.column_b[chosen]
            run = _run_loads(
                line, legs.row_a[chosen], steps, legs.bits[chosen], planes * self.columns, self.rows
            )
            loads[:, 2 + k] = run.reshape(planes, self.columns, self.rows).transpose(0, 2, 1)
        return loads.reshape(planes, -1)

    def _squares(self) -> list[tuple[int, int]]:
        """Of each level but the top the nodes of an H-tree along rows and columns."""
        return [(-(-self.rows >> k), -(-self.columns >> k)) for k in range(self.levels)]

    def _squares_loads(self, legs: Legs, planes: int) -> np.ndarray:
        loads = np.zeros(planes * self.links)
        height = _bit_length(np.maximum(legs.row_a ^ legs.row_b, legs.column_a ^ legs.column_b))
        start = 0
        for level, (rows, columns) in enumerate(self._squares()):
            passing = legs.where(height > level)
            for way, (row, column) in enumerate(
                ((passing.row_a, passing.column_a), (passing.row_b, passing.column_b))
            ):
                link = start + way * rows * columns + (row >> level) * columns + (column >> level)
                _add_once(loads, passing.plane * self.links + link, passing)
            start += 2 * rows * columns
        return loads.reshape(planes, self.links)

    def _star_loads(self, legs: Legs, planes: int) -> np.ndarray:
        loads = np.zeros(planes * self.links)
        passing = legs.where((legs.row_a != legs.row_b) | (legs.column_a != legs.column_b))
        for way, (row, column) in enumerate(
            ((passing.row_a, passing.column_a), (passing.row_b, passing.column_b))
        ):
            link = way * self.rows * self.columns + row * self.columns + column
            _add_once(loads, passing.plane * self.links + link, passing)
        return loads.reshape(planes, self.links)


def _add_once(loads: np.ndarray, link: np.ndarray, legs: Legs) -> None:
    """Add bits at links, those of one tree once."""
    _, first = np.unique(legs.tree * len(loads) + link, return_index=True)
    loads += np.bincount(link[first], legs.bits[first], minlength=len(loads))


def _longest(steps: np.ndarray, tree: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """For rising (0) and falling (1) steps the message of each tree that goes farthest, and how far."""
    order = np.lexsort((steps, tree))
    sorted_tree = tree[order]
    first = np.concatenate([[True], sorted_tree[1:] != sorted_tree[:-1]])[: len(order)]
    last = np.concatenate([first[1:], [True]])[: len(order)]
    rising, falling = order[last], order[first]
    rising, falling = rising[steps[rising] > 0], falling[steps[falling] < 0]
    return [(0, rising, steps[rising]), (1, falling, steps[falling])]


def _run_loads(
    line: np.ndarray, start: np.ndarray, steps: np.ndarray, bits: np.ndarray, lines: int, size: int
) -> np.ndarray:
    """Bits over the link that leaves each node of each line, [lines, size], all steps of the same sign.

    A run of links begins and ends: the sum of what began and did not end is what passes. A line is laid
    out twice, for runs around a torus.
    """
    falls = len(steps) > 0 and steps[0] < 0
    begin = size - 1 - start if falls else start
    width = 2 * size + 1
    change = np.bincount(line * width + begin, bits, minlength=lines * width)
    change -= np.bincount(line * width + begin + np.abs(steps), bits, minlength=lines * width)
    passing = np.cumsum(change.reshape(lines, width), axis=1)
    loads = passing[:, :size] + passing[:, size : 2 * size]
    return loads[:, ::-1] if falls else loads


def _bit_length(values: np.ndarray) -> np.ndarray:
    """Bits that numbers below 2^52 need."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)
