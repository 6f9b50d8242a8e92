"""A small convolutional network on scikit-learn's digits, as studies take it: a model, and its test set."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import crossgrid as cg

TEST_DIGITS = 360


def net() -> nn.Module:
    """The network, trained on the other digits; the same weights at each call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        made = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip
        _train(made, 3e-3)
    return made


def robust_net() -> nn.Module:
    """The network, trained further with noise on its weights, as devices will have it; digital again."""
    config = cg.InferenceRPUConfig()
    config.modifier = cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.1)
    config.forward.out_res = config.forward.inp_res = 0.0  # the study's converters are not known yet
    with torch.random.fork_rng([]):
        made = cg.convert_to_analog(net(), config, seed=1)
        torch.manual_seed(2)
        _train(made, 2e-3)
    return cg.convert_to_digital(made)


def _train(model: nn.Module, rate: float) -> None:
    """Twelve epochs on the digits that nobody is asked about."""
    x, y = (part[TEST_DIGITS:] for part in digits())
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(12):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def test_set() -> tuple[Tensor, Tensor]:
    """360 digits that the network was not trained on, and their labels."""
    x, y = (part[:TEST_DIGITS] for part in digits())
    return x, y


def digits() -> tuple[Tensor, Tensor]:
    """All 1797 images, [N, 1, 8, 8] in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16.0, torch.from_numpy(labels)
