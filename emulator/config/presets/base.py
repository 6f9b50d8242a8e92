"""What all presets have in common: the periphery of ``PresetIOParameters`` in both directions."""

from __future__ import annotations

from crossgrid.kernels.analog_mvm.parameters import IOParameters, PresetIOParameters
from crossgrid.kernels.config import config, field

from ..rpu import SingleRPUConfig, UnitCellRPUConfig


@config
class SinglePreset(SingleRPUConfig):
    """A device at every crosspoint, with the periphery of the presets."""

    forward: IOParameters = field(factory=PresetIOParameters)
    backward: IOParameters = field(factory=PresetIOParameters)


@config
class CellPreset(UnitCellRPUConfig):
    """A cell at every crosspoint, with the periphery of the presets."""

    forward: IOParameters = field(factory=PresetIOParameters)
    backward: IOParameters = field(factory=PresetIOParameters)
