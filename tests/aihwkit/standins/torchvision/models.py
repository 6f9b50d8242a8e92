"""Models by their names: of a few layers, for the kinds of layers count."""

from __future__ import annotations

from typing import Any

from torch import nn


def resnet34(*args: Any, **kwargs: Any) -> nn.Module:
    """A convolution, pooling and a linear layer."""
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 10))


resnet18 = alexnet = resnet34
