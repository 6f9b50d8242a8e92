"""RPU configurations with aihwkit's fields: this project's, with digital processing and runtime beside."""

from __future__ import annotations

import dataclasses
from typing import Any

from crossgrid.emulator.config import rpu
from crossgrid.kernels import inference as kernels
from crossgrid.kernels.analog_mvm import parameters as core
from crossgrid.kernels.cells import MixedPrecisionCompound, UnitCell
from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.devices import ConstantStepDevice, IdealDevice
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

from ...exceptions import ConfigError
from ...inference.compensation.base import BaseDriftCompensation, OwnDriftCompensation
from ...inference.noise.base import BaseNoiseModel
from ...inference.noise.own import OwnNoiseModel
from ...inference.noise.pcm import PCMLikeNoiseModel
from ...missing import PREFIX, absent
from ..parameters.base import RPUConfigBase
from ..parameters.inference import WeightModifierParameter
from ..parameters.io import IOParameters, IOParametersIRDropT
from ..parameters.mapping import MappableRPU as MappableRPU
from ..parameters.mapping import MappingParameter
from ..parameters.pre_post import PrePostProcessingParameter
from ..parameters.pre_post import PrePostProcessingRPU as PrePostProcessingRPU
from ..parameters.runtime import RuntimeParameter

NoiseModel = kernels.BaseNoiseModel | BaseNoiseModel
Compensation = kernels.BaseDriftCompensation | BaseDriftCompensation | None
PROJECT = f"{PREFIX.split('.')[0]}."


@config
class FloatingPointRPUConfig(RPUConfigBase, rpu.FloatingPointRPUConfig):
    """Exact products and exact updates."""

    mapping: MappingParameter = field(factory=MappingParameter)
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)
    """Digital processing before and after the tiles."""
    runtime: RuntimeParameter = field(factory=RuntimeParameter)
    """How tiles are run."""


@config
class SingleRPUConfig(RPUConfigBase, rpu.SingleRPUConfig):
    """One device at every crosspoint, trained with pulsed updates."""

    device: Config = field(factory=ConstantStepDevice)
    forward: core.IOParameters = field(factory=IOParameters)
    backward: core.IOParameters = field(factory=IOParameters)
    mapping: MappingParameter = field(factory=MappingParameter)
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)
    """Digital processing before and after the tiles."""
    runtime: RuntimeParameter = field(factory=RuntimeParameter)
    """How tiles are run."""


@config
class UnitCellRPUConfig(RPUConfigBase, rpu.UnitCellRPUConfig):
    """A cell of several devices at every crosspoint; ``device`` may be set later."""

    device: Config = field(factory=UnitCell)
    forward: core.IOParameters = field(factory=IOParameters)
    backward: core.IOParameters = field(factory=IOParameters)
    mapping: MappingParameter = field(factory=MappingParameter)
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)
    """Digital processing before and after the tiles."""
    runtime: RuntimeParameter = field(factory=RuntimeParameter)
    """How tiles are run."""


@config
class DigitalRankUpdateRPUConfig(UnitCellRPUConfig):
    """Updates are summed up in digital and written to the devices in whole steps."""

    device: Config = field(factory=MixedPrecisionCompound)


@config
class InferenceRPUConfig(RPUConfigBase, rpu.InferenceRPUConfig):
    """Tiles for inference: trained digitally with noise, then programmed, then drifting."""

    forward: core.IOParameters = field(factory=IOParameters)
    backward: core.IOParameters = field(factory=lambda: IOParameters(is_perfect=True))
    noise_model: NoiseModel = field(factory=PCMLikeNoiseModel)  # type: ignore[assignment]
    drift_compensation: Compensation = field(  # type: ignore[assignment]
        factory=kernels.GlobalDriftCompensation
    )
    modifier: kernels.WeightModifierParameter = field(factory=WeightModifierParameter)
    mapping: MappingParameter = field(factory=MappingParameter)
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)
    runtime: RuntimeParameter = field(factory=RuntimeParameter)
    """How tiles are run."""

    @property
    def update(self) -> UpdateParameters:
        """The trained weights follow the gradient exactly."""
        return UpdateParameters(pulse_type=PulseType.NONE)

    @property
    def device(self) -> IdealDevice:
        """What holds the weights while they are trained."""
        return IdealDevice()

    def compatible_with(self, tile_class_name: str) -> bool:
        """Also with a state that the torch tile saved."""
        return tile_class_name in (self.tile_class.__name__, "TorchInferenceTile")


@config
class TorchInferenceRPUConfig(InferenceRPUConfig):
    """As ``InferenceRPUConfig``: here both are computed by the same kernels."""


@config
class TorchInferenceRPUConfigIRDropT(TorchInferenceRPUConfig):
    """Tiles whose inputs are durations of pulses, read through wires with a resistance.

    A line has as many crossings as ``mapping.max_input_size``, or as its inputs where that is 0; weights are
    the pairs of conductances of ``noise_model.g_converter``. The wires act in training too.
    """

    forward: core.IOParameters = field(factory=IOParametersIRDropT)

    @property
    def simulator_tile_class(self) -> Any:
        """The class of what is behind the digital periphery of its tiles."""
        from ..tiles.simulator import SimulatorView

        return SimulatorView


def core_config(configuration: Any) -> Any:
    """``configuration`` as this project's tiles take it: no class of this package is in it."""
    if isinstance(configuration, list):
        return [core_config(each) for each in configuration]
    if _is_own(configuration):
        return _on_tiles(configuration)
    if not isinstance(configuration, Config):
        return configuration
    own: Any = type(configuration)
    kind = _core_class(own)
    if kind is Config:
        return configuration  # nothing that tiles know
    values = {spec.name: getattr(configuration, spec.name) for spec in dataclasses.fields(kind)}
    if isinstance(values.get("forward"), IOParametersIRDropT):
        values["forward"] = _forward(configuration)
    converted = {name: core_config(value) for name, value in values.items()}
    if kind is own and all(converted[name] is values[name] for name in values if name in converted):
        return configuration
    made = kind.__new__(kind)
    for name, value in converted.items():
        object.__setattr__(made, name, value)
    return made


def _is_own(configuration: Any) -> bool:
    """Whether it is a user's noise model or compensation, written as for aihwkit."""
    if type(configuration).__module__.startswith(PROJECT):
        return False
    return isinstance(configuration, BaseNoiseModel) or hasattr(configuration, "readout")


def _on_tiles(own: Any) -> Config:
    """A user's noise model or compensation as tiles take it."""
    if not isinstance(own, BaseNoiseModel):
        return OwnDriftCompensation(model=own)
    converter = core_config(own.g_converter)
    if not isinstance(converter, kernels.BaseConductanceConverter):
        raise ConfigError(
            f"{type(own).__name__}.g_converter = {type(converter).__name__}: derive a converter of your own "
            "from crossgrid.BaseConductanceConverter, which is given the scale of the tile"
        )
    return OwnNoiseModel(g_converter=converter, model=own)


def _core_class(own: type) -> Any:
    """What tiles know of a class: of a user's own it is the class itself, but of a whole configuration."""
    classes = own.__mro__
    if issubclass(own, RPUConfigBase):
        classes = tuple(each for each in classes if each.__module__.startswith(PROJECT))
    return next(each for each in classes if not each.__module__.startswith(PREFIX))


def _forward(configuration: Any) -> core.IOParameters:
    """What ``IOParametersIRDropT`` means to the tiles of ``configuration``."""
    io = configuration.forward
    if not isinstance(configuration, TorchInferenceRPUConfigIRDropT):
        return io.at_once()  # type: ignore[no-any-return]
    converter = core_config(configuration.noise_model.g_converter)
    return io.in_time(configuration.mapping.max_input_size, converter)  # type: ignore[no-any-return]


__getattr__ = absent(__name__)
