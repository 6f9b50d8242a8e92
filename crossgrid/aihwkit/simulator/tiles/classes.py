"""The classes of tiles, by the configurations that they are made with."""

from __future__ import annotations

from typing import Any

from crossgrid.emulator.config import rpu

from .module import TileModule


class AnalogTile(TileModule):
    """A tile whose devices learn by pulses."""


class FloatingPointTile(TileModule):
    """Exact products and exact updates."""


class InferenceTile(TileModule):
    """A tile that is trained digitally, then programmed, then drifts."""

    supports_ddp = True


class TorchInferenceTile(InferenceTile):
    """As ``InferenceTile``: here both are computed by the same kernels."""


def tile_class_of(configuration: Any) -> type[TileModule]:
    """The class of the tiles of a configuration."""
    if isinstance(configuration, rpu.FloatingPointRPUConfig):
        return FloatingPointTile
    if not isinstance(configuration, rpu.InferenceRPUConfig):
        return AnalogTile
    return TorchInferenceTile if type(configuration).__name__.startswith("Torch") else InferenceTile
