"""How a signed weight is split over the conductances of its crosspoint."""

from __future__ import annotations

from typing import Any

import torch

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config, field
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference.noise.converters import ConductanceScale

from ...missing import absent
from .base import BaseConductanceConverter as BaseConductanceConverter
from .base import OfTensors


@config
class SinglePairConductanceConverter(OfTensors, kernels.SinglePairConductanceConverter):
    """Two devices: one for positive, one for negative weights."""


@config
class NPairConductanceConverter(OfTensors, kernels.NPairConductanceConverter):
    """Several pairs of different significance."""


@config
class DualPairConductanceConverter(NPairConductanceConverter):
    """Two pairs of different significance."""

    f_lst: list[float] = field(factory=lambda: [1.0, 1.0])

    def validate(self) -> None:
        NPairConductanceConverter.validate(self)
        if len(self.f_lst) != 2:
            raise ConfigError(f"DualPairConductanceConverter.f_lst = {self.f_lst} must hold 2 factors")


@config
class SingleDeviceConductanceConverter(OfTensors, kernels.SingleDeviceConductanceConverter):
    """One device: the range of weights becomes the range of conductances, which are one tensor."""

    def convert_to_conductances(self, weights: Any, scale: ConductanceScale | None = None) -> Any:
        if scale is not None:
            return kernels.SingleDeviceConductanceConverter.convert_to_conductances(self, weights, scale)
        (conductance,), params = OfTensors.convert_to_conductances(self, weights)
        return conductance, {**params, "min": params["min_weight"]}

    def convert_back_to_weights(self, conductances: Any, params: Any) -> Any:
        if isinstance(params, ConductanceScale):
            back = kernels.SingleDeviceConductanceConverter.convert_back_to_weights
            return back(self, conductances, params)
        whole = torch.stack(conductances) if isinstance(conductances, list) else conductances
        return params["min"] + (whole - self.g_min) / params["scale_ratio"]


@config
class CustomPairConductanceConverter(OfTensors, kernels.CustomPairConductanceConverter):
    """Pairs whose conductances are tables over the weight."""


#: the class of this package for a class of the kernels
OF_TENSORS = {
    kernels.SinglePairConductanceConverter: SinglePairConductanceConverter,
    kernels.NPairConductanceConverter: NPairConductanceConverter,
    kernels.SingleDeviceConductanceConverter: SingleDeviceConductanceConverter,
    kernels.CustomPairConductanceConverter: CustomPairConductanceConverter,
}

__getattr__ = absent(__name__)
