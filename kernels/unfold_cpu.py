"""Patches of images, compiled; images have three spatial axes, those that are not needed of size 1."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np

from .jit import kernel


@numba.njit(error_model="numpy", forceinline=True)
def tap_range(first, step, taps, size):
    """The taps [start, stop) of ``taps`` that fall inside an axis of ``size``; tap 0 is at ``first``."""
    start = 0 if first >= 0 else (-first + step - 1) // step
    stop = taps if first + step * (taps - 1) < size else max((size - first + step - 1) // step, 0)
    return min(start, taps), max(stop, min(start, taps))


@kernel
def unfold_kernel(images, patches, out, size, stride, padding, dilation):
    """patches [batch * positions, channels * kernel], written from front to back."""
    batch, channels, depth, height, width = images.shape
    source, target = images.reshape(-1), patches.reshape(-1)
    at = 0
    for b in range(batch):
        for oz in range(out[0]):
            for oy in range(out[1]):
                for ox in range(out[2]):
                    x0 = ox * stride[2] - padding[2]
                    start, stop = tap_range(x0, dilation[2], size[2], width)
                    for c in range(channels):
                        for kz in range(size[0]):
                            z = oz * stride[0] - padding[0] + kz * dilation[0]
                            for ky in range(size[1]):
                                y = oy * stride[1] - padding[1] + ky * dilation[1]
                                line = (((b * channels + c) * depth + z) * height + y) * width + x0
                                first, last = start, stop
                                if z < 0 or z >= depth or y < 0 or y >= height:
                                    first, last = size[2], size[2]
                                for k in range(first):
                                    target[at + k] = np.float32(0)
                                for k in range(first, last):
                                    target[at + k] = source[line + k * dilation[2]]
                                for k in range(last, size[2]):
                                    target[at + k] = np.float32(0)
                                at += size[2]


@kernel
def fold_kernel(patches, images, out, size, stride, padding, dilation):
    """Adds patches in the order of positions: an image's sums do not depend on the batch."""
    batch, channels, depth, height, width = images.shape
    source, target = patches.reshape(-1), images.reshape(-1)
    at = 0
    for b in range(batch):
        for oz in range(out[0]):
            for oy in range(out[1]):
                for ox in range(out[2]):
                    x0 = ox * stride[2] - padding[2]
                    start, stop = tap_range(x0, dilation[2], size[2], width)
                    for c in range(channels):
                        for kz in range(size[0]):
                            z = oz * stride[0] - padding[0] + kz * dilation[0]
                            for ky in range(size[1]):
                                y = oy * stride[1] - padding[1] + ky * dilation[1]
                                line = (((b * channels + c) * depth + z) * height + y) * width + x0
                                if z >= 0 and z < depth and y >= 0 and y < height:
                                    for k in range(start, stop):
                                        target[line + k * dilation[2]] += source[at + k]
                                at += size[2]
