"""Patches of images in numpy: the readable reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .unfold import Array, Window, checked_patches, padded, with_padding, within, zeros


def _places(moves: Window, size: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """For each axis the padded coordinate [kernel, positions] that each tap reads at each position."""
    return [
        np.arange(k)[:, None] * d + np.arange(n)[None, :] * s
        for k, n, s, d in zip(
            moves.kernel, moves.output_size(size), moves.stride, moves.dilation, strict=True
        )
    ]


def _taps(moves: Window, size: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    """Coordinates [*kernel, *positions] of all axes."""
    places, axes = _places(moves, size), len(size)
    shaped = []
    for axis, place in enumerate(places):
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = place.shape
        shaped.append(place.reshape(shape))
    return tuple(np.broadcast_arrays(*shaped))


def unfold(images: Array, moves: Window) -> Array:
    """Patches [batch * positions, channels * kernel] of ``images`` [batch, channels, *size]."""
    images = np.asarray(images, np.float32)
    batch, channels, *size = images.shape
    taps = _taps(moves, tuple(size))
    everywhere: tuple[Any, ...] = (slice(None), slice(None), *taps)
    taken = padded(images, moves.padding)[everywhere].reshape(
        batch, channels * moves.size, math.prod(moves.output_size(tuple(size)))
    )
    return np.ascontiguousarray(taken.transpose(0, 2, 1)).reshape(-1, taken.shape[1])


def fold(
    patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window, last: bool = False
) -> Array:
    """Images [batch, channels, *size]: every patch added where ``unfold`` took it from.

    ``last``: stored with their channels last.
    """
    patches = checked_patches(patches, batch, channels, size, moves)
    taps = _taps(moves, size)
    full = zeros(batch, channels, with_padding(size, moves.padding), last=False)
    positions = math.prod(moves.output_size(size))
    values = patches.reshape(batch, positions, patches.shape[1]).transpose(0, 2, 1)
    everywhere: tuple[Any, ...] = (slice(None), slice(None), *taps)
    np.add.at(full, everywhere, values.reshape(batch, channels, *taps[0].shape))
    inside = zeros(batch, channels, size, last)
    inside[...] = full[within(size, moves.padding)]
    return inside
