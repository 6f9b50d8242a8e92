"""Data sets of a few drawn pictures, of the sizes of the real ones."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from . import utils as utils

PICTURES = 48


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As many pictures of noise, with labels of ten classes."""

    shape: tuple[int, ...] = (1, 28, 28)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        drawn = torch.Generator().manual_seed(0)
        self.data = torch.rand(PICTURES, *self.shape, generator=drawn)
        self.targets = torch.randint(0, 10, (PICTURES,), generator=drawn)
        self.classes = [str(k) for k in range(10)]

    def __len__(self) -> int:
        return PICTURES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.data[index], int(self.targets[index])


class MNIST(Pictures):
    """28 x 28, grey."""


class FashionMNIST(Pictures):
    """28 x 28, grey."""


class CIFAR10(Pictures):
    """32 x 32, in colours."""

    shape = (3, 32, 32)


class SVHN(CIFAR10):
    """32 x 32, in colours."""
