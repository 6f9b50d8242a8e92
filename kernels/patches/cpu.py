"""Patches of images, compiled: where each value is has been worked out before, for any number of axes."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np
from numba import prange

from ..machine.jit import kernel

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


def unfold_kernel(images_BV, base_P, tap_J, patches):
    """``unfold_images`` in as many threads as it is worth."""
    _UNFOLD[patches.size >= SERIAL_WORK and numba.get_num_threads() > 1](images_BV, base_P, tap_J, patches)


def fold_kernel(patches, base_P, tap_J, images_BV):
    """``fold_images`` in as many threads as it is worth."""
    _FOLD[patches.size >= SERIAL_WORK and numba.get_num_threads() > 1](patches, base_P, tap_J, images_BV)
