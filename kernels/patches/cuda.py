"""Patches of images that are tensors on a card: one copy unfolds them, torch's own sum folds them back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..card import card
from ..errors import InputError
from .unfold import Window, with_padding

Tensor = torch.Tensor


def images(values: Any) -> Tensor:
    """Images as ``unfold`` takes them, on the card, of whatever strides they have there."""
    if not isinstance(values, Tensor):
        values = torch.from_numpy(np.require(values, np.float32, ["W"]))
    placed: Tensor = values.detach().to(card(), torch.float32)
    return placed


def unfold(images: Any, moves: Window) -> Tensor:
    """Patches [batch * positions, channels * kernel] of ``images`` [batch, channels, *size]."""
    batch, channels, *size = images.shape
    positions = moves.output_size(tuple(size))
    if any(moves.padding):
        images = torch.nn.functional.pad(
            images, [p for axis in reversed(moves.padding) for p in (axis, axis)]
        )
    of_batch, of_channel, *of_axis = images.stride()
    steps = [n * s for n, s in zip(of_axis, moves.stride, strict=True)]
    taps = [n * d for n, d in zip(of_axis, moves.dilation, strict=True)]
    windows = images.as_strided(
        (batch, *positions, channels, *moves.kernel), (of_batch, *steps, of_channel, *taps)
    )
    return windows.clone(memory_format=torch.contiguous_format).view(
        batch * math.prod(positions), channels * moves.size
    )


def fold(
    patches: Any, batch: int, channels: int, size: tuple[int, ...], moves: Window, last: bool = False
) -> Tensor:
    """Images [batch, channels, *size]: every patch added where ``unfold`` took it from, in one order."""
    wanted = batch * math.prod(moves.output_size(size)), channels * moves.size
    if tuple(patches.shape) != wanted:
        raise InputError(
            f"patches have shape {tuple(patches.shape)}; images {(batch, channels, *size)} have {wanted}"
        )
    if len(size) < 3:
        return _fold_plane(patches, batch, channels, size, moves)
    return _fold_volume(patches, batch, channels, size, moves)


def _fold_plane(patches: Tensor, batch: int, channels: int, size: tuple[int, ...], moves: Window) -> Tensor:
    """Of one axis or two."""
    one = len(size) == 1
    columns_BVP = patches.view(batch, -1, channels * moves.size).transpose(1, 2)
    given = (size, moves.kernel, moves.dilation, moves.padding, moves.stride)
    neutral = (1, 1, 1, 0, 1)  # of an axis that is not there
    settings = [(least, *each) if one else each for least, each in zip(neutral, given, strict=True)]
    images: Tensor = torch.ops.aten.col2im(columns_BVP, *settings)
    return images[:, :, 0] if one else images


def _fold_volume(patches: Tensor, batch: int, channels: int, size: tuple[int, ...], moves: Window) -> Tensor:
    """Of three axes: a plane for each tap of the first, added one after the other."""
    first, *_ = moves.output_size(size)
    plane = Window(*(each[1:] for each in moves))
    deep = patches.view(batch * first, -1, channels, moves.kernel[0], plane.size)
    images = patches.new_zeros(batch, channels, *with_padding(size[:1], moves.padding[:1]), *size[1:])
    for tap in reversed(range(moves.kernel[0])):
        rows = deep[:, :, :, tap].reshape(-1, channels * plane.size)
        part = _fold_plane(rows, batch * first, channels, size[1:], plane)
        start = tap * moves.dilation[0]
        stop = start + (first - 1) * moves.stride[0] + 1
        images[:, :, start : stop : moves.stride[0]] += part.view(
            batch, first, channels, *size[1:]
        ).transpose(1, 2)
    inside: Tensor = images[:, :, moves.padding[0] : moves.padding[0] + size[0]]
    return inside
