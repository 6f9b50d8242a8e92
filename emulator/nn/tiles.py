"""A layer's weight matrix on tiles that learn by pulses, as a torch module."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...kernels.errors import ConfigError
from ..autograd import AnalogContext, analog_product
from ..grid import Ticks, TileGrid
from ..layer_spec import LayerSpec


class PulsedTiles(nn.Module):
    """W[out, in] on analog tiles; its one parameter tells optimizers that the tiles are there."""

    def __init__(self, spec: LayerSpec) -> None:
        """Draw the devices of the layer ``spec``, weights zero, in this process."""
        super().__init__()
        self.context = AnalogContext(TileGrid.local(spec))

    @property
    def grid(self) -> TileGrid:
        """The tiles, wherever they are."""
        return self.context.grid

    @grid.setter
    def grid(self, grid: TileGrid) -> None:
        self.context.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """y[vectors, out] = W x of features x[B, in] or of the patches of images x[B, channels, ...]."""
        return analog_product(x, self.context)

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
        copied = PulsedTiles(self.grid.spec)
        memo[id(self)] = copied
        copied.grid.ticks = copy.copy(self.grid.ticks)
        copied.grid.load_state(self.grid.state())
        copied.training = self.training
        return copied

    def extra_repr(self) -> str:
        tiles = len(self.grid.spec.tiles)
        return f"{tiles} tile{'s' if tiles > 1 else ''}"
