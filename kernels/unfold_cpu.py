"""Loops of ``unfold`` for numba.

They run on one thread: a barrier of two threads costs more than the patches of a batch, and on a busy
machine a time slice. Indices are unsigned where they are known not to be negative, which spares numba's test
for indices from the end.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from .rng.numba_math import inline


@inline
def _index(value):
    return np.uint64(value)


def unfold_3d(x, out, shape, positions, window):
    """Copy every window of images x[B, C * D * H * W], flat, into a row of ``out``; shape is (C, D, H, W)."""
    channels, depth, height, width = shape[0], shape[1], shape[2], shape[3]
    per_image = positions[0] * positions[1] * positions[2]
    for b in range(x.shape[0]):
        image = x[b]
        for place in range(per_image):
            d0 = place // (positions[1] * positions[2]) * window[3] - window[6]
            h0 = place // positions[2] % positions[1] * window[4] - window[7]
            w0 = place % positions[2] * window[5] - window[8]
            row = out[b * per_image + place]
            run_inside = w0 >= 0 and w0 + (window[2] - 1) * window[11] < width
            j = 0
            for c in range(channels):
                for kd in range(window[0]):
                    d = d0 + kd * window[9]
                    for kh in range(window[1]):
                        h = h0 + kh * window[10]
                        line = ((c * depth + d) * height + h) * width + w0
                        if run_inside and 0 <= d < depth and 0 <= h < height:
                            for kw in range(window[2]):
                                row[_index(j + kw)] = image[_index(line + kw * window[11])]
                        else:
                            for kw in range(window[2]):
                                w = w0 + kw * window[11]
                                inside = 0 <= d < depth and 0 <= h < height and 0 <= w < width
                                row[j + kw] = image[line + kw * window[11]] if inside else np.float32(0.0)
                        j += window[2]


def fold_3d(rows, out, shape, positions, window):
    """Add every row at its window of images out[B, C * D * H * W], flat; shape is (C, D, H, W)."""
    channels, depth, height, width = shape[0], shape[1], shape[2], shape[3]
    per_image = positions[0] * positions[1] * positions[2]
    for b in range(out.shape[0]):
        image = out[b]
        for place in range(per_image):
            d0 = place // (positions[1] * positions[2]) * window[3] - window[6]
            h0 = place // positions[2] % positions[1] * window[4] - window[7]
            w0 = place % positions[2] * window[5] - window[8]
            row = rows[b * per_image + place]
            run_inside = w0 >= 0 and w0 + (window[2] - 1) * window[11] < width
            j = 0
            for c in range(channels):
                for kd in range(window[0]):
                    d = d0 + kd * window[9]
                    for kh in range(window[1]):
                        h = h0 + kh * window[10]
                        line = ((c * depth + d) * height + h) * width + w0
                        if 0 <= d < depth and 0 <= h < height:
                            if run_inside:
                                for kw in range(window[2]):
                                    image[_index(line + kw * window[11])] += row[_index(j + kw)]
                            else:
                                for kw in range(window[2]):
                                    if 0 <= w0 + kw * window[11] < width:
                                        image[line + kw * window[11]] += row[j + kw]
                        j += window[2]
