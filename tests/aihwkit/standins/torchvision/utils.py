"""Grids of pictures, saved as one."""

from __future__ import annotations

from typing import Any

import matplotlib.image
import torch


def make_grid(pictures: torch.Tensor, nrow: int = 8, **kwargs: Any) -> torch.Tensor:
    """[n, channels, height, width] -> [channels, rows x height, nrow x width]."""
    full = len(pictures) // nrow * nrow
    n, channels, height, width = pictures[:full].shape
    grid = pictures[:full].reshape(n // nrow, nrow, channels, height, width).permute(2, 0, 3, 1, 4)
    return grid.reshape(channels, n // nrow * height, nrow * width).expand(3, -1, -1)


def save_image(picture: torch.Tensor, path: str) -> None:
    """Write [3, height, width] of numbers from 0 to 1."""
    matplotlib.image.imsave(path, picture.detach().clamp(0, 1).permute(1, 2, 0).numpy())
