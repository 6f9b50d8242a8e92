"""A layer as it is cut and placed in a run: as on its chip, or as it is."""

from __future__ import annotations

import copy
from dataclasses import replace

from crossgrid.chip import Chip, MappingPlan, converted_by

from ..config.rpu import FloatingPointRPUConfig, RPUConfig
from ..nn.matrix import AnalogMatrix
from ..tiles.layer_spec import LayerSpec, TileSpec, placed


def spec_of(name: str, layer: AnalogMatrix, plan: MappingPlan | None, chip: Chip | None) -> LayerSpec:
    """The layer as it will be cut on this chip (or as it is cut, where there is none)."""
    old = layer.grid.spec
    if plan is None or chip is None:
        return replace(old, name=name, tiles=_labelled(old.tiles, name))
    return placed(old, name, plan, with_periphery(old.rpu_config, chip))


def _labelled(tiles: tuple[TileSpec, ...], name: str) -> tuple[TileSpec, ...]:
    return tuple(replace(tile, label=f"{name}/{tile.row},{tile.column}") for tile in tiles)


def with_periphery(config: RPUConfig, chip: Chip) -> RPUConfig:
    """``config`` with the chip's converters in place of its own."""
    if chip.ideal or isinstance(config, FloatingPointRPUConfig):
        return config
    config = copy.deepcopy(config)
    config.forward = converted_by(chip, config.forward)
    config.backward = converted_by(chip, config.backward)
    return config
