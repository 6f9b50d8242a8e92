"""What the modules around a matrix's tiles have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import TileGrid


def require_movable(grid: TileGrid, fn: Callable[[Tensor], Tensor]) -> None:
    """An error where ``fn``, with which ``Module.to`` converts tensors, would leave the tiles behind."""
    moved = fn(torch.ones(1))
    if moved.is_meta:
        raise ConfigError(
            f"{grid.spec.name}: an analog layer cannot move to the meta device, its tiles hold weights; "
            "convert the model to analog after it was given its weights"
        )
    if moved.is_cpu and moved.is_shared():
        raise ConfigError(
            f"{grid.spec.name}: share_memory() shares tensors, and tiles are none: another process would "
            "train its own; give each process a copy of the model, or put the tiles into actors "
            "(cg.emulate(model, backend='ray'))"
        )


def tiles_text(grid: TileGrid) -> str:
    """How many tiles, for a printed model."""
    tiles = len(grid.spec.tiles)
    return f"{tiles} tile{'s' if tiles > 1 else ''}"
