"""A model as one of its stages gets it: whole, but with numbers and devices of that stage's modules alone."""

from __future__ import annotations

import io
from typing import Any

import torch
from ray import cloudpickle
from torch import Tensor, nn

from ..analog_matrix.weights import AnalogContext, TrainedWeight
from ..hosts.grid import TileGrid
from ..model.analog_model import analog_matrices
from .cut import Cut


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
