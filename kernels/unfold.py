"""Patches of images: a convolution is a matrix product of the kernel with every patch.

``unfold`` gives them in the order of ``torch.nn.Unfold``: one row for each image and output position
(the last axis fastest), channel-major within a row. ``fold`` is its adjoint: it adds patches back.
Images have one to three spatial axes; all arrays are float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Array = NDArray[np.float32]
_AXES = "DHW"


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
        if len(size) != len(self.kernel):
            raise InputError(
                f"image of size {size} and kernel {self.kernel} must have the same number of axes"
            )
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        padded = [n + 2 * p for n, p in zip(size, self.padding, strict=True)]
        for n, span in zip(padded, spans, strict=True):
            if n < span:
                raise InputError(
                    f"image of size {size} with padding {self.padding} is smaller than the kernel, which "
                    f"spans {tuple(spans)}: use a larger image or more padding"
                )
        return tuple((n - span) // s + 1 for n, span, s in zip(padded, spans, self.stride, strict=True))


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
    out = moves.output_size(tuple(size))
    patches = np.empty((batch * _product(out), channels * _product(moves.kernel)), np.float32)
    unfold_kernel(
        images.reshape(batch, channels, *_three(tuple(size), 1)), patches, _three(out, 1), *_steps(moves)
    )
    return patches


def fold(
    patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window, executor: str = "cpu"
) -> Array:
    """Images [batch, channels, *size]: every patch added where ``unfold`` took it from."""
    patches = np.require(patches, np.float32, ["C", "W"])
    out = moves.output_size(size)
    wanted = batch * _product(out), channels * _product(moves.kernel)
    if patches.shape != wanted:
        raise InputError(
            f"patches have shape {patches.shape}; images {(batch, channels, *size)} have {wanted}"
        )
    if executor == "naive":
        return _fold_naive(patches, batch, channels, size, moves)
    from .unfold_cpu import fold_kernel

    images = np.zeros((batch, channels, *_three(size, 1)), np.float32)
    fold_kernel(patches, images, _three(out, 1), *_steps(moves))
    return images.reshape(batch, channels, *size)


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
    padded = np.pad(images, [(0, 0), (0, 0), *((p, p) for p in moves.padding)])
    everywhere: tuple[Any, ...] = (slice(None), slice(None), *taps)
    taken = padded[everywhere].reshape(
        batch, channels * _product(moves.kernel), _product(moves.output_size(tuple(size)))
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


def _steps(moves: Window) -> tuple[tuple[int, ...], ...]:
    return (
        _three(moves.kernel, 1), _three(moves.stride, 1), _three(moves.padding, 0), _three(moves.dilation, 1),
    )  # fmt: skip


def _three(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
    return (fill,) * (len(_AXES) - len(values)) + tuple(int(v) for v in values)


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)


def _product(values: tuple[int, ...]) -> int:
    return int(np.prod(values, dtype=np.int64))
