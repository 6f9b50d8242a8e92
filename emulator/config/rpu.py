"""RPU configurations: everything that decides how a layer's tiles behave, but not where they are.

Names and fields follow aihwkit, the field's common vocabulary. Configurations hold no torch objects:
tile actors read them too.
"""

from __future__ import annotations

from typing import TypeAlias

from crossgrid.kernels.analog_mvm.parameters import IOParameters
from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.devices import ConstantStepDevice, FloatingPointDevice
from crossgrid.kernels.errors import unknown
from crossgrid.kernels.inference import (
    BaseDriftCompensation,
    BaseNoiseModel,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    WeightClipParameter,
    WeightModifierParameter,
    WeightRemapParameter,
)
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

#: as in ``crossgrid.chip``, which no tile needs
GROUPED = ("separate", "diagonal")


@config
class MappingParameter(Config):
    """How a layer's weights are laid onto tiles where no chip says so."""

    max_input_size: int = field(512, at_least=0)
    """Largest number of inputs of a tile; 0: no limit."""
    max_output_size: int = field(512, at_least=0)
    """Largest number of outputs of a tile; 0: no limit."""
    grouped: str = "separate"
    """How a convolution's groups are laid onto tiles: "separate", each on tiles of its own; or "diagonal",
    side by side, a tile full of them, with devices that hold zero between one group's inputs and another's
    outputs; for inference only."""
    digital_bias: bool = True
    """Whether a layer's bias is added in digital, or else is a column of its tiles, whose input is always 1:
    with the noise, the bounds and the pulses of the weights. Not for transposed convolutions and bilinear
    forms, whose outputs are sums of several results."""
    weight_scaling_omega: float = field(0.0, at_least=0.0)
    """Largest magnitude of the weights on the tiles, in units of weight: they hold W / a, and outputs are
    multiplied by a; 0: they hold W."""
    weight_scaling_columnwise: bool = False
    """Whether there is a scale a for each output, or else one for the layer."""
    learn_out_scaling: bool = False
    """Whether the scale a is trained."""
    out_scaling_columnwise: bool = False
    """Whether the trained scale is one for each output, or else one for the layer."""

    def validate(self) -> None:
        if self.grouped not in GROUPED:
            raise unknown("mapping.grouped", self.grouped, GROUPED)


@config
class FloatingPointRPUConfig(Config):
    """Exact products and exact updates: the digital twin of an analog layer."""

    device: FloatingPointDevice = field(factory=FloatingPointDevice)
    """What holds the weights: digital memory."""
    mapping: MappingParameter = field(factory=MappingParameter)
    """How a layer's weights are laid onto tiles where no chip says so."""


@config
class SingleRPUConfig(Config):
    """One device at every crosspoint, trained with pulsed updates."""

    device: Config = field(factory=ConstantStepDevice)
    """The device at every crosspoint."""
    forward: IOParameters = field(factory=IOParameters)
    """Periphery of the forward read, y = W x."""
    backward: IOParameters = field(factory=IOParameters)
    """Periphery of the backward read, the gradient of x."""
    update: UpdateParameters = field(factory=UpdateParameters)
    """How gradients become pulses."""
    mapping: MappingParameter = field(factory=MappingParameter)
    """How a layer's weights are laid onto tiles where no chip says so."""


@config
class UnitCellRPUConfig(Config):
    """A cell of several devices at every crosspoint: vector cells, Tiki-Taka and their kin."""

    device: Config
    """The cell at every crosspoint."""
    forward: IOParameters = field(factory=IOParameters)
    """Periphery of the forward read, y = W x."""
    backward: IOParameters = field(factory=IOParameters)
    """Periphery of the backward read, the gradient of x."""
    update: UpdateParameters = field(factory=UpdateParameters)
    """How gradients become pulses."""
    mapping: MappingParameter = field(factory=MappingParameter)
    """How a layer's weights are laid onto tiles where no chip says so."""


@config
class InputRangeParameter(Config):
    """The range that a layer's inputs are clipped to before the DAC, learned while training."""

    enable: bool = False
    """Whether inputs are clipped to a range and divided by it."""
    init_value: float = field(3.0, above=0.0)
    """The range before anything is learned, in units of the input."""
    init_from_data: int = field(100, at_least=0)
    """Number of training batches that calibrate the range; 0: it stays at ``init_value``."""
    init_std_alpha: float = field(3.0, above=0.0)
    """What the range is calibrated to, in units of the inputs' standard deviation."""
    decay: float = field(0.001, at_least=0.0)
    """Gradient that shrinks the range while hardly an input is clipped, as a fraction of the range."""
    input_min_percentage: float = field(0.95, at_least=0.0, at_most=1.0)
    """Fraction of inputs within the range above which it shrinks."""
    gradient_scale: float = field(1.0, at_least=0.0)
    """Factor of the gradient with ``gradient_relative``; 0: clipped inputs do not widen the range."""
    gradient_relative: bool = True
    """Whether the gradient is multiplied by the range and ``gradient_scale``."""
    manage_output_clipping: bool = False
    """Whether the range grows while results stand at the ADC's bound; it needs noise and bound management
    NONE."""
    output_min_percentage: float = field(0.95, at_least=0.0, at_most=1.0)
    """Fraction of results within the ADC's bound below which ``manage_output_clipping`` acts."""


@config
class PrePostProcessingParameter(Config):
    """Digital processing before and after the tiles."""

    input_range: InputRangeParameter = field(factory=InputRangeParameter)
    """The range that inputs are clipped to before the DAC."""


@config
class InferenceRPUConfig(Config):
    """Tiles for inference: trained digitally with noise (hardware-aware), then programmed, then drifting."""

    forward: IOParameters = field(factory=IOParameters)
    """Periphery of the forward read, y = W x."""
    backward: IOParameters = field(factory=lambda: IOParameters(is_perfect=True))
    """Periphery of the backward read, the gradient of x; perfect, as training is digital."""
    noise_model: BaseNoiseModel = field(factory=PCMLikeNoiseModel)
    """What programming and time do to the conductances."""
    drift_compensation: BaseDriftCompensation | None = field(factory=GlobalDriftCompensation)
    """Digital factor of the outputs that undoes the mean drift; None: no compensation."""
    modifier: WeightModifierParameter = field(factory=WeightModifierParameter)
    """Noise and rounding of the weights that a mini-batch of training sees."""
    clip: WeightClipParameter = field(factory=WeightClipParameter)
    """Clipping of the weights after a step of the optimizer."""
    remap: WeightRemapParameter = field(factory=WeightRemapParameter)
    """Rescaling of the weights after a step of the optimizer."""
    mapping: MappingParameter = field(factory=MappingParameter)
    """How a layer's weights are laid onto tiles where no chip says so."""
    pre_post: PrePostProcessingParameter = field(factory=PrePostProcessingParameter)
    """Digital processing before and after the tiles."""

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
