"""What all analog layers share: tiles behind a weight matrix, weights in and out, and their state."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.patches.unfold import Window

from ..analog_matrix.hardware_aware import HardwareAwareTiles
from ..analog_matrix.pulsed import PulsedTiles
from ..config.rpu import InferenceRPUConfig, RPUConfig, SingleRPUConfig
from ..hosts.grid import TileGrid
from ..tiles.layer_spec import LayerSpec, grid_of_blocks


class AnalogLayer(nn.Module):
    """A layer whose weight matrix sits on analog tiles; its bias, if any, is digital."""

    analog_tile: PulsedTiles | HardwareAwareTiles
    bias: Tensor | None

    def _build(
        self,
        out_size: int,
        in_size: int,
        patches: Window | None,
        rpu_config: RPUConfig | None,
        seed: int | None,
        bias: bool,
        groups: int = 1,
    ) -> None:
        """Cut the weights into blocks, draw the devices and set the initial weights."""
        name = type(self).__name__
        for what, size in (("outputs", out_size), ("inputs", in_size)):
            if size < 1:
                raise ConfigError(
                    f"{name} with {size} {what} has nothing to put on a tile; at least 1 is needed"
                )
        config = copy.deepcopy(rpu_config) if rpu_config is not None else SingleRPUConfig()
        _require_rpu_config(name, config)
        if bias and not config.mapping.digital_bias:
            raise ConfigError(f"{name}: mapping.digital_bias = False is not supported; set it to True")
        if groups > 1 and config.mapping.grouped == "diagonal" and not isinstance(config, InferenceRPUConfig):
            raise ConfigError(
                f"{name}: mapping.grouped = 'diagonal' with {type(config).__name__}: pulses of one group "
                "would move the devices of others on its tile; use 'separate', or an InferenceRPUConfig"
            )
        key = int(torch.randint(2**63 - 1, ()).item()) if seed is None else seed
        cut, rows, columns = grid_of_blocks(name, out_size, in_size, config, groups)
        spec = LayerSpec(name, key, out_size, in_size, rows, columns, cut, patches, config, groups)
        self.analog_tile = PulsedTiles(spec) if spec.learns else HardwareAwareTiles(spec)
        bound = in_size**-0.5  # as torch.nn.Linear and torch.nn.Conv2d start
        self.analog_tile.set_weights(torch.empty(out_size, in_size).uniform_(-bound, bound).numpy())
        self.bias = nn.Parameter(torch.empty(out_size).uniform_(-bound, bound)) if bias else None

    @property
    def grid(self) -> TileGrid:
        """The layer's tiles."""
        return self.analog_tile.grid

    @property
    def rpu_config(self) -> RPUConfig:
        """The layer's own copy of its configuration, as its tiles were built from it."""
        return self.grid.spec.rpu_config

    def to_digital(self) -> nn.Module:
        """A torch layer with this layer's present weights."""
        raise NotImplementedError

    def weight_shape(self) -> tuple[int, ...]:
        """The shape in which torch keeps this layer's weight."""
        return self.grid.spec.out_size, self.grid.spec.in_size

    def get_weights(self) -> tuple[Tensor, Tensor | None]:
        """The weight in torch's shape and the bias: copies.

        It is what the tiles hold; with an ``InferenceRPUConfig``, what the digital trainer holds.
        """
        weight = torch.from_numpy(self.analog_tile.get_weights()).reshape(self.weight_shape())
        return weight, None if self.bias is None else self.bias.detach().clone()

    def set_weights(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Write a weight of torch's shape to the devices (each clips to its bounds), and the bias."""
        spec = self.grid.spec
        if tuple(weight.shape) not in (self.weight_shape(), (spec.out_size, spec.in_size)):
            raise ConfigError(
                f"{spec.name}: a weight of shape {tuple(weight.shape)} cannot be set; "
                f"this layer's is {self.weight_shape()}"
            )
        w_OI = weight.detach().to("cpu", torch.float32).reshape(spec.out_size, -1)
        self.analog_tile.set_weights(np.ascontiguousarray(w_OI.numpy()))
        if bias is not None and self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(bias)

    def program_analog_weights(self) -> None:
        """Write the trained weight to the devices, with programming noise (``InferenceRPUConfig``)."""
        self._inference_tiles("program").program()

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Age the programmed weight by ``t_inference`` seconds since its programming."""
        self._inference_tiles("drift").drift(t_inference)

    def _inference_tiles(self, what: str) -> HardwareAwareTiles:
        if isinstance(self.analog_tile, HardwareAwareTiles):
            return self.analog_tile
        raise ConfigError(
            f"{self.grid.spec.name}: {type(self.rpu_config).__name__} has no noise model to {what} with; "
            "build the layer with an InferenceRPUConfig"
        )


def _require_rpu_config(name: str, config: Any) -> None:
    if not hasattr(config, "device") or not hasattr(config, "mapping"):
        raise ConfigError(
            f"{name}: rpu_config is of type {type(config).__name__}; it must be an RPU configuration "
            "such as SingleRPUConfig(device=ConstantStepDevice())"
        )
