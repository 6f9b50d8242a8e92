"""Convolutions as matrix products: the patches of images as rows, and the adjoint that adds them back.

The order is torch's: a row is one position, positions run over the output image and images over the batch;
within a row, channels come first and the window's entries last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .unfold_cpu import fold_3d, unfold_3d

Array = NDArray[np.float32]

_unfold = kernel(unfold_3d)
_fold = kernel(fold_3d)


def unfold(
    x: Array, size: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Array:
    """Patches [B * positions, channels * window] of images [B, channels, ...], zero outside the image."""
    window = _window(size, stride, padding, dilation)
    images = _three_dimensional(x)
    positions = positions_3d(images.shape[2:], window)
    rows = x.shape[0] * positions[0] * positions[1] * positions[2]
    out = np.empty((rows, x.shape[1] * window[0] * window[1] * window[2]), np.float32)
    shape = np.array(images.shape[1:], np.int64)
    _unfold(images.reshape(x.shape[0], -1), out, shape, positions, window)
    return out


def fold(
    rows: Array,
    shape: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Array:
    """The adjoint of ``unfold``: patches added at their places into images of ``shape``, in row order."""
    window = _window(size, stride, padding, dilation)
    out = np.zeros(tuple(shape), np.float32)
    images = _three_dimensional(out)
    channels_and_extent = np.array(images.shape[1:], np.int64)
    positions = positions_3d(images.shape[2:], window)
    _fold(np.ascontiguousarray(rows), images.reshape(shape[0], -1), channels_and_extent, positions, window)
    return out


def positions_3d(shape: Sequence[int], window: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many windows fit along each of three dimensions."""
    size, stride, padding, dilation = window.reshape(4, 3)
    return (np.asarray(shape, np.int64) + 2 * padding - dilation * (size - 1) - 1) // stride + 1


def _window(*parts: Sequence[int]) -> NDArray[np.int64]:
    """Size, stride, padding and dilation of three dimensions; leading ones are trivial."""
    trivial = (1, 1, 0, 1)
    return np.array(
        [[value] * (3 - len(part)) + list(part) for value, part in zip(trivial, parts, strict=True)], np.int64
    ).ravel()


def _three_dimensional(x: Array) -> Array:
    missing = 5 - x.ndim
    return np.ascontiguousarray(x).reshape(*x.shape[:2], *(1,) * missing, *x.shape[2:])
