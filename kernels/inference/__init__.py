"""Inference on analog tiles: programming, drift and its compensation, and hardware-aware training."""

from .compensation import (
    BaseDriftCompensation,
    GlobalDriftCompensation,
    GlobalDriftCompensationWithExactReference,
    PerColumnDriftCompensation,
)
from .modifiers import largest_weight, modified_weights
from .modifiers.parameters import WeightModifierParameter, WeightModifierType
from .noise import (
    BaseNoiseModel,
    CustomDriftPCMLikeNoiseModel,
    HermesNoiseModel,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    StateIndependentNoiseModel,
)
from .noise.converters import (
    BaseConductanceConverter,
    NPairConductanceConverter,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from .noise.custom_pair import CustomPairConductanceConverter
from .parameters import (
    WeightClipParameter,
    WeightClipType,
    WeightRemapParameter,
    WeightRemapType,
)
from .programming import (
    NotProgrammedError,
    ProgrammedState,
    drift_coefficients,
    program,
    programmed_weights,
    weights_at,
    weights_over_time,
)
from .ranges import clip_bound, clip_weights, remap_weights

__all__ = [
    "BaseConductanceConverter",
    "BaseDriftCompensation",
    "BaseNoiseModel",
    "CustomDriftPCMLikeNoiseModel",
    "CustomPairConductanceConverter",
    "GlobalDriftCompensation",
    "GlobalDriftCompensationWithExactReference",
    "HermesNoiseModel",
    "NPairConductanceConverter",
    "NotProgrammedError",
    "PCMLikeNoiseModel",
    "PerColumnDriftCompensation",
    "ProgrammedState",
    "ReRamCMONoiseModel",
    "ReRamWan2022NoiseModel",
    "SingleDeviceConductanceConverter",
    "SinglePairConductanceConverter",
    "StateIndependentNoiseModel",
    "WeightClipParameter",
    "WeightClipType",
    "WeightModifierParameter",
    "WeightModifierType",
    "WeightRemapParameter",
    "WeightRemapType",
    "clip_bound",
    "clip_weights",
    "drift_coefficients",
    "largest_weight",
    "modified_weights",
    "program",
    "programmed_weights",
    "remap_weights",
    "weights_at",
    "weights_over_time",
]
