"""A layer's weight matrix on tiles that learn by pulses, as a torch module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import Ticks, TileGrid
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from .autograd import AnalogContext, analog_product
from .output_scale import OutputScale


class PulsedTiles(nn.Module):
    """W[out, in] on analog tiles; its one parameter tells optimizers that the tiles are there."""

    def __init__(self, spec: LayerSpec) -> None:
        """Draw the devices of the layer ``spec``, weights zero, in this process."""
        super().__init__()
        self.context = AnalogContext(TileGrid.local(spec))
        self.out_scale = OutputScale.of(spec.rpu_config.mapping, spec.out_size)

    @property
    def grid(self) -> TileGrid:
        """The tiles, wherever they are."""
        return self.context.grid

    @grid.setter
    def grid(self, grid: TileGrid) -> None:
        self.context.grid = grid

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """y[vectors, out] = W x + b of features x[B, in] or of the patches of images x[B, channels, ...]."""
        if self.out_scale is None:
            return analog_product(x, self.context, bias)
        y: Tensor = self.out_scale(analog_product(x, self.context, None))
        return y if bias is None else y + bias

    def set_weights(self, w_OI: Floats) -> None:
        """Write the layer's weight; every device clips to its bounds."""
        self.grid.set_weights(w_OI if self.out_scale is None else self.out_scale.split(w_OI))

    def get_weights(self) -> Floats:
        """The layer's weight [out, in] as the tiles hold it: a copy."""
        w_OI = self.grid.weights()
        return w_OI if self.out_scale is None else w_OI * self.out_scale.factor()

    def get_extra_state(self) -> dict[str, Any]:
        """The tiles' state for ``state_dict``: with it training goes on with the same bits."""
        spec, ticks = self.grid.spec, self.grid.ticks
        return {
            "key": spec.key,
            "ticks": [ticks.forward, ticks.backward, ticks.update],
            "blocks": [[*tile.shape] for tile in spec.tiles],
            "tiles": {name: torch.from_numpy(np.array(v)) for name, v in self.grid.state().items()},
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state: the same devices (the layer's key is saved with it) in the same state."""
        spec = self.grid.spec
        blocks = [[*tile.shape] for tile in spec.tiles]
        if state["blocks"] != blocks:
            raise ConfigError(
                f"{spec.name}: the saved state has tiles {state['blocks']}, this layer has {blocks}; "
                "build the layer with the same sizes, mapping and chip"
            )
        if state["key"] != spec.key:
            self.grid = TileGrid.local(replace(spec, key=state["key"]))
        self.grid.ticks = Ticks(*state["ticks"])
        self.grid.load_state({name: values.numpy() for name, values in state["tiles"].items()})

    def __deepcopy__(self, memo: dict[int, Any]) -> PulsedTiles:
        spec = self.grid.spec
        copied = PulsedTiles(replace(spec, rpu_config=copy.deepcopy(spec.rpu_config)))
        memo[id(self)] = copied
        copied.grid.ticks = copy.copy(self.grid.ticks)
        copied.grid.load_state(self.grid.state())
        copied.training = self.training
        copied.context.requires_grad_(self.context.requires_grad)
        if self.out_scale is not None:
            copied.out_scale = copy.deepcopy(self.out_scale, memo)
        return copied

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PulsedTiles:
        refuse_meta(self.grid, fn)
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        return tiles_text(self.grid)


def refuse_meta(grid: TileGrid, fn: Callable[[Tensor], Tensor]) -> None:
    """An error where ``fn``, with which ``Module.to`` converts tensors, would leave their numbers behind."""
    if fn(torch.ones(1)).is_meta:
        raise ConfigError(
            f"{grid.spec.name}: an analog layer cannot move to the meta device, its tiles hold weights; "
            "convert the model to analog after it was given its weights"
        )


def tiles_text(grid: TileGrid) -> str:
    """How many tiles, for a printed model."""
    tiles = len(grid.spec.tiles)
    return f"{tiles} tile{'s' if tiles > 1 else ''}"
