"""What the modules around a matrix's tiles have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import TileGrid


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
