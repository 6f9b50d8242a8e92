"""A run on disk: everything that changes in it, so that it goes on with the same bits.

The folder's manifest holds plain values and says which bytes of which part are which tensor; an analog layer
is a part, the other parameters are one, the rest is one. The devices' fixed parameters are a function of the
layers' keys, so they are not stored.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import psutil
import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..model.analog_model import analog_layers
from ..nn.state import header_bytes
from .folder import DIGEST, FILE, Folder, Part
from .tree import Number, pack_tree, unpack_tree, with_tensors

if TYPE_CHECKING:
    from .emulation import Emulation

#: torch's types of numbers that a run may hold, by name
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
        "complex64", "complex128",
    )
}  # fmt: skip

#: axes that a tensor may have
AXES = 64

Generators: TypeAlias = Mapping[str, "torch.Generator | Tensor"]


def save(
    emulation: Emulation,
    directory: str | os.PathLike[str],
    optimizer: torch.optim.Optimizer | None,
    scheduler: Any,
    generators: Generators,
    batch: int,
) -> None:
    """Write the run ``emulation`` into ``directory``: the old one stays until the new one is complete."""
    waiting = [name for name, layer in emulation.layers if layer.awaits_update]
    if waiting:
        raise ConfigError(
            f"layer {waiting[0]}: a pass that went backward is not applied yet; save after optimizer.step()"
        )
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 0:
        raise ConfigError(f"batch = {batch!r} must be a number of batches, 0 or more")
    for _, layer in emulation.layers:
        layer.grid.apply_late()
    model = emulation.model.state_dict()
    tree = {
        "run": _plain(emulation, batch),
        "model": dict(model),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "generators": {name: _state_of(name, each) for name, each in generators.items()},
        "generator": torch.get_rng_state(),
        "cards": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }
    tensors: list[Tensor] = []
    packed = pack_tree(tree, tensors)
    homes = _homes(emulation, model)
    with Folder(directory, create=True) as folder:
        table, parts = _write_parts(folder, tensors, [homes.get(id(each), _REST) for each in tensors])
        body = pack_tree({"tree": packed, "tensors": table, "parts": [[p.digest, p.size] for p in parts]}, [])
        folder.write_manifest(body, parts)


def _plain(emulation: Emulation, batch: int) -> dict[str, Any]:
    specs = {name: layer.grid.spec for name, layer in emulation.layers}
    return {
        "chip": None if emulation.chip is None else emulation.chip.name,
        "chip_identity": None if emulation.plan is None else emulation.plan.chip_identity,
        "strategy": emulation.strategy,
        "update_delay": emulation.update_delay,
        "samples": emulation.totals.samples,
        "batch": batch,
        "keys": {name: spec.key for name, spec in specs.items()},
        "blocks": {name: [[*tile.shape] for tile in spec.tiles] for name, spec in specs.items()},
    }


def _state_of(name: str, generator: Any) -> Tensor:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, Tensor) and generator.dtype is torch.uint8:
        return generator
    raise ConfigError(
        f"generators[{name!r}] is of type {type(generator).__name__}; give a torch.Generator, or what its "
        "get_state() gave"
    )


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a tensor is written."""

    part: str
    tiles: bool = False  # whether it is the state of an analog matrix' tiles, which begins with a header


_REST = _Home("rest")


def _homes(emulation: Emulation, model: Mapping[str, Any]) -> dict[int, _Home]:
    """For each tensor of the model's state, by its identity, where it is written: each layer is a part."""
    layers = dict(analog_layers(emulation.model))
    states = {
        f"{name}.{matrix.tiles_path}.state".lstrip(".")
        for name, layer in layers.items()
        for matrix in layer.matrices().values()
    }
    homes = {}
    for key, value in model.items():
        owners = [name for name in layers if not name or key.startswith(f"{name}.")]
        part = f"layer {max(owners, key=len)}" if owners else "model"
        homes[id(value)] = _Home(part, key in states)
    return homes


def _write_parts(
    folder: Folder, tensors: Sequence[Tensor], homes: Sequence[_Home]
) -> tuple[list[Any], list[Part]]:
    """The parts, and a table of each tensor's type, shape, part, place there and first bytes.

    The header of tiles' states counts reads: it stands in the table, so that a part changes with its tiles.
    """
    table: list[Any] = [None] * len(tensors)
    parts: list[Part] = []
    for name in dict.fromkeys(home.part for home in homes):
        pieces, start = [], 0
        for number, (tensor, home) in enumerate(zip(tensors, homes, strict=True)):
            if home.part == name:
                values = tensor.detach().cpu().contiguous()
                flat = values.reshape(-1).view(torch.uint8).numpy()
                head = header_bytes(flat) if home.tiles else 0
                dtype = str(values.dtype).removeprefix("torch.")
                if dtype not in DTYPES:
                    raise ConfigError(f"a tensor of type {dtype} cannot be saved; convert it to float32")
                table[number] = [dtype, [*values.shape], len(parts), start, flat[:head].tobytes()]
                pieces.append(flat[head:])
                start += len(flat) - head
        parts.append(folder.write_part(pieces))
    return table, parts


@dataclass(frozen=True, slots=True)
class Saved:
    """A run as it was saved."""

    directory: str
    run: dict[str, Any]  # plain values, see ``_plain``
    model: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    scheduler: dict[str, Any] | None
    generators: dict[str, Tensor]
    generator: Tensor  # state of torch's own
    cards: list[Tensor]  # and of its generators on cards


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a run on disk."""

    dtype: str
    shape: tuple[int, ...]
    part: int
    start: int  # of its bytes in the part
    head: bytes  # what stands before them

    @property
    def size(self) -> int:
        """Bytes of it in the part."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize - len(self.head)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder's manifest says."""

    run: dict[str, Any]
    tree: dict[str, Any]  # with a ``Number`` in the place of each tensor
    entries: list[Entry]
    parts: list[Part]

    def in_part(self, part: int) -> list[int]:
        """The numbers of the tensors of a part, as they lie there."""
        return [number for number, entry in enumerate(self.entries) if entry.part == part]


def read_manifest(folder: Folder) -> Manifest:
    """The manifest of the run in ``folder``, found to be whole and sound.

    Raises:
        ConfigError: it is not, or a part is missing.
    """
    where = folder.path / FILE
    try:
        body = _fields(unpack_tree(folder.read_manifest()), {"tree": bytes, "tensors": list, "parts": list})
        kinds: dict[str, Any] = {
            "run": dict, "model": dict, "optimizer": (dict, type(None)), "scheduler": (dict, type(None)),
            "generators": dict, "generator": Number, "cards": list,
        }  # fmt: skip
        tree = _fields(unpack_tree(body["tree"]), kinds)
        parts = [_part(each) for each in body["parts"]]
        entries = [_entry(each, len(parts)) for each in body["tensors"]]
        found = Manifest(_run(tree["run"]), tree, entries, parts)
        for number, part in enumerate(parts):
            places = [entries[k] for k in found.in_part(number)]
            ends = [0, *(entry.start + entry.size for entry in places)]
            if [entry.start for entry in places] != ends[:-1] or ends[-1] != part.size:
                raise ValueError(f"part {number} is not what its tensors are")
        with_tensors(tree, entries)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: this is no saved run, or a damaged one: {error!s:.200}") from error
    folder.require_parts(parts)
    return found


def read_run(directory: str | os.PathLike[str]) -> Saved:
    """The run that was saved in ``directory``.

    Raises:
        ConfigError: there is none, it is damaged, or larger than the memory that is free.
        StorageError: it cannot be read.
    """
    with Folder(directory) as folder:
        manifest = read_manifest(folder)
        size, free = sum(part.size for part in manifest.parts), psutil.virtual_memory().available
        if size > free:
            raise ConfigError(
                f"{directory}: the run takes {size >> 20} MB, {free >> 20} are free; restore it elsewhere"
            )
        tensors: list[Any] = [None] * len(manifest.entries)
        for number, part in enumerate(manifest.parts):
            buffers = []
            for k in manifest.in_part(number):
                entry = manifest.entries[k]
                tensors[k] = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
                flat = tensors[k].reshape(-1).view(torch.uint8).numpy()
                flat[: len(entry.head)] = memoryview(entry.head)
                buffers.append(flat[len(entry.head) :])
            folder.read_part(part, buffers)
    tree = with_tensors(manifest.tree, tensors)
    if not all(isinstance(value, Tensor) for value in (*tree["model"].values(), *tree["cards"])):
        raise ConfigError(f"{directory}: the saved model holds what is no tensor; restore another run")
    return Saved(str(directory), **tree)


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


def _entry(each: Any, parts: int) -> Entry:
    dtype, shape, part, start, head = each
    sound = isinstance(dtype, str) and dtype in DTYPES and isinstance(head, bytes)
    sound = sound and isinstance(shape, list) and len(shape) <= AXES and all(map(_is_count, shape))
    sound = sound and _is_count(part) and part < parts and _is_count(start)
    if not sound or (head and (dtype != "uint8" or math.prod(shape) < len(head))):
        raise ValueError(f"a tensor {each!r:.80}")
    if math.prod(max(length, 1) for length in shape) >= 1 << 60:
        raise ValueError(f"a tensor of shape {shape!r:.80}")
    return Entry(dtype, tuple(shape), part, start, head)


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """The plain values of a run, each of its type."""
    kinds: dict[str, Any] = {
        "chip": (str, type(None)), "chip_identity": (str, bytes, type(None)), "strategy": str,
        "update_delay": int, "samples": int, "batch": int, "keys": dict, "blocks": dict,
    }  # fmt: skip
    _fields(run, kinds)
    sound = all(_is_count(run[name]) for name in ("update_delay", "samples", "batch"))
    sound = sound and all(isinstance(name, str) and _is_count(key) for name, key in run["keys"].items())
    sound = sound and run["keys"].keys() == run["blocks"].keys()
    for blocks in run["blocks"].values():
        sound = sound and isinstance(blocks, list)
        sound = sound and all(isinstance(b, list) and len(b) == 2 and all(map(_is_count, b)) for b in blocks)
    if not sound:
        raise ValueError("a number, key or block of it is none")
    return run
