"""Patches of images: a convolution is a matrix product of the kernel with every patch.

``unfold`` gives them in the order of ``torch.nn.Unfold``: one row for each image and output position
(the last axis fastest), channel-major within a row. ``fold`` is its adjoint: it adds patches back.
Images have one to three spatial axes; all arrays are float32.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Array = NDArray[np.float32]


class Window(NamedTuple):
    """How a kernel moves over the spatial axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def size(self) -> int:
        """Weights of one channel in one window."""
        return math.prod(self.kernel)

    def output_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """The number of positions along each axis of an image of ``size``."""
        return _output_size(self, size)


@functools.lru_cache(maxsize=1024)  # of the shapes of a large network's layers
def _output_size(moves: Window, size: tuple[int, ...]) -> tuple[int, ...]:
    if len(size) != len(moves.kernel):
        raise InputError(f"image of size {size} and kernel {moves.kernel} must have the same number of axes")
    spans = [d * (k - 1) + 1 for d, k in zip(moves.dilation, moves.kernel, strict=True)]
    padded = [n + 2 * p for n, p in zip(size, moves.padding, strict=True)]
    for n, span in zip(padded, spans, strict=True):
        if n < span:
            raise InputError(
                f"image of size {size} with padding {moves.padding} is smaller than the kernel, which "
                f"spans {tuple(spans)}: use a larger image or more padding"
            )
    return tuple((n - span) // s + 1 for n, span, s in zip(padded, spans, moves.stride, strict=True))


def window(
    kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, axes: int | None = None
) -> Window:
    """A window from numbers or one number for each axis."""
    axes = axes or (1 if isinstance(kernel, int) else len(kernel))
    return Window(*(_per_axis(value, axes) for value in (kernel, stride, padding, dilation)))


def unfold(images: Array, moves: Window, executor: str = "cpu") -> Array:
    """Patches [batch * positions, channels * kernel] of ``images`` [batch, channels, *size]."""
    images = np.require(images, np.float32, ["C", "W"])
    if executor == "naive":
        return _unfold_naive(images, moves)
    from .unfold_cpu import unfold_kernel

    batch, channels, *size = images.shape
    base_P, tap_J, _ = _addresses(moves, channels, tuple(size))
    patches = np.empty((batch * len(base_P), len(tap_J)), np.float32)
    unfold_kernel(_padded(images, moves.padding).reshape(batch, -1), base_P, tap_J, patches)
    return patches


def fold(
    patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window, executor: str = "cpu"
) -> Array:
    """Images [batch, channels, *size]: every patch added where ``unfold`` took it from."""
    patches = np.require(patches, np.float32, ["C", "W"])
    base_P, tap_J, padded = _addresses(moves, channels, tuple(size))
    wanted = batch * len(base_P), len(tap_J)
    if patches.shape != wanted:
        raise InputError(
            f"patches have shape {patches.shape}; images {(batch, channels, *size)} have {wanted}"
        )
    if executor == "naive":
        return _fold_naive(patches, batch, channels, size, moves)
    from .unfold_cpu import fold_kernel

    images = np.zeros((batch, channels, *padded), np.float32)
    fold_kernel(patches, base_P, tap_J, images.reshape(batch, -1))
    if not any(moves.padding):
        return images
    inside = tuple(slice(p, p + n) for n, p in zip(size, moves.padding, strict=True))
    return np.ascontiguousarray(images[(slice(None), slice(None), *inside)])


@functools.lru_cache(maxsize=1024)  # of the shapes of a large network's layers
def _addresses(
    moves: Window, channels: int, size: tuple[int, ...]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], tuple[int, ...]]:
    """Where a padded image's patches begin [positions], and where their values are from there on.

    The values are [channels * kernel]; the third result is the padded image's size.
    """
    out = moves.output_size(size)
    padded = tuple(n + 2 * p for n, p in zip(size, moves.padding, strict=True))
    pitches = [math.prod(padded[axis + 1 :]) for axis in range(len(padded))]
    base, tap = np.zeros(1, np.int64), np.arange(channels) * math.prod(padded)
    axes = zip(out, moves.kernel, moves.stride, moves.dilation, pitches, strict=True)
    for positions, taps, stride, dilation, pitch in axes:
        base = (base[:, None] + np.arange(positions) * stride * pitch).reshape(-1)
        tap = (tap[:, None] + np.arange(taps) * dilation * pitch).reshape(-1)
    if channels * math.prod(padded) >= 2**32:
        raise InputError(f"an image of {channels} channels of {padded} has 2**32 values or more")
    return base.astype(np.uint32), tap.astype(np.uint32), padded


def _padded(images: Array, padding: tuple[int, ...]) -> Array:
    """``images`` [batch, channels, *size] within zeros."""
    if not any(padding):
        return images
    batch, channels, *size = images.shape
    full = np.zeros((batch, channels, *(n + 2 * p for n, p in zip(size, padding, strict=True))), np.float32)
    inside = tuple(slice(p, p + n) for n, p in zip(size, padding, strict=True))
    full[(slice(None), slice(None), *inside)] = images
    return full


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


def _unfold_naive(images: Array, moves: Window) -> Array:
    batch, channels, *size = images.shape
    taps = _taps(moves, tuple(size))
    everywhere: tuple[Any, ...] = (slice(None), slice(None), *taps)
    taken = _padded(images, moves.padding)[everywhere].reshape(
        batch, channels * moves.size, math.prod(moves.output_size(tuple(size)))
    )
    return np.ascontiguousarray(taken.transpose(0, 2, 1)).reshape(-1, taken.shape[1])


def _fold_naive(patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window) -> Array:
    taps = _taps(moves, size)
    padded = np.zeros(
        (batch, channels, *(n + 2 * p for n, p in zip(size, moves.padding, strict=True))), np.float32
    )
    values = patches.reshape(batch, -1, patches.shape[1]).transpose(0, 2, 1)
    everywhere: tuple[Any, ...] = (slice(None), slice(None), *taps)
    np.add.at(padded, everywhere, values.reshape(batch, channels, *taps[0].shape))
    inside = tuple(slice(p, p + n) for n, p in zip(size, moves.padding, strict=True))
    return np.ascontiguousarray(padded[(slice(None), slice(None), *inside)])


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)
