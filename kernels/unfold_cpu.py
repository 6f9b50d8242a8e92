"""Patches of images, compiled: where each value is has been worked out before, for any number of axes."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from .jit import kernel


@kernel
def unfold_kernel(images_BV, base_P, tap_J, patches):
    """patches [batch * positions, channels * kernel] of padded images, written from front to back."""
    at = 0
    for b in range(len(images_BV)):
        image = images_BV[b]
        for p in range(len(base_P)):
            row = patches[at]
            for j in range(len(tap_J)):
                row[j] = image[np.uint32(base_P[p] + tap_J[j])]
            at += 1


@kernel
def fold_kernel(patches, base_P, tap_J, images_BV):
    """Adds patches in the order of positions: an image's sums do not depend on the batch."""
    at = 0
    for b in range(len(images_BV)):
        image = images_BV[b]
        for p in range(len(base_P)):
            row = patches[at]
            for j in range(len(tap_J)):
                image[np.uint32(base_P[p] + tap_J[j])] += row[j]
            at += 1
