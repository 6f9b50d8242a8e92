"""One weight matrix of an analog layer: its parameter, its bias and its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.conversions import as_array
from ..analog_matrix.hardware_aware import HardwareAwareTiles
from ..analog_matrix.pulsed import PulsedTiles, drifts
from ..analog_matrix.weights import AnalogContext, matrix_of, weight_of
from ..config.rpu import RPUConfig
from ..hosts.grid import TileGrid
from ..tiles.bank import Floats
from ..tiles.values import require_finite
from .inputs import in_autocast_type

if TYPE_CHECKING:
    from .base import AnalogLayer


@dataclass(frozen=True, slots=True)
class AnalogMatrix:
    """W[out, in] of ``layer`` and what belongs to it, by the names under which the layer keeps them."""

    layer: AnalogLayer
    weight_name: str
    bias_name: str
    tiles_name: str
    label: str = ""  # what it is called in its layer, if not like its weight
    number: int | None = None  # of a stack of matrices that are one parameter: which one it is

    @property
    def parameter(self) -> Tensor:
        """The parameter, or what torch's tools put in its place."""
        return cast(Tensor, getattr(self.layer, self.weight_name))

    @property
    def weight(self) -> Tensor:
        """The matrix's part of the parameter: all of it, but for one of a stack."""
        return self.part(self.parameter)

    def part(self, parameter: Tensor) -> Tensor:
        """The matrix's part of what stands for its parameter."""
        return parameter if self.number is None else parameter[self.number]

    @property
    def bias(self) -> Tensor | None:
        """The bias [out], digital or a column of the tiles."""
        return cast("Tensor | None", getattr(self.layer, self.bias_name, None))

    @property
    def analog_tile(self) -> PulsedTiles | HardwareAwareTiles:
        """The module around the tiles."""
        tiles = getattr(self.layer, self.tiles_name)
        return cast(
            "PulsedTiles | HardwareAwareTiles",
            tiles if self.number is None else tiles._modules[str(self.number)],
        )

    @property
    def tiles_path(self) -> str:
        """The name of that module within the layer."""
        return self.tiles_name if self.number is None else f"{self.tiles_name}.{self.number}"

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return self.analog_tile.grid

    @property
    def rpu_config(self) -> RPUConfig:
        """The matrix's own copy of its configuration, as its tiles were built from it."""
        return self.grid.spec.rpu_config

    @property
    def has_numbers(self) -> bool:
        """Whether this process can tell what the tiles hold; else a file has it, or a stage of the model."""
        return not (self.grid.is_absent or self.parameter.is_meta)

    @property
    def awaits_update(self) -> bool:
        """Whether passes went backward that the tiles have not been pulsed for."""
        return isinstance(self.parameter, AnalogContext) and self.parameter.grad is not None

    def __call__(self, x: Tensor) -> Tensor:
        """y[..., out] = W x + b of x[..., in]."""
        return self.product(x, self.bias)

    def product(self, x: Tensor, bias: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """y[..., out] = W x of x[..., in], plus ``bias`` [out] if there is one.

        ``weight`` is what the tiles are told to hold where that is not the parameter as it stands.
        """
        x = in_autocast_type(x)
        spec = self.grid.spec
        weight = self.parameter if weight is None else weight
        if x.dim() == 2:
            return cast(Tensor, self.analog_tile(x, weight, bias))
        y = self.analog_tile(x.reshape(-1, spec.width), weight, bias)
        return cast(Tensor, y.reshape(*x.shape[:-1], spec.out_size))

    def matrix_weights(self) -> Floats:
        """W[out, in] in float32: what the tiles hold, or the digital trainer."""
        keeper = self.grid.executor.keeper
        if keeper is not None:
            return keeper.weights_of(self.grid.layer)
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            return tiles.get_weights()
        return tiles.means(self.trained)

    def changing(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What changes in the tiles, in plain values and arrays, wherever they are."""
        keeper = self.grid.executor.keeper
        return self.analog_tile.changing() if keeper is None else keeper.changing(self.grid.layer)

    @property
    def trained(self) -> Tensor:
        """What tiles that do not learn are brought up to: the weight, with the bias where they hold both."""
        self.fetch()
        return self._trained()

    def _trained(self) -> Tensor:
        """The same; of a weight that is in a file alone its shape."""
        tiles = self.analog_tile
        assert isinstance(tiles, HardwareAwareTiles)
        return tiles.trained(self.weight, self.bias)

    def fetch(self) -> None:
        """Have the weight's numbers in this process, if they are in a file alone."""
        if isinstance(self.analog_tile, HardwareAwareTiles):
            self.analog_tile.fetch()

    def joined(self, weight: Tensor, bias: Tensor | None) -> Floats:
        """The matrix of a weight of torch's shape, with ``bias`` or the present one where it is a column."""
        spec = self.grid.spec
        w_OI = matrix_of(spec, weight)
        if not spec.bias_column:
            return w_OI
        bias_O = self.matrix_weights()[:, -1] if bias is None else as_array(bias)
        both_OI: Floats = np.concatenate([w_OI, bias_O[:, None]], axis=1)
        return both_OI

    def whole(self) -> Tensor:
        """All numbers of the parameter, of its type and on its device: a copy."""
        like, parts = self.parameter, [self]
        if self.number is not None:
            parts = [m for m in self.layer.matrices().values() if m.weight_name == self.weight_name]
        each = [weight_of(matrix.grid.spec, matrix.matrix_weights()) for matrix in parts]
        return (each[0] if self.number is None else torch.stack(each)).to(like.device, like.dtype)

    def whole_bias(self) -> Tensor:
        """The numbers of a bias that is a column of the tiles, of its type and on its device: a copy."""
        like = cast(Tensor, self.bias)
        return torch.from_numpy(self.matrix_weights()[:, -1].copy()).to(like.device, like.dtype)

    def held_weights(self) -> Floats:
        """W[out, in] / a in float32: what the tiles hold, or would hold where nothing was programmed."""
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            return tiles.grid.weights()
        w_OI = matrix_of(self.grid.spec, self.trained)
        return w_OI if tiles.out_scale is None else tiles.out_scale.divide(w_OI)

    def get_weights(self) -> tuple[Tensor, Tensor | None]:
        """The weight in torch's shape and the bias, float32: copies.

        It is what the tiles hold; with an ``InferenceRPUConfig``, what the digital trainer holds.
        """
        spec, w_OI = self.grid.spec, self.matrix_weights().copy()
        if spec.bias_column:
            return weight_of(spec, w_OI), torch.from_numpy(w_OI[:, -1].copy())
        return weight_of(spec, w_OI), None if self.bias is None else self.bias.detach().clone().float()

    def set_weights(self, weight: Any, bias: Any = None) -> None:
        """Write a weight of torch's shape to the devices (each clips to its bounds), and the bias.

        Raises:
            ConfigError: another shape, or a bias where the layer has none.
        """
        self.fetch()
        spec = self.grid.spec
        weight = torch.as_tensor(weight).detach()
        if tuple(weight.shape) not in (spec.weight_shape, (spec.out_size, spec.width)):
            raise ConfigError(
                f"{spec.name}: a weight of shape {tuple(weight.shape)} cannot be set; "
                f"this layer's is {spec.weight_shape}"
            )
        if bias is not None:
            bias = torch.as_tensor(bias).detach()
            self._require_bias(bias)
        if tuple(weight.shape) != spec.weight_shape:
            weight = weight_of(spec, weight.cpu().float().numpy())
        w_OI = self.joined(weight, bias)
        require_finite(self.grid.spec.name, "weight", w_OI)
        if bias is not None and not isinstance(self.bias, AnalogContext):
            with torch.no_grad():
                cast(Tensor, self.bias).copy_(bias)
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            tiles.set_weights(w_OI)
            return
        with torch.no_grad():
            self.weight.copy_(weight_of(spec, w_OI))
        self.take_trained()

    def take_trained(self) -> None:
        """What is trained digitally was set: tiles are to follow it.

        Raises:
            InputError: it has NaN or infinite numbers.
        """
        tiles = self.analog_tile
        assert isinstance(tiles, HardwareAwareTiles)
        w_OI = matrix_of(self.grid.spec, self.trained)
        require_finite(self.grid.spec.name, "weight", w_OI)
        tiles.take_weight(w_OI)

    def _require_bias(self, bias: Tensor) -> None:
        name, own = self.grid.spec.name, self.bias
        if own is None:
            raise ConfigError(f"{name}: this layer has no bias; build it with bias=True, or leave bias out")
        if bias.shape != own.shape:
            raise ConfigError(
                f"{name}: a bias of shape {tuple(bias.shape)} cannot be set; "
                f"this layer's is {tuple(own.shape)}"
            )

    def program(self) -> None:
        """Write the trained weight to the devices, with programming noise."""
        tiles = self.analog_tile
        if not isinstance(tiles, HardwareAwareTiles):
            raise ConfigError(
                f"{self.grid.spec.name}: {type(self.rpu_config).__name__} has no noise model to program "
                "with; build the layer with an InferenceRPUConfig"
            )
        keeper = self.grid.executor.keeper
        if keeper is not None:
            keeper.program([self.grid.layer])
        else:
            tiles.program(self._trained())

    def bring(self) -> None:
        """Put on the tiles what a read would put there, unless they hold it."""
        tiles = self.analog_tile
        if isinstance(tiles, HardwareAwareTiles):
            tiles.bring(self._trained())

    def drift(self, time: float) -> None:
        """Age the programmed weight to ``time`` seconds after its programming; devices that learn by pulses,
        by another ``time`` of their ``DriftParameter``."""
        tiles, keeper = self.analog_tile, self.grid.executor.keeper
        if keeper is not None:
            keeper.drift([self.grid.layer], time)
        elif isinstance(tiles, PulsedTiles):
            tiles.let_pass(time)
        else:
            tiles.drift(self._trained(), time)

    @property
    def ages(self) -> bool:
        """Whether time changes the devices."""
        return isinstance(self.analog_tile, HardwareAwareTiles) or drifts(self.rpu_config.device)
