"""The enums of configurations."""

from __future__ import annotations

from enum import Enum

import torch

from crossgrid.kernels.analog_mvm.parameters import AnalogMVType as AnalogMVType
from crossgrid.kernels.analog_mvm.parameters import BoundManagementType as BoundManagementType
from crossgrid.kernels.analog_mvm.parameters import NoiseManagementType as NoiseManagementType
from crossgrid.kernels.analog_mvm.parameters import WeightNoiseType as WeightNoiseType
from crossgrid.kernels.cells import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from crossgrid.kernels.inference import WeightClipType as WeightClipType
from crossgrid.kernels.inference import WeightModifierType as WeightModifierType
from crossgrid.kernels.inference import WeightRemapType as WeightRemapType
from crossgrid.kernels.pulsed_update.parameters import PulseType as PulseType

from ...missing import absent


class RPUDataType(Enum):
    """The floating type of a layer's inputs and outputs; tiles compute in float32 whatever it is."""

    FLOAT = "float"
    DOUBLE = "double"
    HALF = "half"

    def as_torch(self) -> torch.dtype:
        """Torch's type."""
        return {"float": torch.float32, "double": torch.float64, "half": torch.float16}[self.value]


class CountLRFeedbackPolicy(Enum):
    """A feedback of the learning rate that aihwkit declares; no device here takes it."""

    NONE = "None"
    PAST_EPOCH = "PastEpoch"
    EXPECTED_EPOCH = "ExpectedEpoch"


__getattr__ = absent(__name__)
