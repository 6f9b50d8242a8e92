"""A model as one of its stages gets it: whole, but with numbers and devices of that stage's modules alone.

And as a stage writes what is its own into a saved run.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from ray import cloudpickle
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.weights import AnalogContext, TrainedWeight
from ..disk.folder import Folder
from ..hosts.grid import TileGrid
from ..hosts.saved import Saving
from ..model.analog_model import analog_matrices
from ..nn.matrix import AnalogMatrix
from ..nn.state import Arrays, StoredTensor
from .passes.cut import Cut


class _Packer(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Writes shapes in the place of what is another stage's."""

    def __init__(self, file: io.BytesIO, foreign: set[int]) -> None:
        super().__init__(file)
        self.foreign = foreign

    def reducer_override(self, obj: Any) -> Any:
        """How ``obj`` is written."""
        if isinstance(obj, TileGrid):
            return (TileGrid.absent, (obj.spec,)) if id(obj) in self.foreign else obj.__reduce__()
        if isinstance(obj, Tensor) and id(obj) in self.foreign:
            of = _trained if isinstance(obj, TrainedWeight) else _parameter
            return of, (tuple(obj.shape), obj.dtype, obj.requires_grad)
        return super().reducer_override(obj)


def packed(model: nn.Module, cut: Cut, stage: int, own: set[int]) -> bytes:
    """``model`` for ``stage``.

    Args:
        own: the grids of this stage, by their identities.
    """
    foreign = {id(matrix.grid) for _, matrix in analog_matrices(model) if id(matrix.grid) not in own}
    kept: set[int] = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        of_stage = cut.stage_of_parameter(name)
        (kept if of_stage in (None, stage) else foreign).add(id(parameter))
    foreign -= kept | {id(p) for p in model.parameters() if isinstance(p, AnalogContext)}
    file = io.BytesIO()
    _Packer(file, foreign).dump(model)
    return file.getvalue()


def _parameter(shape: tuple[int, ...], dtype: torch.dtype, learns: bool) -> nn.Parameter:
    """A parameter without numbers."""
    return nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"), requires_grad=learns)


def _trained(shape: tuple[int, ...], dtype: torch.dtype, learns: bool) -> nn.Parameter:
    """The same, of a matrix that is trained digitally."""
    return TrainedWeight.of(torch.empty(shape, dtype=dtype, device="meta"), learns)


@dataclass(slots=True)
class SavedStage:
    """What one stage, or several, wrote into a saved run."""

    tiles: dict[int, tuple[dict[str, Any], Arrays]]  # of layers, by their numbers
    numbers: dict[str, StoredTensor]  # digital parameters and buffers
    states: dict[str, dict[str, Any]]  # what an optimizer keeps of parameters; tensors are ``StoredTensor``


def saved_stage(
    layers: Mapping[int, AnalogMatrix], numbers: Mapping[str, Tensor],
    states: Mapping[str, Mapping[str, Any]], directory: str, sign: str, stage: int,
) -> SavedStage | None:  # fmt: skip
    """Write what is a stage's own; None where this process sees another folder under that name.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        folder = Folder(directory)
    except ConfigError:  # there is none
        return None
    with folder:
        if not folder.is_signed(sign):
            return None
        saving = {n: Saving.begin(matrix.grid, folder, sign) for n, matrix in layers.items()}
        tiles: dict[int, tuple[dict[str, Any], Arrays]] = {}
        for number, matrix in layers.items():
            plain, own = matrix.analog_tile.changing_here()
            tiles[number] = plain, {**own, **saving[number].end()}
        tensors = {("", name): tensor for name, tensor in numbers.items()}
        for name, state in states.items():
            tensors |= {(name, key): v for key, v in state.items() if isinstance(v, Tensor)}
        flats = {
            where: tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            for where, tensor in tensors.items()
        }
        part = folder.write_part(flats.values())
    found, start = dict[tuple[str, str], StoredTensor](), 0
    for where, flat in flats.items():
        dtype, shape = str(tensors[where].dtype).removeprefix("torch."), tuple(tensors[where].shape)
        found[where] = StoredTensor(dtype, shape, part.digest, part.size, start, len(flat), stage)
        start += len(flat)
    of_states = {
        name: {key: found.get((name, key), value) for key, value in state.items()}
        for name, state in states.items()
    }
    return SavedStage(tiles, {name: found["", name] for name in numbers}, of_states)
