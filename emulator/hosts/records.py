"""What the tiles remember of a pass while somebody can ask for it, and how they learn to forget it."""

from __future__ import annotations

from collections import deque

from ..tiles.bank import Mask

#: what hosts are told to drop: a whole record (number, None), or one pass's gradients (record, number)
Dropped = tuple[int, int | None]


class Record:
    """A forward pass that the tiles remember until it is trained on, or until nobody can ask for it."""

    __slots__ = ("applied", "at_bound", "dropped", "number")

    def __init__(self, number: int, dropped: deque[Dropped]) -> None:
        self.number = number
        self.dropped = dropped
        self.applied = False  # an update consumed it
        self.at_bound: dict[int, Mask] = {}  # by block: results [vectors, out] that stand at the ADC's bound

    def __del__(self) -> None:
        if not self.applied:
            self.dropped.append((self.number, None))


class BackwardPass:
    """Gradients that went backward through a record: the tiles keep them for an update while this lives."""

    __slots__ = ("number", "record", "vectors")

    def __init__(self, number: int, record: Record, vectors: int) -> None:
        self.number, self.record, self.vectors = number, record, vectors

    def __del__(self) -> None:
        if not self.record.applied:
            self.record.dropped.append((self.record.number, self.number))
