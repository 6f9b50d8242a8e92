"""What layers and models with tiles can do: find their tiles, weights, programming, drift, configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...exceptions import ModuleError
from ...missing import absent
from ...simulator.tiles.module import TileModule


class AnalogLayerBase(nn.Module):
    """The methods of layers and of models that have some: each goes through the tiles below."""

    IS_CONTAINER = False

    def named_analog_modules(self) -> Iterator[tuple[str, AnalogLayerBase]]:
        """Layers and containers by name."""
        for name, module in self.named_modules():
            if isinstance(module, AnalogLayerBase):
                yield name, module

    def analog_modules(self) -> Iterator[AnalogLayerBase]:
        """Layers and containers."""
        return (module for _, module in self.named_analog_modules())

    def named_analog_layers(self) -> Iterator[tuple[str, AnalogLayerBase]]:
        """Layers by name, without containers."""
        return ((name, each) for name, each in self.named_analog_modules() if not each.IS_CONTAINER)

    def analog_layers(self) -> Iterator[AnalogLayerBase]:
        """Layers, without containers."""
        return (layer for _, layer in self.named_analog_layers())

    def named_analog_tiles(self) -> Iterator[tuple[str, TileModule]]:
        """Tiles by name."""
        for name, module in self.named_modules():
            if isinstance(module, TileModule):
                yield name, module

    def analog_tiles(self) -> Iterator[TileModule]:
        """Tiles."""
        return (tile for _, tile in self.named_analog_tiles())

    def analog_tile_count(self) -> int:
        """How many tiles there are."""
        return sum(1 for _ in self.analog_tiles())

    def apply_to_analog_layers(self, fn: Callable[[Any], Any]) -> AnalogLayerBase:
        """Call ``fn`` with every layer."""
        for layer in list(self.analog_layers()):
            fn(layer)
        return self

    def apply_to_analog_tiles(self, fn: Callable[[Any], Any]) -> AnalogLayerBase:
        """Call ``fn`` with every tile."""
        for tile in list(self.analog_tiles()):
            fn(tile)
        return self

    def get_analog_tile_devices(self) -> list[torch.device]:
        """Where torch sees each tile."""
        return [tile.device for tile in self.analog_tiles()]

    def unregister_parameter(self, param_name: str) -> None:
        """Keep a parameter's name, and no parameter.

        Raises:
            ModuleError: there is no such parameter.
        """
        if not isinstance(getattr(self, param_name, None), nn.Parameter):
            raise ModuleError(f"{type(self).__name__} has no parameter '{param_name}'")
        delattr(self, param_name)
        setattr(self, param_name, None)

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write the weight and the bias; further arguments as of ``TileModule.set_weights``."""
        self._matrix_module().set_weights(weight, bias, **kwargs)

    def get_weights(self, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """The weight [out, in] and the bias; arguments as of ``TileModule.get_weights``."""
        found: tuple[Tensor, Tensor | None] = self._matrix_module().get_weights(**kwargs)
        return found

    def _matrix_module(self) -> Any:
        module = getattr(self, "analog_module", None)
        if module is None:
            raise ModuleError(f"{type(self).__name__} has no matrix of its own; take one of its layers")
        return module

    def program_analog_weights(self, noise_model: Any = None) -> None:
        """Write the trained weights to the devices, with the noise of programming.

        Raises:
            ModuleError: in training mode.
        """
        self._require_evaluation("program_analog_weights")
        for tile in self.analog_tiles():
            tile.program_weights(noise_model=noise_model)

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Age what was programmed to ``t_inference`` seconds, programming it first where it was not.

        Raises:
            ModuleError: in training mode.
        """
        self._require_evaluation("drift_analog_weights")
        for tile in self.analog_tiles():
            if tile.analog_ctx.use_torch_update:
                tile.drift_weights(t_inference)

    def _require_evaluation(self, what: str) -> None:
        if self.training:
            raise ModuleError(f"{what} in training mode: call model.eval() first")

    def remap_analog_weights(self, weight_scaling_omega: float | None = 1.0) -> None:
        """Choose the scales of all tiles anew: the largest weight on a tile is ``weight_scaling_omega``."""
        for tile in self.analog_tiles():
            tile.remap_weights(weight_scaling_omega=weight_scaling_omega)

    def replace_rpu_config(self, rpu_config: Any) -> None:
        """Make all tiles anew with another configuration, with the weights that they have."""
        for tile in self.analog_tiles():
            tile.replace_with(rpu_config)

    def prepare_for_ddp(self) -> None:
        """Refused: gradients of tiles are not averaged.

        Raises:
            ModuleError: always.
        """
        raise ModuleError(
            "tiles under DistributedDataParallel are not supported: place them with cg.emulate(model, "
            "chip=..., backend='ray'), which spans nodes"
        )

    def load_state_dict(
        self,
        state_dict: Any,
        strict: bool = True,
        load_rpu_config: bool | None = None,
        strict_rpu_config_check: bool | None = None,
    ) -> Any:
        """As torch's.

        Args:
            state_dict: what ``state_dict()`` gave.
            strict: whether all names must fit.
            load_rpu_config: take over the configurations that are in the state (True if not given), or keep
                those of the model.
            strict_rpu_config_check: whether a configuration of another class is an error.
        """
        for tile in self.analog_tiles():
            tile.set_load_rpu_config_state(load_rpu_config, strict_rpu_config_check)
        return super().load_state_dict(state_dict, strict)


__getattr__ = absent(__name__)
