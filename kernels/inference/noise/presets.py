"""Noise models by name, with the parameters of their publications."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import unknown
from .base import BaseNoiseModel
from .hermes import HermesNoiseModel
from .pcm import PCMLikeNoiseModel, StateIndependentNoiseModel
from .reram import ReRamCMONoiseModel, ReRamWan2022NoiseModel

PRESETS: dict[str, Callable[[], BaseNoiseModel]] = {
    "pcm": PCMLikeNoiseModel,  # Nandakumar et al., ICECS 2019, 25 µS
    "hermes": HermesNoiseModel,  # Le Gallo et al., Nature Electronics 2023, two devices a polarity, 20.7 µS
    "hermes-one-device": lambda: HermesNoiseModel(num_devices=1),  # 10.35 µS
    "reram-wan": lambda: ReRamWan2022NoiseModel(g_max=40.0),  # Wan et al., Nature 2022, where it was fitted
    "reram-cmo": ReRamCMONoiseModel,  # Falcone et al., 2024, acceptance range 0.2 %
    "reram-cmo-2-percent": lambda: ReRamCMONoiseModel(acceptance_range=2.0),
    "state-independent": StateIndependentNoiseModel,
}


def noise_model(name: str) -> BaseNoiseModel:
    """A new noise model of this name."""
    if name not in PRESETS:
        raise unknown("noise model", name, PRESETS)
    return PRESETS[name]()
