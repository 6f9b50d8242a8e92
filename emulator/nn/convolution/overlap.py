"""Windows of values, one at each position of an image, added where they overlap: transposed convolutions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows lie in the image that they make: one at each of ``positions``."""

    positions: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]  # what is cut off on both sides
    output_padding: tuple[int, ...]  # what is put on behind

    @property
    def whole(self) -> tuple[int, ...]:
        """The size of the image before anything is cut off."""
        axes = zip(self.positions, self.kernel, self.stride, self.dilation, self.output_padding, strict=True)
        return tuple((n - 1) * s + d * (k - 1) + 1 + more for n, k, s, d, more in axes)

    @property
    def size(self) -> tuple[int, ...]:
        """The size of the image."""
        return tuple(n - 2 * p for n, p in zip(self.whole, self.padding, strict=True))

    def taps(self) -> Iterator[tuple[slice, ...]]:
        """Where each value of the windows goes in the whole image, the kernel's last axis fastest."""
        for place in itertools.product(*(range(k) for k in self.kernel)):
            starts = [tap * d for tap, d in zip(place, self.dilation, strict=True)]
            axes = zip(starts, self.positions, self.stride, strict=True)
            yield tuple(slice(start, start + (n - 1) * s + 1, s) for start, n, s in axes)

    @property
    def inside(self) -> tuple[slice, ...]:
        """The image within the whole one."""
        return tuple(slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True))


class Overlap(torch.autograd.Function):
    """Images [B, channels, *size] of windows [B, channels, values of a window, *positions]."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, lie: Windows) -> Tensor:
        ctx.lie = lie
        whole: Any = windows.new_zeros(*windows.shape[:2], *lie.whole)
        for tap, place in enumerate(lie.taps()):
            whole[(..., *place)] += windows[:, :, tap]
        image: Tensor = whole[(..., *lie.inside)].contiguous()
        return image

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None]:
        lie: Windows = ctx.lie
        whole: Any = d.new_zeros(*d.shape[:2], *lie.whole)
        whole[(..., *lie.inside)] = d
        return torch.stack([whole[(..., *place)] for place in lie.taps()], dim=2), None


def overlapped(rows: Tensor, batch: int, channels: int, lie: Windows) -> Tensor:
    """Images [B, channels, *size] of rows [B x positions, channels x values of a window]."""
    windows = rows.reshape(batch, *lie.positions, channels, math.prod(lie.kernel))
    image: Tensor = Overlap.apply(windows.movedim((-2, -1), (1, 2)), lie)
    return image
