"""Noise models of tensors and of tiles."""

from __future__ import annotations

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config

from ...missing import absent
from .base import NoiseOfTensors


@config
class ReRamWan2022NoiseModel(NoiseOfTensors, kernels.ReRamWan2022NoiseModel):
    __doc__ = kernels.ReRamWan2022NoiseModel.__doc__


@config
class ReRamCMONoiseModel(NoiseOfTensors, kernels.ReRamCMONoiseModel):
    __doc__ = kernels.ReRamCMONoiseModel.__doc__


__getattr__ = absent(__name__)
