"""Noise models and modifiers against aihwkit's distributions (tests/golden/make_inference.py)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from crossgrid.kernels.inference import (
    HermesNoiseModel,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
    WeightModifierParameter,
    modified_weights,
    program,
    programmed_weights,
    weights_at,
)
from crossgrid.kernels.rng import tile_key

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "inference.json").read_text(encoding="utf-8"))
LEVELS, SIZE = GOLDEN["levels"], GOLDEN["size"]
SAMPLES = SIZE * SIZE // len(LEVELS)
KEY_T2 = tile_key(2024, 0)[None]
MODELS = {
    "pcm": PCMLikeNoiseModel(),
    "pcm_g_max_30": PCMLikeNoiseModel(g_max=30.0),
    "pcm_g_min_2": PCMLikeNoiseModel(g_converter=SinglePairConductanceConverter(g_min=2.0)),
    "pcm_two_pairs": PCMLikeNoiseModel(g_converter=NPairConductanceConverter(f_lst=[1.0, 3.0])),
    "hermes_2": HermesNoiseModel(num_devices=2),
    "hermes_1": HermesNoiseModel(num_devices=1),
    "wan": ReRamWan2022NoiseModel(coeff_g_max_reference=25.0),  # aihwkit does not scale it to g_max
    "cmo": ReRamCMONoiseModel(),
    "state_independent": StateIndependentNoiseModel(),
}


def level_weights() -> np.ndarray:
    w_O = np.repeat(np.array(LEVELS, np.float32), SIZE // len(LEVELS))
    return np.repeat(w_O[:, None], SIZE, axis=1)[None]


def assert_quantiles(
    w_TOI: np.ndarray, golden: list[list[float]], samples: int, resolution: float = 0.0
) -> None:
    """The share of values below each golden quantile is its probability, within 5 standard errors.

    Both samples scatter: variance p (1 - p) (1 / ours + 1 / theirs). ``resolution`` widens the quantile
    where values come on a grid or pile up.
    """
    for level, values, quantiles in zip(LEVELS, w_TOI.reshape(len(LEVELS), -1), golden, strict=True):
        for p, q in zip(GOLDEN["probabilities"], quantiles, strict=True):
            margin = 5 * math.sqrt(p * (1 - p) * (1 / SAMPLES + 1 / samples))
            slack = 1e-6 + resolution
            below, at_most = np.mean(values < q - slack), np.mean(values <= q + slack)
            assert below - margin <= p <= at_most + margin, (level, p, q, below, at_most)


@pytest.mark.parametrize("name", MODELS)
def test_noise_model_has_aihwkits_distribution(name: str) -> None:
    state = program(level_weights(), MODELS[name], KEY_T2, 0)
    for time, golden in GOLDEN["noise_models"][name].items():
        if time == "programmed":
            w_TOI = programmed_weights(state)
        else:
            w_TOI = weights_at(state, float(time), 1, reconvert=True)
            if name == "wan":
                w_TOI = w_TOI * scale_of_reconversion(w_TOI, golden)
        # the outer levels of CMO pile up at g_min and g_max, the extreme programmed weights: of 65 536
        # normals of standard deviation 1.6e-3 at most, extremes that differ by some tenths of it between runs
        assert_quantiles(w_TOI, golden, SAMPLES, resolution=1e-3 if name == "cmo" else 0.0)


def scale_of_reconversion(w_TOI: np.ndarray, golden: list[list[float]]) -> np.float32:
    """aihwkit gives deviations from the target the scale of the largest *programmed* weight.

    That is an extreme of 65 536 normals, another one in each run: compare in units of the median of the
    last level.
    """
    median = GOLDEN["probabilities"].index(0.5)
    return np.float32(golden[-1][median] / np.median(w_TOI.reshape(len(LEVELS), -1)[-1]))


@pytest.mark.parametrize("name", GOLDEN["modifiers"])
def test_modifier_has_aihwkits_distribution(name: str) -> None:
    golden = GOLDEN["modifiers"][name]
    w_TOI = modified_weights(level_weights(), WeightModifierParameter(**golden["fields"]), KEY_T2, 0)
    if name in ("discretize", "dorefa"):
        levels = w_TOI.reshape(len(LEVELS), -1)
        np.testing.assert_allclose(levels[:, 0], np.array(golden["quantiles"])[:, 0], rtol=1e-6)
        assert (levels == levels[:, :1]).all()
    else:
        assert_quantiles(w_TOI, golden["quantiles"], GOLDEN["modifier_samples"])
