"""RPU configurations: everything that decides how a layer's tiles behave, but not where they are.

Names and fields follow aihwkit, the field's common vocabulary. Configurations hold no torch objects:
tile actors read them too.
"""

from __future__ import annotations

from typing import TypeAlias

from ..kernels.analog_mvm.parameters import IOParameters
from ..kernels.config import Config, config, field
from ..kernels.devices import ConstantStepDevice, FloatingPointDevice
from ..kernels.inference import (
    BaseDriftCompensation,
    BaseNoiseModel,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    WeightClipParameter,
    WeightModifierParameter,
    WeightRemapParameter,
)
from ..kernels.pulsed_update.parameters import UpdateParameters


@config
class MappingParameter(Config):
    """How a layer's weights are laid onto tiles where no chip says so."""

    max_input_size: int = field(512, at_least=0)
    max_output_size: int = field(512, at_least=0)
    digital_bias: bool = True
    weight_scaling_omega: float = field(
        0.0, at_least=0.0
    )  # tiles hold W / a with max |W / a| = omega; 0: off
    weight_scaling_columnwise: bool = False  # a for each output instead of one for the layer
    learn_out_scaling: bool = False  # a is trained
    out_scaling_columnwise: bool = False  # ... for each output


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


@config
class InputRangeParameter(Config):
    """The range that a layer's inputs are clipped to before the DAC, learned while training."""

    enable: bool = False
    init_value: float = field(3.0, above=0.0)
    init_from_data: int = field(100, at_least=0)  # training batches that calibrate the range
    init_std_alpha: float = field(3.0, above=0.0)  # calibrated to this many standard deviations
    decay: float = field(0.001, at_least=0.0)
    input_min_percentage: float = field(0.95, at_least=0.0, at_most=1.0)
    gradient_scale: float = field(1.0, at_least=0.0)
    gradient_relative: bool = True


@config
class PrePostProcessingParameter(Config):
    """Digital processing before and after the tiles."""

    input_range: InputRangeParameter = field(factory=InputRangeParameter)


@config
class InferenceRPUConfig(Config):
    """Tiles for inference: trained digitally with noise (hardware-aware), then programmed, then drifting."""

    forward: IOParameters = field(factory=IOParameters)
    backward: IOParameters = field(factory=lambda: IOParameters(is_perfect=True))
    noise_model: BaseNoiseModel = field(factory=PCMLikeNoiseModel)
    drift_compensation: BaseDriftCompensation | None = field(factory=GlobalDriftCompensation)
    modifier: WeightModifierParameter = field(factory=WeightModifierParameter)
    clip: WeightClipParameter = field(factory=WeightClipParameter)
    remap: WeightRemapParameter = field(factory=WeightRemapParameter)
    mapping: MappingParameter = field(factory=MappingParameter)
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)

    @property
    def device(self) -> FloatingPointDevice:
        """What holds the weights while they are trained: digital memory."""
        return FloatingPointDevice()


RPUConfig: TypeAlias = FloatingPointRPUConfig | SingleRPUConfig | UnitCellRPUConfig | InferenceRPUConfig


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
    if isinstance(rpu_config, (FloatingPointRPUConfig, InferenceRPUConfig)):
        return UpdateParameters()
    return rpu_config.update
