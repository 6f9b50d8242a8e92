"""Weights that the hosts of a layer's tiles read from files themselves: what travels is where they stand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..tiles.bank import Floats
from ..tiles.messages import Done, Largest, LookAtStored, WriteStored
from ..tiles.stored import Stored
from .executor import Ticket
from .grid import TileGrid


@dataclass(frozen=True, slots=True)
class StoredMatrix:
    """A matrix in files: its weight, and the bias where the tiles hold both."""

    weight: Stored
    bias: Stored | None = None

    def look(self, grid: TileGrid) -> list[Ticket[Largest]]:
        """Ask the hosts of ``grid`` what the files have for its tiles, see ``largest``."""
        message = LookAtStored(grid.layer, self.weight, self.bias)
        return [grid.executor.submit(host, message) for host in grid.hosting]

    def post(
        self,
        grid: TileGrid,
        scale: Floats | None,
        programmed: int | None = None,
        aged: tuple[float, int] | None = None,
    ) -> list[Ticket[Done]]:
        """Let the hosts of ``grid`` write W / a of a ``scale`` a, [1] or [out], or program it."""
        scales = [] if scale is None else [scale]
        message = WriteStored(grid.layer, self.weight, self.bias, programmed, aged, scales)
        return [grid.executor.submit(host, message) for host in grid.hosting]


def largest(grid: TileGrid, tickets: Sequence[Ticket[Largest]]) -> Floats:
    """The largest magnitude of each output's weights [out]."""
    found_O = np.zeros(grid.spec.out_size, np.float32)
    for ticket in tickets:
        reply = ticket.result()
        for row, values_O in zip(reply.rows, reply.values, strict=True):
            outputs = grid.spec.outputs(row)
            found_O[outputs] = np.maximum(found_O[outputs], values_O)
    return found_O


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A digitally trained weight whose numbers are in a file alone, and how this process gets them there."""

    matrix: StoredMatrix
    read: Callable[[], Any]  # reads them into torch's parameter, which it returns
    lock: Any = field(default_factory=threading.Lock)  # micro-batches may ask at once

    def put_on(
        self, grid: TileGrid, scale: Floats | None, programmed: int | None = None,
        aged: tuple[float, int] | None = None,
    ) -> None:  # fmt: skip
        """Let the tiles hold W / a, or what a programming of it left."""
        for ticket in self.matrix.post(grid, scale, programmed, aged):
            ticket.result()
