"""Steps of training that a card repeats by itself: what the host must know of them, and when it cannot.

Kernels of a bank that reports late move their own clocks and counters. The host counts beside them, to know
what it will find; a step that is repeated without the host's code moves the host's numbers by as much as the
step that was watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.arrays.single import SingleDeviceCell

from ..tiles.bank import TileBank, TileStats


class Moves(NamedTuple):
    """What numbers and arrays were moved by."""

    numbers: list[int]
    arrays: list[NDArray[np.int64]]


class HostCounts:
    """Numbers and arrays on the host that a step moves by the same every time."""

    def __init__(self, banks: Sequence[TileBank], others: Sequence[tuple[Any, str]]) -> None:
        """Those of ``banks``, and further attributes of objects."""
        self._numbers = [*others]
        self._arrays: list[NDArray[np.int64]] = []
        counted = [each.name for each in fields(TileStats) if not each.name.endswith("_seconds")]
        for bank in banks:
            self._numbers += [(each, "vectors") for each in (bank.forwards, bank.backwards, bank.updates)]
            self._numbers += [(clock, "tick") for clock in _clocks(bank)]
            self._arrays += [getattr(bank.stats, name) for name in counted]

    def read(self) -> Moves:
        """What they are now."""
        return Moves(
            [getattr(owner, name) for owner, name in self._numbers], [each.copy() for each in self._arrays]
        )

    def since(self, before: Moves) -> Moves:
        """What they were moved by since ``read`` gave ``before``."""
        now = self.read()
        return Moves(
            [a - b for a, b in zip(now.numbers, before.numbers, strict=True)],
            [a - b for a, b in zip(now.arrays, before.arrays, strict=True)],
        )

    def move(self, by: Moves, sign: int = 1) -> None:
        """Move them; back, with ``sign`` -1."""
        for (owner, name), number in zip(self._numbers, by.numbers, strict=True):
            setattr(owner, name, getattr(owner, name) + sign * number)
        for array, moved in zip(self._arrays, by.arrays, strict=True):
            np.add(array, sign * moved, out=array)


def obstacle(bank: TileBank) -> str | None:
    """Why the host must take part in a bank's steps; None: it need not."""
    changing = {"diffusion_rates", "decay_scales"}
    if not bank.takes_masks or not _resident(bank).changing.isdisjoint(changing):
        return (
            "the host follows its updates: those of cells of several devices, of devices that decay or "
            "diffuse, and of exact weights"
        )
    if bank.forward_read.whole_read is None or bank.backward_read.whole_read is None:
        return "its periphery works in slices, in time, or through the wires' equations, on the host"
    return None


def place_of(bank: TileBank) -> Any:
    """The torch device of a bank without obstacle."""
    return _resident(bank).kept_TOI.device


def places(bank: TileBank) -> tuple[int, ...]:
    """Where on the card a bank's tensors are: a step that was captured reads and writes there."""
    resident = _resident(bank)
    held = (resident.kept_TOI, resident.seen_TOI, resident.population)
    return tuple(each.data_ptr() if hasattr(each, "data_ptr") else 0 for each in held)


def release_memory(banks: Sequence[TileBank]) -> None:
    """Take no memory from now on that was used before: what a captured step writes to is its own."""
    for bank in banks:
        bank.forward_read.whole_read.pool.release()
        bank.backward_read.whole_read.pool.release()


def _clocks(bank: TileBank) -> list[Any]:
    reads = bank.forward_read.whole_read, bank.backward_read.whole_read
    return [*(read.prepared.clock for read in reads), _resident(bank).clock]


def _resident(bank: TileBank) -> Any:
    assert isinstance(bank.cell, SingleDeviceCell)
    return bank.cell.array.resident
