"""How a signed weight is split over the conductances of its crosspoint."""

from __future__ import annotations

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config, field
from crossgrid.kernels.errors import ConfigError

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
    """One device: the range of weights becomes the range of conductances."""


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
