"""Tiles' states in saved runs: each host writes and reads those of its own tiles, and the driver the table.

Where a host's machine sees another folder, the driver writes and reads in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..disk.arrays import StoredArray, read_arrays
from ..disk.folder import Folder, Part
from ..errors import StorageError
from ..tiles.messages import LoadState, LoadStored, ReadState, Saved, SaveState
from .executor import Executor, Ticket

if TYPE_CHECKING:
    from .grid import TileGrid


@dataclass(frozen=True, slots=True)
class Saving:
    """The hosts of a layer's tiles write what changes in them."""

    grid: TileGrid
    folder: Folder
    posted: list[tuple[int, Ticket[Saved]]]

    @classmethod
    def begin(cls, grid: TileGrid, folder: Folder, sign: str) -> Saving:
        """Tell the hosts; ``sign`` is a file of the folder, see ``Folder.signed``."""
        message = SaveState(grid.layer, str(folder.path.resolve()), sign)
        return cls(grid, folder, [(host, grid.executor.submit(host, message)) for host in grid.hosting])

    def end(self) -> dict[str, StoredArray]:
        """Where everything is that changes, keyed ``"block/name"``, in the order of the parts.

        Raises:
            StorageError: a host could not write.
        """
        found: dict[str, StoredArray] = {}
        for host, ticket in self.posted:
            saved = ticket.result()
            if not saved.digest or not self.folder.has_part(Part(saved.digest, saved.part_bytes)):
                saved = self._written_here(host)
            start = 0
            for (block, name), kind, shape in zip(saved.names, saved.kinds, saved.shapes, strict=True):
                array = StoredArray(
                    str(self.folder.path), saved.digest, saved.part_bytes, start, kind, tuple(shape)
                )
                found[f"{block}/{name}"] = array
                start += array.nbytes
        return found

    def _written_here(self, host: int) -> Saved:
        """What a host gave that does not see the folder."""
        state = self.grid.executor.submit(host, ReadState(self.grid.layer)).result()
        part = self.folder.write_part(np.ascontiguousarray(each).reshape(-1) for each in state.values)
        kinds: Any = tuple(each.dtype.str for each in state.values)
        shapes = tuple(tuple(each.shape) for each in state.values)
        return Saved(state.names, kinds, shapes, part.digest, part.size)


def load_stored(
    executor: Executor, layer: int, entries: dict[int, list[tuple[tuple[int, str], StoredArray]]]
) -> None:
    """Let hosts go on as the tiles whose states were saved.

    Args:
        entries: for each host what its tiles have: block, name, and where it is.

    Raises:
        ConfigError: a part is missing or damaged.
    """
    looked_at: set[bytes] = set()
    posted = []
    for host, named in entries.items():
        arrays = tuple(array for _, array in named)
        verify = {array.digest for array in arrays} - looked_at  # the bytes of each part, once
        looked_at |= verify
        message = LoadStored(layer, tuple(name for name, _ in named), arrays, tuple(sorted(verify)))
        posted.append((host, message, executor.submit(host, message)))
    for host, message, ticket in posted:
        if not ticket.result().seen:
            values = _read_here(message.arrays, message.verify)
            executor.submit(host, LoadState(layer, message.names, values)).result()


def _read_here(arrays: Sequence[StoredArray], verify: Sequence[bytes]) -> list[Any]:
    """Arrays for a host that does not see their parts."""
    found = read_arrays(arrays, verify)
    if found is None:
        names = {array.part.name for array in arrays}
        raise StorageError(
            f"{arrays[0].folder}: the part {min(names)} is missing, here and where its tiles are; copy the "
            "whole folder"
        )
    return found
