"""One tile on its own."""

from __future__ import annotations

import pytest
import torch

import crossgrid as cg


def test_an_ideal_tile_is_linear_algebra() -> None:
    tile = cg.AnalogTile(3, 5, cg.FloatingPointRPUConfig(), seed=1)
    w, x, d = torch.randn(3, 5), torch.randn(4, 5), torch.randn(4, 3)
    tile.set_weights(w)
    torch.testing.assert_close(tile.forward(x), x @ w.T)
    torch.testing.assert_close(tile.backward(d), d @ w)
    tile.update(x, d, 0.1)
    torch.testing.assert_close(tile.get_weights(), w - 0.1 * d.T @ x)


def test_a_pulsed_tile_learns_on_average_and_repeats_by_seed() -> None:
    """w moves by -lr d x: 400 updates of 20 vectors bring 0.5 within a few steps of granularity 0.001."""

    def learned(seed: int) -> torch.Tensor:
        device = cg.ConstantStepDevice(w_max=1.0, w_min=-1.0, dw_min_dtod=0.0, up_down_dtod=0.0)
        tile = cg.AnalogTile(2, 3, cg.SingleRPUConfig(device=device), seed=seed)
        x, target = torch.eye(3), torch.full((2, 3), 0.5)
        for _ in range(400):
            tile.update(x, (tile.get_weights() - target).T, 0.1)
        return tile.get_weights()

    assert torch.equal(learned(1), learned(1))
    assert not torch.equal(learned(1), learned(2))
    assert learned(1).numpy() == pytest.approx(0.5, abs=0.02)


def test_hidden_parameters_are_the_drawn_devices() -> None:
    """4096 devices: the mean of w_max is 0.6 within 4 standard errors, its spread 0.18 within 5 %."""
    tile = cg.AnalogTile(64, 64, cg.SingleRPUConfig(), seed=3)
    hidden = tile.get_hidden_parameters()
    bounds = next(values for name, values in hidden.items() if "max" in name)
    assert bounds.shape == (64, 64)
    assert bounds.mean().item() == pytest.approx(0.6, abs=4 * 0.18 / 64)
    assert bounds.std().item() == pytest.approx(0.18, rel=0.05)


def test_reset_brings_devices_to_their_reset_level() -> None:
    """Level 0 with noise 0.01: 64 devices stay within 5 standard deviations."""
    tile = cg.AnalogTile(8, 8, cg.SingleRPUConfig(), seed=3)
    tile.set_weights(torch.full((8, 8), 0.3))
    tile.reset()
    assert tile.get_weights().abs().max() < 0.05


def test_an_inference_tile_drifts() -> None:
    tile = cg.AnalogTile(64, 64, cg.InferenceRPUConfig(), seed=0)
    tile.set_weights(torch.rand(64, 64) - 0.5)
    with pytest.raises(cg.NotProgrammedError):
        tile.drift_weights(1.0)
    tile.program_weights()
    fresh = tile.get_weights().abs().mean()
    tile.drift_weights(3600.0 * 24)
    assert tile.get_weights().abs().mean() < 0.9 * fresh


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.forward(torch.ones(2, 4)), r"x has shape \(2, 4\); it must be \[vectors, 5\]"),
        (lambda t: t.backward(torch.ones(3)), r"d has shape \(3,\)"),
        (lambda t: t.update(torch.ones(2, 5), torch.ones(1, 3), 0.1), "x has 2 vectors and d 1"),
        (lambda t: t.update(torch.ones(1, 5), torch.ones(1, 3), float("nan")), "learning_rate = nan"),
        (
            lambda t: t.forward(torch.full((1, 5), float("nan"))),
            "5 of 5 entries of the x are NaN or infinite",
        ),
        (lambda t: t.set_weights(torch.ones(5, 3)), r"the tile is \(3, 5\)"),
        (lambda t: t.program_weights(), "InferenceRPUConfig"),
    ],
)
def test_errors_name_value_and_limit(call: object, words: str) -> None:
    tile = cg.AnalogTile(3, 5, cg.SingleRPUConfig())
    with pytest.raises(cg.CrossgridError, match=words):
        call(tile)


def test_a_tile_needs_a_size() -> None:
    with pytest.raises(cg.ConfigError, match="0 outputs"):
        cg.AnalogTile(0, 5, cg.SingleRPUConfig())
