"""RPU configurations: everything that decides how a layer's tiles behave, but not where they are.

Names and fields follow aihwkit, the field's common vocabulary. Configurations hold no torch objects:
tile actors read them too.
"""

from __future__ import annotations

from typing import TypeAlias

from ..kernels.analog_mvm.parameters import IOParameters
from ..kernels.config import Config, config, field
from ..kernels.devices import ConstantStepDevice, FloatingPointDevice
from ..kernels.pulsed_update.parameters import UpdateParameters


@config
class MappingParameter(Config):
    """How a layer's weights are laid onto tiles where no chip says so."""

    max_input_size: int = field(512, at_least=0)
    max_output_size: int = field(512, at_least=0)
    digital_bias: bool = True


@config
class FloatingPointRPUConfig(Config):
    """Exact products and exact updates: the digital twin of an analog layer."""

    device: FloatingPointDevice = field(factory=FloatingPointDevice)
    mapping: MappingParameter = field(factory=MappingParameter)


@config
class SingleRPUConfig(Config):
    """One device at every crosspoint, trained with pulsed updates."""

    device: Config = field(factory=ConstantStepDevice)
    forward: IOParameters = field(factory=IOParameters)
    backward: IOParameters = field(factory=IOParameters)
    update: UpdateParameters = field(factory=UpdateParameters)
    mapping: MappingParameter = field(factory=MappingParameter)


@config
class UnitCellRPUConfig(Config):
    """A cell of several devices at every crosspoint: vector cells, Tiki-Taka and their kin."""

    device: Config
    forward: IOParameters = field(factory=IOParameters)
    backward: IOParameters = field(factory=IOParameters)
    update: UpdateParameters = field(factory=UpdateParameters)
    mapping: MappingParameter = field(factory=MappingParameter)


RPUConfig: TypeAlias = FloatingPointRPUConfig | SingleRPUConfig | UnitCellRPUConfig


def perfect_io() -> IOParameters:
    """A periphery without any imperfection."""
    return IOParameters(is_perfect=True)


def periphery_of(rpu_config: RPUConfig) -> tuple[IOParameters, IOParameters]:
    """The forward and the backward periphery of ``rpu_config``."""
    if isinstance(rpu_config, FloatingPointRPUConfig):
        return perfect_io(), perfect_io()
    return rpu_config.forward, rpu_config.backward


def update_of(rpu_config: RPUConfig) -> UpdateParameters:
    """How the tiles of ``rpu_config`` are pulsed."""
    if isinstance(rpu_config, FloatingPointRPUConfig):
        return UpdateParameters()
    return rpu_config.update
