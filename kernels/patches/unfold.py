"""Patches of images: a convolution is a matrix product of the kernel with every patch.

A backend's ``patches.unfold`` gives them in the order of ``torch.nn.Unfold``: one row for each image and
output position (the last axis fastest), channel-major within a row. ``fold`` is its adjoint: it adds patches
back.
Images have one to three spatial axes; all arrays are float32. In memory an image's channels may come first or
last (torch's ``channels_last``): neither is copied, and the numbers are the same.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..machine.ready import ready

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
    padded = with_padding(size, moves.padding)
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


def channels_last(images: Array) -> bool:
    """Whether ``images`` [batch, channels, *size] are stored pixel by pixel."""
    flags = images.flags
    return not flags.c_contiguous and flags.writeable and _pixels(images).flags.c_contiguous


@functools.lru_cache(maxsize=1024)  # of the shapes of a large network's layers
def addresses(
    moves: Window, channels: int, size: tuple[int, ...], last: bool
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Where a padded image's patches begin [positions], and where their values are from there on.

    The values are [channels * kernel]. ``last``: channels are stored last.
    """
    out = moves.output_size(size)
    full = with_padding(size, moves.padding)
    if channels * math.prod(full) >= 2**32:
        raise InputError(f"an image of {channels} channels of {full} has 2**32 values or more")
    of_pixel, of_channel = (channels, 1) if last else (1, math.prod(full))
    pitches = [of_pixel * math.prod(full[axis + 1 :]) for axis in range(len(full))]
    base, tap = np.zeros(1, np.int64), np.arange(channels) * of_channel
    axes = zip(out, moves.kernel, moves.stride, moves.dilation, pitches, strict=True)
    for positions, taps, stride, dilation, pitch in axes:
        base = (base[:, None] + np.arange(positions) * stride * pitch).reshape(-1)
        tap = (tap[:, None] + np.arange(taps) * dilation * pitch).reshape(-1)
    return base.astype(np.uint32), tap.astype(np.uint32)


def checked_patches(patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window) -> Array:
    """``patches`` as kernels take them, if they are those of such images, or an ``InputError``."""
    patches = ready(patches)
    wanted = batch * math.prod(moves.output_size(size)), channels * moves.size
    if patches.shape != wanted:
        raise InputError(
            f"patches have shape {patches.shape}; images {(batch, channels, *size)} have {wanted}"
        )
    return patches


def zeros(batch: int, channels: int, size: tuple[int, ...], last: bool) -> Array:
    """Black images [batch, channels, *size]."""
    if last:
        return np.zeros((batch, *size, channels), np.float32).transpose(0, -1, *range(1, len(size) + 1))
    return np.zeros((batch, channels, *size), np.float32)


def in_memory(images: Array, last: bool) -> Array:
    """Images [batch, values] in the order in which they are stored."""
    stored = _pixels(images) if last else images
    return stored.reshape(len(images), math.prod(images.shape[1:]))


def _pixels(images: Array) -> Array:
    """Images [batch, *size, channels] of those with their channels first: a view."""
    return images.transpose(0, *range(2, images.ndim), 1)


def with_padding(size: tuple[int, ...], padding: tuple[int, ...]) -> tuple[int, ...]:
    """The size of padded images."""
    return tuple(n + 2 * p for n, p in zip(size, padding, strict=True))


def within(size: tuple[int, ...], padding: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of padded images that is inside the padding."""
    inside = (slice(p, p + n) for n, p in zip(size, padding, strict=True))
    return slice(None), slice(None), *inside


def padded(images: Array, padding: tuple[int, ...], last: bool = False) -> Array:
    """``images`` [batch, channels, *size] within zeros."""
    if not any(padding):
        return images
    batch, channels, *size = images.shape
    full = zeros(batch, channels, with_padding(tuple(size), padding), last)
    full[within(tuple(size), padding)] = images
    return full


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)
