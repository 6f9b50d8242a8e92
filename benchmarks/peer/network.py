"""LeNet5 and its training step, for both sides: torch only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .job import Job, slope_of
from .rows import Row


def lenet5() -> nn.Sequential:
    """LeNet5 for 28 x 28 images, the same weights each time."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 128), nn.Tanh(), nn.Linear(128, 10), nn.LogSoftmax(dim=1),
    )  # fmt: skip


def images(row: Row) -> tuple[Tensor, Tensor]:
    """As many images as the row has vectors, of as many pixels as it has inputs, and a class for each."""
    rng = np.random.default_rng(3)
    side = round(row.in_size**0.5)
    x = rng.random((row.batch, 1, side, side)) * (rng.random((row.batch, 1, side, side)) < row.density)
    return torch.from_numpy(x.astype(np.float32)), torch.arange(row.batch) % row.out_size


class TrainingStep(Job):
    """A training step of ``model``, which was made from ``digital``, on the row's images."""

    def __init__(
        self, digital: nn.Module, model: nn.Module, optimizer: torch.optim.Optimizer, row: Row
    ) -> None:
        self.digital, self.model, self.optimizer = digital, model, optimizer
        self.criterion = nn.NLLLoss()
        self.x, self.classes = images(row)

    def run(self) -> None:
        self.optimizer.zero_grad()
        self.y = self.model(self.x)
        self.criterion(self.y, self.classes).backward()
        self.optimizer.step()

    def slope(self) -> float:
        return slope_of(self.y.detach().numpy(), self.digital(self.x).detach().numpy())
