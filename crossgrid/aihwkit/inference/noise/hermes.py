"""Noise models of tensors and of tiles."""

from __future__ import annotations

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config

from ...missing import absent
from .base import BaseNoiseModel


@config
class HermesNoiseModel(BaseNoiseModel, kernels.HermesNoiseModel):
    __doc__ = kernels.HermesNoiseModel.__doc__


__getattr__ = absent(__name__)
