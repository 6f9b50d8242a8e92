"""The patches that a convolution's kernel sees, as rows of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Sizes = tuple[int, ...]


def patches_of(
    x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, mode: str
) -> tuple[Tensor, Sizes]:
    """Rows [B x positions, channels x window] of images x[B, channels, ...], and the output's size."""
    ends = [end for pad in reversed(padding) for end in (pad, pad)]
    x = functional.pad(x, ends, mode="constant" if mode == "zeros" else mode)
    spatial = []
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        at = 2 + 2 * axis
        count = (x.shape[at] - d * (k - 1) - 1) // s + 1
        index = torch.arange(count, device=x.device)[:, None] * s + torch.arange(k, device=x.device) * d
        x = x.index_select(at, index.reshape(-1)).unflatten(at, (count, k))
        spatial.append(count)
    n = len(kernel)  # x[B, channels, position, window, position, window, ...]
    x = x.permute(0, *range(2, 2 + 2 * n, 2), 1, *range(3, 3 + 2 * n, 2))
    return x.reshape(-1, x.shape[1 + n :].numel()), tuple(spatial)


def images_of(rows: Tensor, batch: int, spatial: Sizes) -> Tensor:
    """Images [B, channels, ...] of rows [B x positions, channels]."""
    return rows.reshape(batch, *spatial, rows.shape[-1]).movedim(-1, 1)
