"""Configurations of inference and of digital twins."""

from __future__ import annotations

from crossgrid.kernels.analog_mvm.parameters import (
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
    PresetIOParameters,
    WeightNoiseType,
)
from crossgrid.kernels.config import config, field
from crossgrid.kernels.inference import (
    WeightClipParameter,
    WeightClipType,
    WeightRemapParameter,
    WeightRemapType,
)

from ...missing import absent
from ..configs.configs import FloatingPointRPUConfig, TorchInferenceRPUConfig
from ..parameters.mapping import MappingParameter
from ..parameters.pre_post import InputRangeParameter, PrePostProcessingParameter


def hardware_aware_mapping() -> MappingParameter:
    """A scale and a learned factor for each output, tiles of 512 inputs."""
    return MappingParameter(
        weight_scaling_omega=1.0, weight_scaling_columnwise=True, max_input_size=512, max_output_size=0,
        learn_out_scaling=True, out_scaling_columnwise=True,
    )  # fmt: skip


def hardware_aware_io() -> IOParameters:
    """8-bit converters, noise of PCM reads, IR drop; inputs are scaled by their learned range alone."""
    return PresetIOParameters(
        inp_res=254.0, out_res=254.0, bound_management=BoundManagementType.NONE,
        noise_management=NoiseManagementType.CONSTANT, nm_thres=1.0, w_noise=0.0175,
        w_noise_type=WeightNoiseType.PCM_READ, ir_drop=1.0, out_noise=0.04, out_bound=10.0,
    )  # fmt: skip


@config
class StandardHWATrainingPreset(TorchInferenceRPUConfig):
    """Hardware-aware training of Rasch et al., Nat. Commun. 14, 5282 (2023); choose a ``modifier``."""

    mapping: MappingParameter = field(factory=hardware_aware_mapping)
    forward: IOParameters = field(factory=hardware_aware_io)
    remap: WeightRemapParameter = field(
        factory=lambda: WeightRemapParameter(type=WeightRemapType.CHANNELWISE_SYMMETRIC)
    )
    clip: WeightClipParameter = field(
        factory=lambda: WeightClipParameter(type=WeightClipType.FIXED_VALUE, fixed_value=1.0)
    )
    pre_post: PrePostProcessingParameter = field(
        factory=lambda: PrePostProcessingParameter(input_range=InputRangeParameter(enable=True))
    )


@config
class FloatingPointPreset(FloatingPointRPUConfig):
    """Exact products and updates, on one tile of any size."""

    mapping: MappingParameter = field(factory=lambda: MappingParameter(max_input_size=0, max_output_size=0))


__getattr__ = absent(__name__)
