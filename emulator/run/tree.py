"""Plain values and tensors as msgpack: how the tree of a run is written, and read with every limit held.

Mappings, lists, tuples, numbers, texts, bytes and tensors; anything else is refused. A tensor stands as its
number; its bytes are elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgpack
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..disk.folder import BODY_BYTES
from ..nn.state import SavedTiles, StoredTensor

#: what stands in a tree by its number: a tensor, one that another process wrote, the state of a matrix' tiles
Leaf: TypeAlias = Tensor | StoredTensor | SavedTiles

#: msgpack's codes of a tensor, which holds its number, and of a tuple, which holds its values
TENSOR, TUPLE = 1, 2

#: the most mappings, lists and tuples that a tree may have
CONTAINERS = 1 << 17


@dataclass(frozen=True, slots=True)
class Number:
    """A tensor's place in a tree that was read."""

    number: int


def pack_tree(tree: Any, tensors: list[Leaf]) -> bytes:
    """``tree`` in msgpack; its tensors are added to ``tensors``.

    Raises:
        ConfigError: it holds something else, or too much.
    """
    data: bytes = msgpack.packb(_numbered(tree, tensors))
    if len(data) > BODY_BYTES:
        raise ConfigError(
            f"{len(data)} bytes of plain values are too many to save, at most {BODY_BYTES} are; keep long "
            "lists out of the state_dict, or make tensors of them"
        )
    return data


def _numbered(tree: Any, tensors: list[Leaf]) -> Any:
    if isinstance(tree, (Tensor, SavedTiles, StoredTensor)):
        tensors.append(tree)
        return msgpack.ExtType(TENSOR, (len(tensors) - 1).to_bytes(4, "big"))
    if isinstance(tree, Mapping):
        return {key: _numbered(value, tensors) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return msgpack.ExtType(TUPLE, msgpack.packb([_numbered(value, tensors) for value in tree]))
    if isinstance(tree, list):
        return [_numbered(value, tensors) for value in tree]
    if tree is None or isinstance(tree, (bool, int, float, str, bytes)):
        return tree
    raise ConfigError(f"a value of type {type(tree).__name__} cannot be saved; keep it out of the state_dict")


def unpack_tree(data: bytes | memoryview) -> Any:
    """What ``pack_tree`` was given, a ``Number`` in the place of each tensor.

    Raises:
        ValueError: these are other bytes, or more than there may be; little memory was taken for them.
    """
    if len(data) > BODY_BYTES:
        raise ValueError(f"{len(data)} bytes of plain values, at most {BODY_BYTES} are read")
    try:
        return _Reader().read(data)
    except (msgpack.UnpackException, RecursionError, TypeError, OverflowError, KeyError) as error:
        raise ValueError(f"no plain values: {error!r:.200}") from error


@dataclass(slots=True)
class _Reader:
    """Reads one tree and counts what it holds."""

    containers: int = 0

    def read(self, data: bytes | memoryview) -> Any:
        return msgpack.unpackb(
            data, strict_map_key=False, ext_hook=self._extension, list_hook=self._count,
            object_hook=self._count,
        )  # fmt: skip

    def _count(self, container: Any) -> Any:
        self.containers += 1
        if self.containers > CONTAINERS:
            raise ValueError(f"more than {CONTAINERS} lists and mappings")
        return container

    def _extension(self, code: int, data: bytes) -> Any:
        self._count(data)
        if code == TENSOR and len(data) == 4:
            return Number(int.from_bytes(data, "big"))
        values = self.read(data) if code == TUPLE else None
        if not isinstance(values, list):
            raise ValueError(f"unknown extension {code}")
        return tuple(values)


def with_tensors(tree: Any, tensors: Sequence[Any]) -> Any:
    """``tree`` with the tensors in their places.

    Raises:
        ValueError: it names one that is not there.
    """
    again = functools.partial(with_tensors, tensors=tensors)
    if isinstance(tree, Number):
        if tree.number >= len(tensors):
            raise ValueError(f"tensor {tree.number} of {len(tensors)}")
        return tensors[tree.number]
    if isinstance(tree, dict):
        return {key: again(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map(again, tree))
    return tree
