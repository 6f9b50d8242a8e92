"""A layer as it is cut and placed in a run: as on its chip, or as it is; and back again."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from crossgrid.chip import Chip, MappingPlan, converted_by

from ..analog_matrix.hardware_aware import HardwareAwareTiles
from ..config.digital import DigitalInferenceRPUConfig, on_cores
from ..config.rpu import FloatingPointRPUConfig, RPUConfig
from ..hosts.grid import TileGrid
from ..nn.matrix import AnalogMatrix
from ..tiles.layer_spec import LayerSpec, TileSpec, placed


def spec_of(name: str, layer: AnalogMatrix, plan: MappingPlan | None, chip: Chip | None) -> LayerSpec:
    """The layer as it will be cut on this chip (or as it is cut, where there is none)."""
    old = layer.grid.spec
    if plan is None or chip is None:
        return replace(old, name=name, tiles=_labelled(old.tiles, name))
    return placed(old, name, plan, on_kind(old.rpu_config, chip, kind_of(plan, name)))


def kind_of(plan: MappingPlan, name: str) -> int:
    """The number of the kind of tile that a plan has the layer ``name`` on."""
    if not plan.kinds:
        return 0
    return int(plan.layer_kind[[shape.name for shape in plan.layers].index(name)])


def on_kind(config: RPUConfig, chip: Chip, kind: int) -> RPUConfig:
    """``config`` on the chip's tiles of a kind, or on its digital cores."""
    described = chip.described(kind)
    return on_cores(config) if described.digital is not None else with_periphery(config, described)


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


def is_on_cores(spec: LayerSpec, at_home: LayerSpec) -> bool:
    """Whether a layer is on digital cores that was on tiles."""
    exact = (DigitalInferenceRPUConfig, FloatingPointRPUConfig)
    return isinstance(spec.rpu_config, exact) and not isinstance(at_home.rpu_config, exact)


def leave_cores(matrix: AnalogMatrix, home: TileGrid) -> None:
    """Give a matrix its own tiles back, with what the cores hold.

    Weights that are trained digitally are the parameter's, and tiles are brought up to it when they are read.
    Devices that learn are written to only where the cores hold something else than they do.
    """
    tiles, present = matrix.analog_tile, matrix.grid
    if isinstance(tiles, HardwareAwareTiles):
        # a file has the numbers of a layer that was nowhere, unless they came here
        here = home.is_absent and not present.is_absent
        tiles.grid = TileGrid.local(home.spec) if here else home
        tiles.on_tiles = None
        return
    w_OI = present.weights()
    if not np.array_equal(home.weights(), w_OI):
        home.set_weights(w_OI)
    tiles.grid = home
