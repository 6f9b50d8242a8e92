"""A run on disk: everything that changes in it, so that it goes on with the same bits.

One file of msgpack objects, never pickle: a header whose tree of plain values names its tensors by number,
then the tensors. The devices' fixed parameters are a function of the layers' keys, so they are not stored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

if TYPE_CHECKING:
    from .emulation import Emulation

FILE = "run.msgpack"
FORMAT = "crossgrid run"
VERSION = 2

#: msgpack's code of a tensor in the tree: its number
TENSOR = 1


def save(
    emulation: Emulation, directory: str | os.PathLike[str], optimizer: torch.optim.Optimizer | None
) -> None:
    """Write the run ``emulation`` into ``directory``: the old file stays until the new one is complete."""
    waiting = [name for name, layer in emulation.layers if layer.awaits_update]
    if waiting:
        raise ConfigError(
            f"layer {waiting[0]}: a pass that went backward is not applied yet; save after optimizer.step()"
        )
    for _, layer in emulation.layers:
        layer.grid.apply_late()
    specs = {name: layer.grid.spec for name, layer in emulation.layers}
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "chip": None if emulation.chip is None else emulation.chip.name,
        "chip_identity": None if emulation.plan is None else emulation.plan.chip_identity,
        "strategy": emulation.strategy,
        "update_delay": emulation.update_delay,
        "samples": emulation.totals.samples,
        "keys": {name: spec.key for name, spec in specs.items()},
        "blocks": {name: [[*tile.shape] for tile in spec.tiles] for name, spec in specs.items()},
        "model": emulation.model.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "generator": torch.get_rng_state(),
    }
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (FILE + ".part")
    with partial.open("wb") as file:
        tensors: list[Tensor] = []
        file.write(msgpack.packb(_numbered(tree, tensors)))
        for tensor in tensors:
            values = tensor.detach().cpu().contiguous()
            name = str(values.dtype).removeprefix("torch.")
            file.write(msgpack.packb([name, list(values.shape), _bytes_of(values)]))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)


@dataclass(frozen=True, slots=True)
class Resume:
    """What a restored run does on entering."""

    directory: str
    saved: dict[str, Any]
    optimizer: torch.optim.Optimizer | None

    def load(self, emulation: Emulation) -> None:
        """Put the saved state onto the tiles and into the model, the optimizer and torch's generator."""
        for name, layer in emulation.layers:
            blocks = [[*tile.shape] for tile in layer.grid.spec.tiles]
            if blocks != self.saved["blocks"][name]:
                raise ConfigError(
                    f"{self.directory}: layer {name} was cut into tiles {self.saved['blocks'][name]}, "
                    f"it is cut into {blocks} now; use the same mapping and chip"
                )
        try:
            emulation.model.load_state_dict(self.saved["model"])
        except (RuntimeError, KeyError) as error:
            raise ConfigError(f"{self.directory}: another model was saved: {error}") from error
        if self.optimizer is not None:
            self.optimizer.load_state_dict(self.saved["optimizer"])
        emulation.totals.samples = self.saved["samples"]
        torch.set_rng_state(self.saved["generator"])


def _numbered(tree: Any, tensors: list[Tensor]) -> Any:
    """``tree`` in msgpack's types, each tensor replaced by its number."""
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return msgpack.ExtType(TENSOR, (len(tensors) - 1).to_bytes(8, "big"))
    if isinstance(tree, Mapping):
        return {key: _numbered(value, tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_numbered(value, tensors) for value in tree]
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise ConfigError(f"a value of type {type(tree).__name__} cannot be saved; keep it out of the state_dict")


def _bytes_of(values: Tensor) -> bytes:
    """The memory of a contiguous tensor: numpy does not know all of torch's types."""
    return values.reshape(-1).view(torch.uint8).numpy().tobytes()


def _tensor_of(dtype: str, shape: list[int], values: bytes) -> Tensor:
    made = torch.empty(shape, dtype=getattr(torch, dtype))
    made.reshape(-1).view(torch.uint8).copy_(torch.from_numpy(np.frombuffer(values, np.uint8).copy()))
    return made


def read_run(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree of the run that was saved in ``directory``, its tensors in place."""
    path = Path(directory) / FILE
    if not path.exists():
        raise ConfigError(f"{path.parent}: there is no {FILE}; give the directory of emulation.save")
    numbers: dict[int, Any] = {}
    with path.open("rb") as file:
        stream = msgpack.Unpacker(file, strict_map_key=False, ext_hook=_Number.of, max_buffer_size=0)
        try:
            tree = next(stream)
            if tree["format"] != FORMAT or tree["version"] != VERSION:
                raise ConfigError(
                    f"{path}: format {tree['format']!r} of version {tree['version']} cannot be read here, "
                    f"only {FORMAT!r} of version {VERSION}"
                )
            for number, (dtype, shape, values) in enumerate(stream):
                numbers[number] = _tensor_of(dtype, shape, values)
            restored: dict[str, Any] = _in_place(tree, numbers)
        except (
            StopIteration,
            AttributeError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
            msgpack.UnpackException,
        ) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path}: this is no saved run, or a damaged one: {error!r}") from error
    return restored


@dataclass(frozen=True, slots=True)
class _Number:
    """A tensor's place in the tree."""

    number: int

    @classmethod
    def of(cls, code: int, number: bytes) -> _Number:
        if code != TENSOR:
            raise ValueError(f"unknown extension {code}")
        return cls(int.from_bytes(number, "big"))


def _in_place(tree: Any, tensors: Mapping[int, Tensor]) -> Any:
    if isinstance(tree, _Number):
        return tensors[tree.number]
    if isinstance(tree, dict):
        return {key: _in_place(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_in_place(value, tensors) for value in tree]
    return tree
