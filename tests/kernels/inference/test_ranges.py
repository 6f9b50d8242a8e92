"""Clipping and remapping against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference import (
    WeightClipParameter,
    WeightRemapParameter,
    clip_bound,
    clip_weights,
    remap_weights,
)


def weights() -> np.ndarray:
    w_TOI = np.random.default_rng(0).normal(0, 0.3, (2, 30, 40)).astype(np.float32)
    w_TOI[1] *= 3
    return w_TOI


def test_clip_bounds_are_of_each_tile() -> None:
    for w_OI in weights():
        bounds = {
            "FixedValue": 0.5,
            "LayerGaussian": 2.0 * w_OI.std(ddof=1, dtype=np.float64),
            "AverageChannelMax": np.abs(w_OI).max(axis=1).mean(dtype=np.float64),
        }
        for kind, bound in bounds.items():
            fixed = 0.5 if kind == "FixedValue" else -1.0
            parameter = WeightClipParameter(type=kind, sigma=2.0, fixed_value=fixed)
            assert clip_bound(w_OI, parameter) == pytest.approx(bound, rel=1e-6)
            limited = WeightClipParameter(type=kind, sigma=2.0, fixed_value=0.01)
            assert clip_bound(w_OI, limited) == np.float32(0.01)


def test_weights_are_clipped_in_place_or_left_alone() -> None:
    w_TOI = weights()
    clip_weights(w_TOI, WeightClipParameter(type="FixedValue", fixed_value=0.25))
    assert np.abs(w_TOI).max() == 0.25
    for parameter in (WeightClipParameter(fixed_value=0.1), WeightClipParameter(type="FixedValue")):
        w_TOI = weights()
        clip_weights(w_TOI, parameter)
        np.testing.assert_array_equal(w_TOI, weights())


@pytest.mark.parametrize("kind", ["LayerwiseSymmetric", "ChannelwiseSymmetric"])
def test_remapping_keeps_the_product_of_scale_and_weight(kind: str) -> None:
    w_TOI, scales_TO = weights(), np.full((2, 30), 0.7, np.float32)
    w_TOI[0, 3] = 0.0  # an output without weights keeps its scale
    before = w_TOI * scales_TO[:, :, None]
    remap_weights(w_TOI, scales_TO, WeightRemapParameter(type=kind, remapped_wmax=0.5))
    np.testing.assert_allclose(w_TOI * scales_TO[:, :, None], before, rtol=1e-5)
    axis = (1, 2) if kind == "LayerwiseSymmetric" else 2
    largest = np.abs(w_TOI).max(axis=axis)
    np.testing.assert_allclose(largest[largest > 0], 0.5, rtol=1e-6)
    assert kind == "LayerwiseSymmetric" or scales_TO[0, 3] == np.float32(0.7)


def test_the_range_of_scales_can_be_limited() -> None:
    w_TOI, scales_TO = weights(), np.ones((2, 30), np.float32)
    w_TOI[:, 0] *= 10
    before = w_TOI.copy()
    remap_weights(w_TOI, scales_TO, WeightRemapParameter(type="ChannelwiseSymmetric", max_scale_range=2.0))
    assert scales_TO.max() == 2.0  # the smallest scale was 1
    np.testing.assert_allclose(w_TOI * scales_TO[:, :, None], before, rtol=1e-5)
    with pytest.raises(ConfigError, match="needs remapped_wmax = 1"):
        WeightRemapParameter(max_scale_range=2.0, remapped_wmax=0.5)
    with pytest.raises(ConfigError, match="needs type CHANNELWISE_SYMMETRIC"):
        remap_weights(w_TOI, scales_TO, WeightRemapParameter(type="LayerwiseSymmetric", max_scale_range=2.0))
