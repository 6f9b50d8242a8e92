"""Noise models: what device technologies do to programmed conductances."""

from .base import BaseNoiseModel
from .pcm import CustomDriftPCMLikeNoiseModel, PCMLikeNoiseModel, StateIndependentNoiseModel

__all__ = [
    "BaseNoiseModel",
    "CustomDriftPCMLikeNoiseModel",
    "PCMLikeNoiseModel",
    "StateIndependentNoiseModel",
]
