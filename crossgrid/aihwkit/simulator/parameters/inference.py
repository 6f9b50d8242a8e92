"""Hardware-aware training and drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config
from crossgrid.kernels.devices import DriftParameter as DriftParameter
from crossgrid.kernels.inference import WeightClipParameter as WeightClipParameter
from crossgrid.kernels.inference import WeightRemapParameter as WeightRemapParameter

from ...missing import absent

SimpleDriftParameter = DriftParameter


@config
class WeightModifierParameter(kernels.WeightModifierParameter):
    """Noise and rounding of the weights that a mini-batch of training sees."""

    without_effect: ClassVar[Mapping[str, str]] = {
        **kernels.WeightModifierParameter.without_effect,
        "per_batch_sample": "one modification serves all samples of a mini-batch",
    }

    def validate(self) -> None:
        each_sample = self.per_batch_sample
        object.__setattr__(self, "per_batch_sample", False)
        try:
            kernels.WeightModifierParameter.validate(self)
        finally:
            object.__setattr__(self, "per_batch_sample", each_sample)


__getattr__ = absent(__name__)
