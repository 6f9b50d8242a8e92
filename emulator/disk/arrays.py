"""Arrays in the parts of a saved run, as the hosts of tiles write and read them: each its own alone.

Whoever is in another machine may see another folder under the same name: it looks for a file that the driver
put there before it writes, and whoever reads finds the parts by their digests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.errors import ConfigError

from .folder import DIGEST, Folder, Part

#: types of the arrays that tiles have, as numpy writes them
Kind = Literal["<f4", "<f8", "<i8", "<i4", "<u4", "|u1"]

#: a whole number from 0 to 2^63 - 1
Whole = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a part of a saved run."""

    folder: str
    digest: Annotated[bytes, msgspec.Meta(min_length=DIGEST, max_length=DIGEST)]  # of its part
    part_bytes: Whole
    start: Whole  # of its bytes in the part
    kind: Kind
    shape: tuple[Whole, ...]

    @property
    def part(self) -> Part:
        """The part that it is in."""
        return Part(self.digest, self.part_bytes)

    @property
    def nbytes(self) -> int:
        """How many bytes it has."""
        return math.prod(self.shape) * np.dtype(self.kind).itemsize


def write_arrays(folder: str, sign: str, arrays: Sequence[NDArray[Any]]) -> Part | None:
    """A part of these arrays, one behind the other; None where this process sees another folder.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        opened = Folder(folder)
    except ConfigError:  # there is none of that name
        return None
    with opened:
        if not opened.is_signed(sign):
            return None
        return opened.write_part(np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays)


def read_arrays(arrays: Sequence[StoredArray], verify: Collection[bytes]) -> list[NDArray[Any]] | None:
    """The arrays; None where this process does not see their parts.

    Args:
        verify: digests of the parts whose bytes are all read and held against them.

    Raises:
        ConfigError: a part is damaged, or an array holds NaN or infinite numbers.
        StorageError: it cannot be read.
    """
    found = [np.empty(array.shape, array.kind) for array in arrays]
    if not arrays:
        return found
    try:
        folder = Folder(arrays[0].folder)
    except ConfigError:
        return None
    with folder:
        parts = dict.fromkeys(array.part for array in arrays)
        if not all(folder.has_part(part) for part in parts):
            return None
        for part in parts:
            if part.digest in verify:
                folder.verify_part(part)
        for array, values in zip(arrays, found, strict=True):
            folder.read_piece(array.part, array.start, values.reshape(-1).view(np.uint8))
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ConfigError(f"{array.folder}: an array of the saved run holds NaN or infinite numbers")
    return found
