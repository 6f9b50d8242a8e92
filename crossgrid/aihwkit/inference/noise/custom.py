"""Noise models of tensors and of tiles."""

from __future__ import annotations

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config

from ...missing import absent
from .base import BaseNoiseModel


@config
class StateIndependentNoiseModel(BaseNoiseModel, kernels.StateIndependentNoiseModel):
    __doc__ = kernels.StateIndependentNoiseModel.__doc__


__getattr__ = absent(__name__)
