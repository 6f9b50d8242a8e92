"""Noise models: what device technologies do to programmed conductances."""

from .base import BaseNoiseModel
from .hermes import HermesNoiseModel
from .pcm import CustomDriftPCMLikeNoiseModel, PCMLikeNoiseModel, StateIndependentNoiseModel
from .reram import ReRamCMONoiseModel, ReRamWan2022NoiseModel

__all__ = [
    "BaseNoiseModel",
    "CustomDriftPCMLikeNoiseModel",
    "HermesNoiseModel",
    "PCMLikeNoiseModel",
    "ReRamCMONoiseModel",
    "ReRamWan2022NoiseModel",
    "StateIndependentNoiseModel",
]
