"""Program and age all layers of a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..exceptions import ModuleError
from ..missing import absent


def _tiles(model: nn.Module, what: str) -> Any:
    from ..simulator.tiles.module import TileModule

    if model.training:
        raise ModuleError(f"{what} in training mode: call model.eval() first")
    return [each for each in model.modules() if isinstance(each, TileModule)]


def program_analog_weights(model: nn.Module, noise_model: Any = None) -> None:
    """Write the trained weights of all tiles to their devices, with the noise of programming.

    Raises:
        ModuleError: in training mode.
    """
    for tile in _tiles(model, "program_analog_weights"):
        tile.program_weights(noise_model=noise_model)


def drift_analog_weights(model: nn.Module, t_inference: float = 0.0) -> None:
    """Age all tiles to ``t_inference`` seconds after their programming, which comes first where it was not.

    Raises:
        ModuleError: in training mode.
    """
    for tile in _tiles(model, "drift_analog_weights"):
        if tile.analog_ctx.use_torch_update:
            tile.drift_weights(t_inference)


__getattr__ = absent(__name__)
