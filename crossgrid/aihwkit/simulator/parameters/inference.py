"""Hardware-aware training and drift."""

from __future__ import annotations

from crossgrid.kernels.devices import DriftParameter as DriftParameter
from crossgrid.kernels.inference import WeightClipParameter as WeightClipParameter
from crossgrid.kernels.inference import WeightModifierParameter as WeightModifierParameter
from crossgrid.kernels.inference import WeightRemapParameter as WeightRemapParameter

from ...missing import absent

SimpleDriftParameter = DriftParameter


__getattr__ = absent(__name__)
