"""A run on disk: everything that changes in it, so that it goes on with the same bits.

The folder's manifest holds plain values and says which bytes of which parts are which tensor. Whoever hosts
tiles of a layer writes their state as a part of its own, beside them; what else a layer has is a part, the
other parameters are one, the rest is one. The devices' fixed parameters are a function of the layers' keys,
and the weight of a layer that learns by pulses is what its tiles hold: neither is stored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..disk.arrays import StoredArray
from ..disk.folder import Folder, Part
from ..hosts.saved import Saving
from ..model.analog_model import analog_layers
from ..nn.matrix import AnalogMatrix
from ..nn.state import Arrays, SavedTiles, StoredTensor, Writer, as_bytes, packed_header, written_by
from ..stages.optimizers import names_of
from .manifest import DTYPES, TILES
from .tree import Leaf, pack_tree

if TYPE_CHECKING:
    from .emulation import Emulation

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
    with Folder(directory, create=True) as folder:
        with folder.signed() as sign:
            model, of_optimizer = _states(emulation, optimizer, folder, sign)
        tree = {
            "run": _plain(emulation, batch),
            "model": model,
            "optimizer": of_optimizer,
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "generators": {name: _state_of(name, each) for name, each in generators.items()},
            "generator": torch.get_rng_state(),
            "cards": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        }
        tensors: list[Leaf] = []
        packed = pack_tree(tree, tensors)
        homes = _homes(emulation, model)
        table, parts = _write_parts(folder, tensors, [homes.get(id(each), "rest") for each in tensors])
        body = pack_tree({"tree": packed, "tensors": table, "parts": [[p.digest, p.size] for p in parts]}, [])
        folder.write_manifest(body, parts)


def _states(
    emulation: Emulation, optimizer: torch.optim.Optimizer | None, folder: Folder, sign: str
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The states of model and optimizer; what other processes have is written there."""
    stages = emulation.stages
    written = None if stages is None else stages.save(str(folder.path.resolve()), sign, optimizer)
    if stages is None or written is None:
        with written_by(_writer(emulation, folder, sign)):
            model = dict(emulation.model.state_dict())
        return model, None if optimizer is None else optimizer.state_dict()
    names: dict[int, str] = {}
    with stages.trainer.unheard():
        with written_by(lambda matrix: written.tiles[matrix.grid.layer]):
            model = dict(emulation.model.state_dict())
        of_optimizer = None if optimizer is None else optimizer.state_dict()
    for name, parameter in emulation.model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), name)
        if name in model:
            model[name] = written.numbers.get(names[id(parameter)], model[name])
    model |= {name: where for name, where in written.numbers.items() if name in model}
    if optimizer is not None and of_optimizer is not None and stages.trainer.number_of(optimizer) is not None:
        flat = [name for of_group in names_of(emulation.model, optimizer) for name in of_group]
        states = {k: written.states[name] for k, name in enumerate(flat) if name in written.states}
        of_optimizer = {**of_optimizer, "state": states}
    return model, of_optimizer


def _writer(emulation: Emulation, folder: Folder, sign: str) -> Writer:
    """What gives the state of a matrix' tiles: their hosts write it."""
    saving = {
        id(matrix.analog_tile): Saving.begin(matrix.grid, folder, sign)
        for _, matrix in emulation.layers
        if matrix.grid.executor.keeper is None
    }

    def written(matrix: AnalogMatrix) -> tuple[dict[str, Any], Arrays]:
        if id(matrix.analog_tile) not in saving:
            return matrix.changing()
        plain, own = matrix.analog_tile.changing_here()
        return plain, {**own, **saving[id(matrix.analog_tile)].end()}

    return written


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
        **(
            {} if emulation.plan is None or not emulation.plan.kinds else {"kinds": emulation.plan.kind_names}
        ),
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


def _homes(emulation: Emulation, model: Mapping[str, Any]) -> dict[int, str]:
    """For each tensor of the model's state, by its identity, the part it is written to: a layer's own."""
    layers = dict(analog_layers(emulation.model))
    homes = {}
    for key, value in model.items():
        owners = [name for name in layers if not name or key.startswith(f"{name}.")]
        homes[id(value)] = f"layer {max(owners, key=len)}" if owners else "model"
    return homes


def _write_parts(
    folder: Folder, tensors: Sequence[Leaf], homes: Sequence[str]
) -> tuple[list[Any], list[Part]]:
    """The parts, and a table of each tensor's type, shape, pieces (part, place, bytes) and first bytes.

    The header of tiles' states counts reads: it stands in the table, so that a part changes with its tiles.
    """
    table: list[Any] = [None] * len(tensors)
    parts: list[Part] = []
    of_writers: dict[int, int] = {}  # the number of the part that each other process wrote
    for name in dict.fromkeys(homes):
        here: list[tuple[int, list[NDArray[np.uint8]]]] = []
        for number, tensor in enumerate(tensors):
            if homes[number] == name:
                table[number], flats = _described(tensor, parts, of_writers)
                here += [(number, flats)] if flats else []
        start = 0
        for number, flats in here:
            size = sum(map(len, flats))
            table[number][2].insert(0, [len(parts), start, size])
            start += size
        if here:
            parts.append(folder.write_part(flat for _, flats in here for flat in flats))
    return table, parts


def _described(
    tensor: Leaf, parts: list[Part], of_writers: dict[int, int]
) -> tuple[list[Any], list[NDArray[np.uint8]]]:
    """An entry of the table, with the pieces that others wrote, and the bytes that are to be written here.

    Parts that others wrote are added to ``parts``.
    """
    if isinstance(tensor, SavedTiles):
        arrays, pieces = [*tensor.arrays.values()], list[list[int]]()
        for array in arrays:
            if isinstance(array, StoredArray) and array.start == 0 and array.nbytes:
                pieces.append([len(parts), 0, array.part_bytes])
                parts.append(array.part)
        flats = [as_bytes(each) for each in arrays if not isinstance(each, StoredArray)]
        return [TILES, [], pieces, packed_header(tensor.plain, tensor.arrays)], flats
    if isinstance(tensor, StoredTensor):
        dtype, shape, flats = tensor.dtype, tensor.shape, []
        if tensor.writer not in of_writers:
            of_writers[tensor.writer] = len(parts)
            parts.append(Part(tensor.digest, tensor.part_bytes))
        pieces = [[of_writers[tensor.writer], tensor.start, tensor.nbytes]]
    else:
        values = tensor.detach().cpu().contiguous()
        dtype, shape = str(values.dtype).removeprefix("torch."), tuple(values.shape)
        flats, pieces = [values.reshape(-1).view(torch.uint8).numpy()], []
    if dtype not in DTYPES:
        raise ConfigError(f"a tensor of type {dtype} cannot be saved; convert it to float32")
    return [dtype, [*shape], pieces, b""], flats
