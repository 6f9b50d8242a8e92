"""Weights in safetensors files, as the hosts of tiles read them: their own rows and columns alone.

A file is mapped into memory and let go again, so that nobody holds more of it than the blocks that he asked
for. The driver, which knows the files' headers, says where a tensor stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from .layer_spec import LayerSpec
from .values import require_finite

Floats = NDArray[np.float32]

#: safetensors' names of types of numbers and how numpy maps them; the 16 bits of a bfloat16 begin a float32
KINDS = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2"}

#: bytes that are read at once where a whole tensor passes by
PIECE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file."""

    file: str
    file_bytes: int  # of the whole file: another one of this name is refused
    offset: int  # of its first byte
    kind: Literal["F32", "F64", "F16", "BF16"]
    shape: tuple[int, ...]
    number: int | None = None  # of a stack of tensors: which one is meant

    def mapped(self) -> NDArray[Any]:
        """The tensor, mapped; a bfloat16 as its bits.

        Raises:
            StorageError: this machine sees no such file, or another one.
        """
        self._require_file()
        try:
            values = np.memmap(self.file, KINDS[self.kind], "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.file}: it cannot be mapped: {error!s:.160}") from error
        return values if self.number is None else values[self.number]

    def pieces(self) -> Iterator[Floats]:
        """All numbers in their order, some at a time, without the file being mapped.

        Raises:
            StorageError: this machine sees no such file, or another one.
        """
        self._require_file()
        dtype = np.dtype(KINDS[self.kind])
        left = int(np.prod(self.shape, dtype=np.int64))
        try:
            with open(self.file, "rb", buffering=0) as file:
                file.seek(self.offset)
                while left:
                    values = np.fromfile(file, dtype, min(left, PIECE_BYTES // dtype.itemsize))
                    if not len(values):
                        raise StorageError(f"{self.file}: it ends too early; copy it again")
                    left -= len(values)
                    yield as_floats(values, self.kind)
        except OSError as error:
            raise StorageError(f"{self.file}: it cannot be read: {error.strerror or error}") from error

    def _require_file(self) -> None:
        try:
            found = os.stat(self.file).st_size
        except OSError as error:
            raise StorageError(
                f"{self.file}: machine {os.uname().nodename} cannot read it: {error.strerror}; weights= must "
                "be in a directory that all nodes see, under the same name"
            ) from error
        if found != self.file_bytes:
            raise StorageError(
                f"{self.file}: it has {found} bytes on machine {os.uname().nodename} and "
                f"{self.file_bytes} where the driver is; weights= must be the same file on all nodes"
            )


def as_floats(values: NDArray[Any], kind: str) -> Floats:
    """A copy in float32, contiguous."""
    if kind != "BF16":
        return np.array(values, np.float32, order="C")
    bits = np.array(values, np.uint32, order="C")
    bits <<= 16
    return bits.view(np.float32)


def read_blocks(
    spec: LayerSpec, blocks: Sequence[int], weight: Stored, bias: Stored | None
) -> Iterator[tuple[int, Floats]]:
    """What each of the layer's blocks holds of a weight of torch's shape: copies, one at a time.

    Raises:
        InputError: it has NaN or infinite numbers.
        StorageError: the file cannot be read here.
    """
    w_OI, kind = spec.matrix(weight.mapped()), weight.kind
    if bias is not None:  # a column of the tiles: the whole layer is copied
        b_O1 = as_floats(bias.mapped(), bias.kind)[:, None]
        w_OI, kind = np.concatenate([as_floats(w_OI, kind), b_O1], axis=1), "F32"
    for block in blocks:
        held_OI = as_floats(spec.held(block, w_OI), kind)
        require_finite(spec.name, "weight", held_OI)
        yield block, held_OI
