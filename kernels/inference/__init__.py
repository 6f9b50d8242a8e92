"""Inference on analog tiles: programming, drift and its compensation, and hardware-aware training."""

from .compensation import (
    BaseDriftCompensation,
    GlobalDriftCompensation,
    GlobalDriftCompensationWithExactReference,
    PerColumnDriftCompensation,
)
from .converters import (
    BaseConductanceConverter,
    NPairConductanceConverter,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from .modifiers import largest_weight, modified_weights
from .noise import (
    BaseNoiseModel,
    CustomDriftPCMLikeNoiseModel,
    PCMLikeNoiseModel,
    StateIndependentNoiseModel,
)
from .parameters import (
    WeightClipParameter,
    WeightClipType,
    WeightModifierParameter,
    WeightModifierType,
    WeightRemapParameter,
    WeightRemapType,
)
from .programming import NotProgrammedError, ProgrammedState, program, programmed_weights, weights_at

__all__ = [
    "BaseConductanceConverter",
    "BaseDriftCompensation",
    "BaseNoiseModel",
    "CustomDriftPCMLikeNoiseModel",
    "GlobalDriftCompensation",
    "GlobalDriftCompensationWithExactReference",
    "NPairConductanceConverter",
    "NotProgrammedError",
    "PCMLikeNoiseModel",
    "PerColumnDriftCompensation",
    "ProgrammedState",
    "SingleDeviceConductanceConverter",
    "SinglePairConductanceConverter",
    "StateIndependentNoiseModel",
    "WeightClipParameter",
    "WeightClipType",
    "WeightModifierParameter",
    "WeightModifierType",
    "WeightRemapParameter",
    "WeightRemapType",
    "largest_weight",
    "modified_weights",
    "program",
    "programmed_weights",
    "weights_at",
]
