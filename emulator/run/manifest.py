"""What a saved run's manifest says, and the run: read with every limit held.

Tensors are read here; states of tiles stay in their parts, for the hosts of the tiles to read.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..disk.arrays import Kind, StoredArray
from ..disk.folder import DIGEST, FILE, Folder, Part
from ..nn.state import SavedTiles, unpacked_header
from .tree import Number, unpack_tree, with_tensors

#: torch's types of numbers that a run may hold, by name
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
        "complex64", "complex128",
    )
}  # fmt: skip

#: the type of the states of a matrix' tiles
TILES = "tiles"

#: axes that a tensor may have
AXES = 64


@dataclass(frozen=True, slots=True)
class Saved:
    """A run as it was saved."""

    directory: str
    run: dict[str, Any]  # plain values, see ``_plain``
    model: dict[str, Any]  # tensors, and ``SavedTiles``
    optimizer: dict[str, Any] | None
    scheduler: dict[str, Any] | None
    generators: dict[str, Tensor]
    generator: Tensor  # state of torch's own
    cards: list[Tensor]  # and of its generators on cards


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a part."""

    part: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """An array of a state of tiles, and where it is."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    part: int
    start: int

    @property
    def of_block(self) -> bool:
        """Whether it belongs to one of the tiles, and not to the matrix."""
        return "/" in self.name

    @property
    def nbytes(self) -> int:
        """How many bytes it has."""
        return math.prod(self.shape) * np.dtype(self.kind).itemsize


@dataclass(frozen=True, slots=True)
class TilesEntry:
    """The state of a matrix' tiles on disk."""

    plain: dict[str, Any]
    places: list[Place]


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a run on disk, or the state of a matrix' tiles."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]  # where its bytes are
    head: bytes  # what stands before them
    tiles: TilesEntry | None = None

    @property
    def size(self) -> int:
        """Bytes of a tensor."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder's manifest says."""

    run: dict[str, Any]
    tree: dict[str, Any]  # with a ``Number`` in the place of each tensor
    entries: list[Entry]
    parts: list[Part]

    def in_part(self, part: int) -> list[tuple[int, Piece]]:
        """The tensors of a part, as they lie there."""
        return [
            (k, piece) for k, each in enumerate(self.entries) for piece in each.pieces if piece.part == part
        ]

    def is_of_tiles(self, part: int) -> bool:
        """Whether a part has arrays of tiles alone, which their hosts read."""
        found = [self.entries[number].tiles for number, _ in self.in_part(part)]
        return all(
            tiles is not None and all(place.of_block for place in tiles.places if place.part == part)
            for tiles in found
        )


def read_manifest(folder: Folder) -> Manifest:
    """The manifest of the run in ``folder``, found to be whole and sound.

    Raises:
        ConfigError: it is not, or a part is missing.
    """
    where = folder.path / FILE
    version, data = folder.read_manifest()
    try:
        body = _fields(unpack_tree(data), {"tree": bytes, "tensors": list, "parts": list})
        kinds: dict[str, Any] = {
            "run": dict, "model": dict, "optimizer": (dict, type(None)), "scheduler": (dict, type(None)),
            "generators": dict, "generator": Number, "cards": list,
        }  # fmt: skip
        tree = _fields(unpack_tree(body["tree"]), kinds)
        parts = [_part(each) for each in body["parts"]]
        table = map(_of_version_3, body["tensors"]) if version == 3 else body["tensors"]
        entries = [_entry(each, parts) for each in table]
        found = Manifest(_run(tree["run"]), tree, entries, parts)
        for number, part in enumerate(parts):
            pieces = [piece for _, piece in found.in_part(number)]
            ends = [0, *(piece.start + piece.size for piece in pieces)]
            if [piece.start for piece in pieces] != ends[:-1] or ends[-1] != part.size:
                raise ValueError(f"part {number} is not what its tensors are")
        with_tensors(tree, entries)
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as error:
        raise ConfigError(f"{where}: this is no saved run, or a damaged one: {error!s:.200}") from error
    folder.require_parts(parts)
    return found


def _of_version_3(each: Any) -> Any:
    """A tensor that is in one piece, as it was written then."""
    dtype, shape, part, start, head = each
    if not isinstance(dtype, str) or dtype not in DTYPES or not isinstance(shape, list):
        raise ValueError(f"a tensor {each!r:.80}")
    if not all(map(_is_count, shape)) or not isinstance(head, bytes):
        raise ValueError(f"a tensor {each!r:.80}")
    size = math.prod(shape) * DTYPES[dtype].itemsize - len(head)
    return [dtype, shape, [[part, start, size]], head]


def read_run(directory: str | os.PathLike[str]) -> Saved:
    """The run that was saved in ``directory``.

    Raises:
        ConfigError: there is none, it is damaged, or larger than the memory that is free.
        StorageError: it cannot be read.
    """
    with Folder(directory) as folder:
        manifest = read_manifest(folder)
        here = [number for number in range(len(manifest.parts)) if not manifest.is_of_tiles(number)]
        size, free = sum(manifest.parts[number].size for number in here), psutil.virtual_memory().available
        if size > free:
            raise ConfigError(
                f"{directory}: the run takes {size >> 20} MB, {free >> 20} are free; restore it elsewhere"
            )
        found = [_room(entry, manifest.parts, here, str(folder.path.resolve())) for entry in manifest.entries]
        for number in here:
            buffers = [found[k].buffers[number] for k, _ in manifest.in_part(number)]
            folder.read_part(manifest.parts[number], [each for of_entry in buffers for each in of_entry])
    tree = with_tensors(manifest.tree, [each.value for each in found])
    if not all(isinstance(value, (Tensor, SavedTiles)) for value in tree["model"].values()):
        raise ConfigError(f"{directory}: the saved model holds what is no tensor; restore another run")
    rest = {name: value for name, value in tree.items() if name not in ("run", "model")}
    if not all(isinstance(value, Tensor) for value in tree["cards"]) or _holds_tiles(rest):
        raise ConfigError(f"{directory}: the saved run holds what is no tensor; restore another run")
    return Saved(str(directory), **tree)


def _holds_tiles(tree: Any) -> bool:
    """Whether states of tiles stand where none can be."""
    if isinstance(tree, (dict, list, tuple)):
        return any(map(_holds_tiles, tree.values() if isinstance(tree, dict) else tree))
    return isinstance(tree, SavedTiles)


@dataclass(frozen=True, slots=True)
class _Room:
    """What is read: a tensor or a state of tiles, and where the bytes of each part go."""

    value: Tensor | SavedTiles
    buffers: dict[int, list[NDArray[np.uint8]]]


def _room(entry: Entry, parts: Sequence[Part], here: Sequence[int], folder: str) -> _Room:
    """Memory for what is read ``here``, by the numbers of the parts; the rest stays in ``folder``."""
    if entry.tiles is None:
        tensor = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
        flat = tensor.reshape(-1).view(torch.uint8).numpy()
        flat[: len(entry.head)] = memoryview(entry.head)
        return _Room(tensor, {entry.pieces[0].part: [flat[len(entry.head) :]]})
    arrays: dict[str, NDArray[Any] | StoredArray] = {}
    buffers: dict[int, list[NDArray[np.uint8]]] = {piece.part: [] for piece in entry.pieces}
    for place in entry.tiles.places:
        if place.part in here or not entry.pieces:
            values = np.empty(place.shape, place.kind)
            buffers.setdefault(place.part, []).append(values.reshape(-1).view(np.uint8))
            arrays[place.name] = values
        else:
            part = parts[place.part]
            arrays[place.name] = StoredArray(
                folder, part.digest, part.size, place.start, place.kind, place.shape
            )
    return _Room(SavedTiles(entry.tiles.plain, arrays), buffers)


def _fields(tree: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """``tree``, a mapping of these names to values of these types."""
    if not isinstance(tree, dict) or tree.keys() != kinds.keys():
        raise ValueError(f"its names are {[*tree] if isinstance(tree, dict) else tree!r:.100}")
    for name, kind in kinds.items():
        if not isinstance(tree[name], kind):
            raise ValueError(f"{name} = {tree[name]!r:.80}")
    return tree


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _part(each: Any) -> Part:
    digest, size = each
    if not isinstance(digest, bytes) or len(digest) != DIGEST or not _is_count(size):
        raise ValueError(f"a part {each!r:.80}")
    return Part(digest, size)


def _entry(each: Any, parts: Sequence[Part]) -> Entry:
    """A tensor, or the state of a matrix' tiles, and where its bytes are."""
    dtype, shape, pieces, head = each
    sound = isinstance(dtype, str) and (dtype in DTYPES or dtype == TILES) and isinstance(head, bytes)
    sound = sound and isinstance(shape, list) and len(shape) <= AXES and all(map(_is_count, shape))
    sound = sound and isinstance(pieces, list)
    if not sound or math.prod(max(length, 1) for length in shape) >= 1 << 60:
        raise ValueError(f"a tensor {each!r:.80}")
    for piece in pieces:
        if not isinstance(piece, list) or len(piece) != 3 or not all(map(_is_count, piece)):
            raise ValueError(f"a piece {piece!r:.80}")
        if piece[0] >= len(parts) or piece[1] + piece[2] > parts[piece[0]].size:
            raise ValueError(f"a piece {piece!r:.80} of {len(parts)} parts")
    places = tuple(Piece(*piece) for piece in pieces)
    if dtype == TILES:
        return Entry(dtype, (), places, head, _tiles(head, places))
    entry = Entry(dtype, tuple(shape), places, head)
    if (head and dtype != "uint8") or entry.size < len(head):
        raise ValueError(f"a tensor {each!r:.80}")
    if len(places) != 1 or places[0].size != entry.size - len(head):
        raise ValueError(f"a tensor {each!r:.80} in {len(places)} pieces")
    return entry


def _tiles(head: bytes, pieces: Sequence[Piece]) -> TilesEntry:
    """The state of a matrix' tiles: its arrays lie one behind the other, none in two pieces."""
    plain, table = unpacked_header(head)
    places, left = [], deque(pieces)
    start = left[0].start if left else 0
    for name, kind, shape in table:
        size = math.prod(shape) * np.dtype(kind).itemsize
        while left and size and start == left[0].start + left[0].size:
            left.popleft()
            start = left[0].start if left else 0
        if size and (not left or start + size > left[0].start + left[0].size):
            raise ValueError(f"an array {name!r:.40} of {size} bytes in no piece")
        places.append(Place(name, kind, shape, left[0].part if left else 0, start))
        start += size
    if left and (len(left) > 1 or start != left[0].start + left[0].size):
        raise ValueError("pieces with more bytes than their arrays")
    return TilesEntry(plain, places)


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """The plain values of a run, each of its type."""
    kinds: dict[str, Any] = {
        "chip": (str, type(None)), "chip_identity": (str, bytes, type(None)), "strategy": str,
        "update_delay": int, "samples": int, "batch": int, "keys": dict, "blocks": dict,
    }  # fmt: skip
    _fields(run, kinds | ({"kinds": dict} if "kinds" in run else {}))
    named = run.get("kinds", {}).items()
    sound = all(_is_count(run[name]) for name in ("update_delay", "samples", "batch"))
    sound = sound and all(isinstance(name, str) and _is_count(key) for name, key in run["keys"].items())
    sound = sound and run["keys"].keys() == run["blocks"].keys()
    sound = sound and all(isinstance(name, str) and isinstance(kind, str) for name, kind in named)
    for blocks in run["blocks"].values():
        sound = sound and isinstance(blocks, list)
        sound = sound and all(isinstance(b, list) and len(b) == 2 and all(map(_is_count, b)) for b in blocks)
    if not sound:
        raise ValueError("a number, key or block of it is none")
    return run
