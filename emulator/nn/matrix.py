"""One weight matrix of an analog layer: its parameter, its bias and its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

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
        """The digital bias [out]."""
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
        y = self.analog_tile(x.reshape(-1, spec.in_size), weight, bias)
        return cast(Tensor, y.reshape(*x.shape[:-1], spec.out_size))

    def matrix_weights(self) -> Floats:
        """W[out, in] in float32: what the tiles hold, or the digital trainer."""
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            return tiles.get_weights()
        return tiles.means(self.weight)

    def whole(self) -> Tensor:
        """All numbers of the parameter, of its type and on its device: a copy."""
        like, parts = self.parameter, [self]
        if self.number is not None:
            parts = [m for m in self.layer.matrices().values() if m.weight_name == self.weight_name]
        each = [weight_of(matrix.grid.spec, matrix.matrix_weights()) for matrix in parts]
        return (each[0] if self.number is None else torch.stack(each)).to(like.device, like.dtype)

    def held_weights(self) -> Floats:
        """W[out, in] / a in float32: what the tiles hold, or would hold where nothing was programmed."""
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            return tiles.grid.weights()
        w_OI = matrix_of(self.grid.spec, self.weight)
        return w_OI if tiles.out_scale is None else tiles.out_scale.divide(w_OI)

    def get_weights(self) -> tuple[Tensor, Tensor | None]:
        """The weight in torch's shape and the bias, float32: copies.

        It is what the tiles hold; with an ``InferenceRPUConfig``, what the digital trainer holds.
        """
        weight = weight_of(self.grid.spec, self.matrix_weights().copy())
        return weight, None if self.bias is None else self.bias.detach().clone().float()

    def set_weights(self, weight: Any, bias: Any = None) -> None:
        """Write a weight of torch's shape to the devices (each clips to its bounds), and the bias.

        Raises:
            ConfigError: another shape, or a bias where the layer has none.
        """
        spec = self.grid.spec
        weight = torch.as_tensor(weight).detach()
        if tuple(weight.shape) not in (spec.weight_shape, (spec.out_size, spec.in_size)):
            raise ConfigError(
                f"{spec.name}: a weight of shape {tuple(weight.shape)} cannot be set; "
                f"this layer's is {spec.weight_shape}"
            )
        if bias is not None:
            self._set_bias(torch.as_tensor(bias).detach())
        flat = tuple(weight.shape) != spec.weight_shape
        w_OI = matrix_of(spec, weight_of(spec, weight.cpu().float().numpy()) if flat else weight)
        require_finite(self.grid.spec.name, "weight", w_OI)
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            tiles.set_weights(w_OI)
            return
        with torch.no_grad():
            self.weight.copy_(weight_of(spec, w_OI))
        tiles.take_weight(matrix_of(spec, self.weight))

    def _set_bias(self, bias: Tensor) -> None:
        name, own = self.grid.spec.name, self.bias
        if own is None:
            raise ConfigError(f"{name}: this layer has no bias; build it with bias=True, or leave bias out")
        if bias.shape != own.shape:
            raise ConfigError(
                f"{name}: a bias of shape {tuple(bias.shape)} cannot be set; "
                f"this layer's is {tuple(own.shape)}"
            )
        with torch.no_grad():
            own.copy_(bias)

    def program(self) -> None:
        """Write the trained weight to the devices, with programming noise."""
        tiles = self.analog_tile
        if not isinstance(tiles, HardwareAwareTiles):
            raise ConfigError(
                f"{self.grid.spec.name}: {type(self.rpu_config).__name__} has no noise model to program "
                "with; build the layer with an InferenceRPUConfig"
            )
        tiles.program(self.weight)

    def drift(self, time: float) -> None:
        """Age the programmed weight to ``time`` seconds after its programming; devices that learn by pulses,
        by another ``time`` of their ``DriftParameter``."""
        tiles = self.analog_tile
        if isinstance(tiles, PulsedTiles):
            tiles.let_pass(time)
        else:
            tiles.drift(self.weight, time)

    @property
    def ages(self) -> bool:
        """Whether time changes the devices."""
        return isinstance(self.analog_tile, HardwareAwareTiles) or drifts(self.rpu_config.device)
