"""LeNet5, which several benchmarks train."""

from __future__ import annotations

import torch
from torch import nn

import crossgrid as cg


def lenet5() -> nn.Module:
    """LeNet5 for 28 x 28 images: ten tiles of demo-128."""
    torch.manual_seed(1)
    digital = nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 128), nn.Tanh(), nn.Linear(128, 10), nn.LogSoftmax(dim=1),
    )  # fmt: skip
    return cg.convert_to_analog(digital, cg.SingleRPUConfig())
