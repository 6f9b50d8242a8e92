"""Write inference.json: quantiles of aihwkit's noise models and weight modifiers.

Run it with a Python that has aihwkit 1.1.0 (CPython 3.11, torch 2.10): ``python make_inference.py``.
Each tile [512, 512] holds four levels of weight in equal blocks of rows; each level's quantiles are kept.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from aihwkit import __version__
from aihwkit.inference import (
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
)
from aihwkit.inference.noise.hermes import HermesNoiseModel
from aihwkit.inference.noise.reram import ReRamCMONoiseModel
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import WeightModifierType

LEVELS = [0.05, -0.3, 0.7, 1.0]
SIZE = 512
PROBABILITIES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
TIMES_S = [1.0, 3600.0, 86400.0, 31536000.0]
WAN_TIMES_S = [1.0, 86400.0, 172800.0]
# aihwkit's modifiers draw from a list of 32 768 normals that is used again and again
MODIFIER_SAMPLES = 32768

NOISE_MODELS = {
    "pcm": (PCMLikeNoiseModel(), TIMES_S),
    "pcm_g_max_30": (PCMLikeNoiseModel(g_max=30.0), TIMES_S[1:2]),
    "pcm_g_min_2": (PCMLikeNoiseModel(g_converter=SinglePairConductanceConverter(g_min=2.0)), TIMES_S[1:2]),
    "pcm_two_pairs": (
        PCMLikeNoiseModel(g_converter=NPairConductanceConverter(f_lst=[1.0, 3.0])),
        TIMES_S[1:2],
    ),
    "hermes_2": (HermesNoiseModel(num_devices=2), TIMES_S),
    "hermes_1": (HermesNoiseModel(num_devices=1), TIMES_S[1:2]),
    "wan": (ReRamWan2022NoiseModel(), WAN_TIMES_S),
    "cmo": (ReRamCMONoiseModel(), TIMES_S[1:3]),
    "state_independent": (StateIndependentNoiseModel(), TIMES_S[1:2]),
}
MODIFIERS = {
    "add_normal": {"type": "ADD_NORMAL", "std_dev": 0.1},
    "add_normal_assumed": {
        "type": "ADD_NORMAL", "std_dev": 0.1, "rel_to_actual_wmax": False, "assumed_wmax": 0.5,
    },
    "mult_normal": {"type": "MULT_NORMAL", "std_dev": 0.1},
    "discretize": {"type": "DISCRETIZE", "res": 0.08},
    "discretize_add_normal": {"type": "DISCRETIZE_ADD_NORMAL", "res": 0.08, "std_dev": 0.05},
    "dorefa": {"type": "DOREFA", "res": 0.08},
    "poly": {"type": "POLY", "std_dev": 1.5},
    "prog_noise": {"type": "PROG_NOISE", "std_dev": 2.0, "coeffs": [0.26348, 1.9650, -1.1731], "g_max": 5.0},
}  # fmt: skip


def level_weights() -> torch.Tensor:
    return torch.tensor(np.repeat(LEVELS, SIZE // len(LEVELS)), dtype=torch.float32)[:, None].repeat(1, SIZE)


def quantiles(w_OI: torch.Tensor) -> list[list[float]]:
    """Of each level, as rows."""
    levels = w_OI.detach().numpy().reshape(len(LEVELS), -1)
    return [np.quantile(level, PROBABILITIES).tolist() for level in levels]


def noise_model_quantiles(model, times_s: list[float]) -> dict[str, list[list[float]]]:
    weights = level_weights()
    programmed, coefficients = model.apply_programming_noise(weights)
    found = {"programmed": quantiles(programmed)}
    for t_s in times_s:
        found[f"{t_s:g}"] = quantiles(model.apply_drift_noise(programmed.clone(), coefficients, t_s))
    return found


def modifier_quantiles(fields: dict) -> list[list[float]]:
    config = InferenceRPUConfig()
    config.forward.is_perfect = True
    config.mapping.weight_scaling_omega = 0.0
    for name, value in fields.items():
        setattr(config.modifier, name, WeightModifierType[value] if name == "type" else value)
    layer = AnalogLinear(SIZE, SIZE, bias=False, rpu_config=config)
    layer.set_weights(level_weights(), None)
    layer.train()
    tile = next(layer.analog_tiles())
    tile.post_update_step()
    return quantiles(layer(torch.eye(SIZE)).T)


def main() -> None:
    torch.manual_seed(1)
    golden = {
        "source": f"aihwkit {__version__}, torch {torch.__version__.split('+')[0]}",
        "levels": LEVELS,
        "size": SIZE,
        "probabilities": PROBABILITIES,
        "modifier_samples": MODIFIER_SAMPLES,
        "noise_models": {name: noise_model_quantiles(*entry) for name, entry in NOISE_MODELS.items()},
        "modifiers": {
            name: {"fields": fields, "quantiles": modifier_quantiles(fields)}
            for name, fields in MODIFIERS.items()
        },
    }
    path = Path(__file__).with_name("inference.json")
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
