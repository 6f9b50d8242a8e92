"""From files into a model without numbers: parameter by parameter, matrix by matrix.

The result is that of the ordinary way, bit for bit: a model with these numbers, converted. What that way
leaves behind is done here too: the keys follow from the same numbers, and pulsed devices are written twice,
as they are when a layer is made with initial weights and then takes others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.weights import AnalogContext
from ..hosts.grid import TileGrid
from ..nn.keys import new_key
from ..nn.matrix import AnalogMatrix
from .analog_model import analog_layers
from .deferred import put
from .weight_files import WeightFiles

#: names that an error lists
NAMED = 3


class Filling:
    """The numbers of a model, on their way from files."""

    def __init__(
        self, model: nn.Module, path: str | os.PathLike[str], part: Callable[[str], bool] | None = None
    ) -> None:
        """Hold the files' headers against the model, or the ``part`` of it whose names are in this process.

        Raises:
            ConfigError: a tensor is missing, too many or of another shape; nothing has changed.
            StorageError: the files cannot be read.
        """
        self.model, self.files, self._part = model, WeightFiles(path), part
        layers = ((name, layer) for name, layer in analog_layers(model))
        self._paths = {layer: name for name, layer in layers if part is None or part(f"{name}.weight")}
        self._beside = tuple(
            f"{name}.{matrix.tiles_name}.".lstrip(".")
            for name, layer in analog_layers(model)
            for matrix in layer.matrices().values()
        )
        self._stored: dict[str, str] = {}  # a parameter's name -> that under which it is in the files
        self._require_all()

    def _require_all(self) -> None:
        by_tensor: dict[int, list[str]] = {}
        tensors = dict(self._tensors())
        for name, tensor in tensors.items():
            by_tensor.setdefault(id(tensor), []).append(name)
        missing = []
        for names in by_tensor.values():
            found = [name for name in names if name in self.files.shapes]
            self._stored.update(dict.fromkeys(names, found[0]) if found else {})
            if not found and _is_needed(tensors[names[0]]):
                missing.append(names[0])
        self._refuse(missing, "lacks", "save them, or build the model that the file is of")
        extra = [n for n in self.files.shapes if n not in tensors] if self._part is None else []
        self._refuse(extra, "has, and the model does not,", "build the model that the file is of")
        for name, stored in self._stored.items():
            wanted, given = tuple(tensors[name].shape), self.files.shapes[stored]
            if wanted != given:
                raise ConfigError(
                    f"{self.files.path}: {stored} has shape {given}, {name} of the model {wanted}; build the "
                    "model that the file is of"
                )

    def _refuse(self, names: list[str], what: str, way_out: str) -> None:
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise ConfigError(f"{self.files.path} {what} {', '.join(names[:NAMED])}{more}: {way_out}")

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that files may hold, by all its names; tiles keep what they have beside their weight."""
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            if not name.startswith(self._beside) and self._is_here(name):
                yield name, parameter
        for path, module in self.model.named_modules(remove_duplicate=False):
            for name, buffer in module._buffers.items():
                full = f"{path}.{name}".lstrip(".")
                if buffer is None or full.startswith(self._beside) or not self._is_here(full):
                    continue
                if name not in module._non_persistent_buffers_set:
                    yield full, buffer
                elif buffer.is_meta:
                    raise ConfigError(
                        f"{full} has no numbers, and no file holds it (it is not persistent): build the "
                        "model within cg.deferred(), which leaves buffers theirs"
                    )

    def _is_here(self, name: str) -> bool:
        return self._part is None or self._part(name)

    def begin(self) -> None:
        """Read what is no tile's, and find the keys of all layers."""
        self._load_digital()
        for layer, path in self._paths.items():
            deferral = layer.deferral
            if deferral is None:
                continue
            if deferral.generator is None:
                deferral.conversion.find_generators()
            numbers = (self._numbers(f"{path}.{own}".lstrip(".")) for own in deferral.numbers)
            layer.take_key(new_key(deferral.name, numbers, deferral.generator))

    def _load_digital(self) -> None:
        """Read all parameters and buffers but those that stand for tiles."""
        read: set[int] = set()  # one that has several names once
        for name, tensor in dict(self._tensors()).items():
            if isinstance(tensor, AnalogContext) or name not in self._stored or id(tensor) in read:
                continue
            read.add(id(tensor))
            if tensor.is_meta:
                put(self.model, name, tensor, self._numbers(name))
            else:
                with torch.no_grad():
                    tensor.copy_(self._numbers(name))

    def _numbers(self, name: str, part: int | None = None) -> Tensor:
        """What the files say of a parameter of the model, of its type.

        Raises:
            ConfigError: they hold whole numbers in place of fractions, or the other way round.
        """
        like, values = self._like(name), self.files.read(self._stored[name], part)
        if values.dtype.is_floating_point is not like.dtype.is_floating_point:
            raise ConfigError(
                f"{self.files.path}: {self._stored[name]} is of type {values.dtype}, {name} of the model of "
                f"{like.dtype}; convert the file before"
            )
        return values.to(like.dtype)

    def _like(self, name: str) -> Tensor:
        path, _, own = name.rpartition(".")
        module = self.model.get_submodule(path)
        found = module._parameters.get(own)
        tensor = module._buffers[own] if found is None else found
        assert tensor is not None
        return tensor

    def fill(self, matrix: AnalogMatrix) -> None:
        """Draw the devices of a matrix in this process, and write its numbers to them."""
        if not matrix.grid.is_absent:
            return
        spec, path = matrix.grid.spec, self._paths[matrix.layer]
        matrix.analog_tile.grid = TileGrid.local(spec)
        if not spec.learns:
            matrix.take_trained()
            return
        weight = self._numbers(f"{path}.{matrix.weight_name}".lstrip("."), matrix.number)
        bias = self._numbers(f"{path}.{matrix.bias_name}".lstrip(".")) if spec.bias_column else None
        for _ in range(2 if matrix.layer.starts_drawn else 1):
            matrix.set_weights(weight, bias)

    def find_generators(self) -> str:
        """Find what keys follow from besides the numbers, which another process reads; the files' path."""
        for layer in self._paths:
            deferral = layer.deferral
            if deferral is not None and deferral.generator is None:
                deferral.conversion.find_generators()
        return str(self.files.path.resolve())

    def end(self) -> None:
        """All numbers are there."""
        for layer in self._paths:
            layer.deferral = None


def _is_needed(tensor: Tensor) -> bool:
    """Whether files must hold it: a buffer that has numbers keeps them where they do not."""
    return isinstance(tensor, nn.Parameter) or tensor.is_meta
