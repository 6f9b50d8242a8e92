"""A layer's weight matrix on tiles that learn by pulses, as a torch module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import forward_ad

from crossgrid.kernels.devices import DriftParameter
from crossgrid.kernels.errors import ConfigError, InputError

from ..disk.arrays import StoredArray
from ..hosts.ending import stay_if_ending
from ..hosts.grid import TileGrid
from ..tiles.bank import Floats
from .autograd import AnalogProduct
from .conversions import as_array, as_images
from .output_scale import OutputScale
from .tiles_module import require_movable, tiles_text
from .weights import AnalogContext, matrix_of, weight_of


class PulsedTiles(nn.Module):
    """W[out, in] on analog tiles. The layer's parameter ``AnalogContext`` stands for it in torch."""

    def __init__(self, grid: TileGrid) -> None:
        """Around the tiles of ``grid``, which hold zeros."""
        super().__init__()
        self.grid = grid
        self.out_scale = OutputScale.of(grid.spec.rpu_config.mapping, grid.spec.out_size)

    def parameter(self) -> AnalogContext:
        """The parameter that stands for the weight."""
        return AnalogContext(self)

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, positions: tuple[int, ...] | None = None
    ) -> Tensor:
        """y[vectors, out] = W x + b of features x[B, in] or of the patches of images x[B, channels, ...].

        With the ``positions`` of patches in an image it is images y[B, out, *positions].
        """
        stay_if_ending()
        if not (isinstance(weight, AnalogContext) and (weight.tiles is self or self.holds(weight))):
            raise ConfigError(
                f"{self.grid.spec.name}: another tensor stands in the place of its weight (pruning, a "
                "parametrization, functional_call or an assignment put it there), but pulsed tiles read "
                "their own; write it to them with layer.set_weights(w), or convert with an "
                "InferenceRPUConfig, whose tiles read any weight"
            )
        if self.grid.spec.bias_column:
            self._require_own(weight, bias)
            bias = None
        scale, grad = self.out_scale, torch.is_grad_enabled()
        mapping = None if scale is None else scale.mapping
        learned = None if scale is None else scale.learned
        own_bias, own_positions = (bias, positions) if learned is None else (None, None)
        y: Tensor
        if grad or forward_ad._current_level >= 0:
            y = AnalogProduct.apply(x, weight, own_bias, (self, mapping, own_positions, grad))
        else:
            y = AnalogProduct.read(x, self, own_bias, mapping, own_positions)
        if learned is None:
            return y
        y = y * learned.to(y)
        y = y if bias is None else y + bias.to(y.dtype)
        return y if positions is None else as_images(y, positions)

    def holds(self, weight: AnalogContext) -> bool:
        """Whether a parameter stands for these tiles, or for a stack with them."""
        return weight.tiles is self or (isinstance(weight.tiles, StackedTiles) and self in weight.tiles.each)

    def holds_bias(self, bias: Tensor | None) -> bool:
        """Whether a parameter stands for the column of the bias."""
        column = bias.tiles if isinstance(bias, AnalogContext) else None
        return isinstance(column, BiasColumn) and column.tiles is self

    def _require_own(self, weight: AnalogContext, bias: Tensor | None) -> None:
        """An error unless ``bias`` is the one on these tiles, and learns or is frozen as they are."""
        if bias is None or not self.holds_bias(bias):
            raise ConfigError(
                f"{self.label}: another tensor stands in the place of its bias, which is a column of its "
                "pulsed tiles (mapping.digital_bias = False); write it with layer.set_weights(w, bias)"
            )
        if torch.is_grad_enabled() and bias.requires_grad != weight.requires_grad:
            raise ConfigError(
                f"{self.label}: requires_grad is {weight.requires_grad} of its weight and "
                f"{bias.requires_grad} of its bias, and the same pulses move both (mapping.digital_bias = "
                "False); freeze both or neither, or set mapping.digital_bias = True"
            )

    @property
    def label(self) -> str:
        """What the layer is called."""
        return self.grid.spec.name

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape in which torch keeps the weight."""
        return self.grid.spec.weight_shape

    def read_weight(self) -> Tensor:
        """The weight in torch's shape, float32: a copy."""
        return weight_of(self.grid.spec, self.get_weights())

    def write_weight(self, weight: Tensor) -> None:
        """Write a weight of torch's shape; every device clips to its bounds."""
        w_OI = matrix_of(self.grid.spec, weight)
        if self.grid.spec.bias_column:
            w_OI = np.concatenate([w_OI, self.get_weights()[:, -1:]], axis=1)
        self.set_weights(w_OI)

    def set_weights(self, w_OI: Floats) -> None:
        """Write the layer's weight; every device clips to its bounds."""
        if self.out_scale is not None:
            self.out_scale.fit(w_OI)
            w_OI = self.out_scale.divide(w_OI)
        self.grid.set_weights(w_OI)

    def get_weights(self) -> Floats:
        """The layer's weight [out, in] as the tiles hold it: a copy."""
        w_OI = self.grid.weights()
        return w_OI if self.out_scale is None else w_OI * self.out_scale.factor()

    def let_pass(self, time: float) -> None:
        """Leave the devices alone for ``time``, in the units of their ``DriftParameter``.

        As on a tile of its own, a call that finds a weight changed only notes it: its drift starts there.

        Raises:
            ConfigError: no device of the layer drifts.
            InputError: ``time`` is negative, NaN or infinite.
        """
        spec = self.grid.spec
        if not drifts(spec.rpu_config.device):
            raise ConfigError(
                f"{spec.name}: the devices of its {type(spec.rpu_config).__name__} do not drift; set "
                "device.drift = cg.DriftParameter(nu=...), or build the layer with an InferenceRPUConfig"
            )
        if not (math.isfinite(time) and time >= 0):
            raise InputError(f"{spec.name}: time = {time} must be finite and at least 0")
        self.grid.let_pass(float(time))

    def changing(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """What changes, in plain values and arrays: with it training goes on with the same bits."""
        return self.grid.clock(), self.grid.state()

    def changing_here(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """The same without what the hosts of the tiles hold."""
        return self.grid.clock(), {}

    def take(self, plain: dict[str, Any], arrays: Mapping[str, NDArray | StoredArray]) -> None:
        """Take over what ``changing`` gave: the same devices (the layer's key is in it) in the same state."""
        self.grid = self.grid.revived(plain)
        self.grid.load_state(dict(arrays))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PulsedTiles:
        require_movable(self.grid, fn)
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        return tiles_text(self.grid)


@dataclass(frozen=True, slots=True)
class BiasColumn:
    """The bias on a matrix's tiles: the column behind the weight's."""

    tiles: PulsedTiles

    @property
    def label(self) -> str:
        """What the bias is called."""
        return f"{self.tiles.label}.bias"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Torch's shape of the bias."""
        return (self.tiles.grid.spec.out_size,)

    def read_weight(self) -> Tensor:
        """The bias, float32: a copy."""
        return torch.from_numpy(self.tiles.get_weights()[:, -1].copy())

    def write_weight(self, weight: Tensor) -> None:
        """Write the bias; every device clips to its bounds."""
        w_OI = self.tiles.get_weights()
        w_OI[:, -1] = as_array(weight)
        self.tiles.set_weights(w_OI)


class StackedTiles(nn.Module):
    """Tiles of n >= 1 equal matrices that torch keeps as one parameter [n, ...]: a module each."""

    def __init__(self, each: Sequence[nn.Module]) -> None:
        super().__init__()
        for number, tiles in enumerate(each):
            self.add_module(str(number), tiles)

    @property
    def each(self) -> list[PulsedTiles]:
        """The matrices' tiles, in order."""
        return cast("list[PulsedTiles]", list(self._modules.values()))

    @property
    def label(self) -> str:
        """What the stack is called: as its first matrix, without the number."""
        return self.each[0].label.rpartition(".")[0] or self.each[0].label

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Torch's shape of the stack."""
        return len(self.each), *self.each[0].weight_shape

    def read_weight(self) -> Tensor:
        """All matrices in torch's shape, float32: a copy."""
        return torch.stack([tiles.read_weight() for tiles in self.each])

    def write_weight(self, weight: Tensor) -> None:
        """Write all matrices; every device clips to its bounds."""
        for tiles, own in zip(self.each, weight, strict=True):
            tiles.write_weight(own)


def drifts(device: Any) -> bool:
    """Whether a device, or one that a cell is made of, drifts when it is left alone."""
    own = getattr(device, "drift", None)
    if isinstance(own, DriftParameter) and own.active:
        return True
    members = [*getattr(device, "unit_cell_devices", ()), *filter(None, [getattr(device, "device", None)])]
    return any(drifts(member) for member in members)
