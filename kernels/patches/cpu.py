"""Patches of images, compiled: where each value is has been worked out before, for any number of axes."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np
from numba import prange

from ..machine.jit import kernel
from ..machine.ready import ready
from ..machine.threads import PROCESSORS
from .unfold import (
    Array,
    Window,
    addresses,
    channels_last,
    checked_patches,
    in_memory,
    padded,
    with_padding,
    within,
    zeros,
)  # fmt: skip

SERIAL_WORK = 50_000  # values below which a second thread costs more than it saves


def unfold_images(images_BV, base_P, tap_J, patches):
    """patches [batch * positions, channels * kernel] of padded images, written from front to back."""
    positions = len(base_P)
    for b in prange(len(images_BV)):
        image = images_BV[b]
        for p in range(positions):
            row = patches[np.uint64(b * positions + p)]
            for j in range(len(tap_J)):
                row[j] = image[np.uint32(base_P[p] + tap_J[j])]


def fold_images(patches, base_P, tap_J, images_BV):
    """Adds patches in the order of positions: an image's sums do not depend on the batch."""
    positions = len(base_P)
    for b in prange(len(images_BV)):
        image = images_BV[b]
        for p in range(positions):
            row = patches[np.uint64(b * positions + p)]
            for j in range(len(tap_J)):
                image[np.uint32(base_P[p] + tap_J[j])] += row[j]


_UNFOLD = kernel(unfold_images), kernel(unfold_images, parallel=True)
_FOLD = kernel(fold_images), kernel(fold_images, parallel=True)


def unfold(images: Array, moves: Window) -> Array:
    """Patches [batch * positions, channels * kernel] of ``images`` [batch, channels, *size]."""
    images = np.asarray(images, np.float32)
    last = channels_last(images)
    if not last:
        images = ready(images)
    batch, channels, *size = images.shape
    base_P, tap_J = addresses(moves, channels, tuple(size), last)
    patches = np.empty((batch * len(base_P), len(tap_J)), np.float32)
    images_BV = in_memory(padded(images, moves.padding, last), last)
    with PROCESSORS.call(patches.size, SERIAL_WORK) as threads:
        _UNFOLD[threads > 1](images_BV, base_P, tap_J, patches)
    return patches


def fold(
    patches: Array, batch: int, channels: int, size: tuple[int, ...], moves: Window, last: bool = False
) -> Array:
    """Images [batch, channels, *size]: every patch added where ``unfold`` took it from.

    ``last``: stored with their channels last.
    """
    patches = checked_patches(patches, batch, channels, size, moves)
    base_P, tap_J = addresses(moves, channels, tuple(size), last)
    images = zeros(batch, channels, with_padding(size, moves.padding), last)
    with PROCESSORS.call(patches.size, SERIAL_WORK) as threads:
        _FOLD[threads > 1](patches, base_P, tap_J, in_memory(images, last))
    if not any(moves.padding):
        return images
    inside = zeros(batch, channels, size, last)
    inside[...] = images[within(size, moves.padding)]
    return inside
