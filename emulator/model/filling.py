"""From files into a model without numbers: parameter by parameter, matrix by matrix.

The result is that of the ordinary way, bit for bit: a model with these numbers, converted. What that way
leaves behind is done here too: the keys follow from the same numbers, and pulsed devices are written twice,
as they are when a layer is made with initial weights and then takes others.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.hardware_aware import HardwareAwareTiles
from ..analog_matrix.pulsed import PulsedTiles
from ..analog_matrix.weights import AnalogContext
from ..hosts.executor import Ticket
from ..hosts.grid import TileGrid
from ..hosts.stored import StoredMatrix, StoredWeight, largest
from ..nn.base import AnalogLayer
from ..nn.keys import new_key
from ..nn.matrix import AnalogMatrix
from ..tiles.messages import Done
from ..tiles.stored import Stored
from .analog_model import analog_layers, analog_matrices
from .deferred import put
from .weight_files import WeightFiles

#: torch's types of safetensors' ones that hosts of tiles read
DTYPES = {"F32": torch.float32, "F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16}

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
        self._shared: set[str] = set()  # parameters that have several names
        self._of_hosts: dict[tuple[AnalogLayer, str], StoredMatrix] = {}  # what tiles' hosts read
        self._require_all()

    def _require_all(self) -> None:
        by_tensor: dict[int, list[str]] = {}
        everywhere: dict[int, list[str]] = {}  # files may have a tied tensor under a name of another process
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            everywhere.setdefault(id(parameter), []).append(name)
        tensors = dict(self._tensors())
        for name, tensor in tensors.items():
            by_tensor.setdefault(id(tensor), []).append(name)
        missing = []
        for identity, names in by_tensor.items():
            all_names = everywhere.get(identity, names)
            found = [name for name in all_names if name in self.files.shapes]
            self._shared.update(names if len(all_names) > 1 else ())
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

    def begin(self, hosts_read: bool = False, recut: bool = False) -> None:
        """Read what is no tile's, and find the keys of all layers.

        With ``hosts_read`` the hosts of tiles are to read the matrices themselves, wherever they can. Where
        a chip ``recut``s layers, pulsed weights come by way of the devices of the tiles before, in this
        process: these clip them to their bounds.
        """
        if hosts_read:
            for _, matrix in analog_matrices(self.model):
                stored = None if recut and matrix.grid.spec.learns else self._for_hosts(matrix)
                if stored is not None:
                    self._of_hosts[matrix.layer, matrix.tiles_path] = stored
        self._load_digital()
        for layer, path in self._paths.items():
            deferral = layer.deferral
            if deferral is None:
                continue
            if deferral.generator is None:
                deferral.conversion.find_generators()
            names = [f"{path}.{own}".lstrip(".") for own in deferral.numbers]
            numbers = (piece for name in names for piece in self._pieces(name))
            layer.take_key(new_key(deferral.name, numbers, deferral.generator))

    def _for_hosts(self, matrix: AnalogMatrix) -> StoredMatrix | None:
        """Where the hosts of a matrix's tiles find it; None where this process has to have its numbers.

        It has to where something else than tiles reads them (a tied embedding), they are computed, or the
        configuration changes them before they are written.
        """
        name, spec = self._full(matrix, matrix.weight_name), matrix.grid.spec
        if not matrix.grid.is_absent or name not in self._stored:
            return None
        tiles = matrix.analog_tile
        if isinstance(tiles, HardwareAwareTiles) and (
            name in self._shared or matrix.number is not None or not tiles.reads_as_it_is
        ):
            return None
        weight, bias = self._place(name, matrix.number), None
        if spec.bias_column:
            bias = self._place(self._full(matrix, matrix.bias_name))
            if bias is None:
                return None
        return None if weight is None else StoredMatrix(weight, bias)

    def _full(self, matrix: AnalogMatrix, own: str) -> str:
        return f"{self._paths[matrix.layer]}.{own}".lstrip(".")

    def _place(self, name: str, part: int | None = None) -> Stored | None:
        """Where a parameter's numbers stand, if they are its own as they stand there."""
        if name not in self._stored:
            return None
        stored, like = self.files.place(self._stored[name], part), self._like(name).dtype
        exact = stored is not None and (like is torch.float32 or DTYPES[stored.kind] is like)
        return stored if exact else None

    def _pieces(self, name: str) -> Iterator[Tensor]:
        """All numbers of a parameter in their order, some at a time."""
        stored = self._place(name) if self._of_hosts else None
        if name not in self._stored:
            yield self._like(name)
        elif stored is None:
            yield self._numbers(name)
        else:
            yield from (torch.from_numpy(values) for values in stored.pieces())

    def _load_digital(self) -> None:
        """Read all parameters and buffers but those that stand for tiles."""
        read: set[int] = set()  # one that has several names once
        kept = {
            self._full(matrix, matrix.weight_name)
            for _, matrix in analog_matrices(self.model)
            if self.is_for_hosts(matrix)
        }
        for name, tensor in dict(self._tensors()).items():
            if isinstance(tensor, AnalogContext) or name in kept or name not in self._stored:
                continue
            if id(tensor) in read:
                continue
            read.add(id(tensor))
            if tensor.is_meta:
                put(self.model, name, tensor, self._numbers(name))
            else:
                with torch.no_grad():
                    tensor.copy_(self._numbers(name))

    def is_for_hosts(self, matrix: AnalogMatrix) -> bool:
        """Whether the hosts of the matrix's tiles read its numbers."""
        return (matrix.layer, matrix.tiles_path) in self._of_hosts

    def let_hosts_read(self) -> None:
        """Let all hosts read what is theirs, side by side; their tiles hold zeros so far.

        Raises:
            InputError: the files hold NaN or infinite numbers.
            StorageError: a host cannot read them.
        """
        matrices = [each for _, each in analog_matrices(self.model) if self.is_for_hosts(each)]
        looks = [(each, self._stored_of(each).look(each.grid)) for each in matrices]
        posted: list[Ticket[Done]] = []
        for matrix, tickets in looks:
            largest_O1, tiles = largest(matrix.grid, tickets)[:, None], matrix.analog_tile
            if isinstance(tiles, PulsedTiles):
                scale = None if tiles.out_scale is None else tiles.out_scale.fitted(largest_O1)
                for _ in range(2 if matrix.layer.starts_drawn else 1):
                    posted += self._stored_of(matrix).post(matrix.grid, scale)
            else:
                tiles.take_weight(largest_O1)
                tiles.stored = StoredWeight(self._stored_of(matrix), functools.partial(self._read, matrix))
        for ticket in posted:
            ticket.result()

    def _stored_of(self, matrix: AnalogMatrix) -> StoredMatrix:
        return self._of_hosts[matrix.layer, matrix.tiles_path]

    def _read(self, matrix: AnalogMatrix) -> Tensor:
        """Read the numbers of a weight that its hosts have read, into its parameter."""
        name = self._full(matrix, matrix.weight_name)
        with torch.inference_mode(False), torch.no_grad():
            put(self.model, name, matrix.parameter, self._numbers(name))
        matrix.layer.deferral = None
        return matrix.parameter

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

    def end(self) -> None:
        """All numbers are there; of digitally trained matrices perhaps in the files still."""
        for layer in self._paths:
            if not any(is_in_file(matrix) for matrix in layer.matrices().values()):
                layer.deferral = None


def is_in_file(matrix: AnalogMatrix) -> bool:
    """Whether nobody but the hosts of a matrix's tiles has read its numbers from the file."""
    return isinstance(matrix.analog_tile, HardwareAwareTiles) and matrix.analog_tile.stored is not None


def leave_in_file(matrix: AnalogMatrix) -> None:
    """Let a matrix whose numbers are in a file be as it was before: deferred, nothing programmed."""
    tiles = matrix.analog_tile
    assert isinstance(tiles, HardwareAwareTiles)
    tiles.stored, tiles.grid = None, TileGrid.absent(matrix.grid.spec)
    tiles.forget_programming()


def _is_needed(tensor: Tensor) -> bool:
    """Whether files must hold it: what has numbers keeps them where they do not, as adapters made later."""
    return tensor.is_meta or isinstance(tensor, AnalogContext)
