"""Compile a run's kernels once, into numba's cache on disk, before many actors need them at the same time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from .layer_spec import LayerSpec, grid_of_blocks
from .worker import TileWorker

#: a batch that every kernel runs on, whichever path its size selects
VECTORS = 2


def warm_kernels(specs: Iterable[LayerSpec]) -> None:
    """Run a two-by-three layer of every configuration through a forward, backward and update."""
    done = []
    for spec in specs:
        patches = spec.patches
        if (spec.rpu_config, patches and len(patches.kernel)) in done:
            continue
        done.append((spec.rpu_config, patches and len(patches.kernel)))
        in_size = 3 if patches is None else 3 * patches.size
        blocks = grid_of_blocks("warm", 2, in_size, 0, 0)
        small = replace(
            spec, name="warm", key=0, out_size=2, in_size=in_size, rows=1, columns=1, tiles=blocks
        )
        _exercise(small)


def _exercise(spec: LayerSpec) -> None:
    worker = TileWorker()
    worker.host(0, spec, [0])
    layer = worker.layers[0]
    shape: tuple[int, ...] = (VECTORS, 3)
    if spec.patches is not None:
        # the smallest image of one position
        window = zip(spec.patches.kernel, spec.patches.dilation, strict=True)
        shape += tuple(d * (k - 1) + 1 for k, d in window)
    x = np.full(shape, 0.5, np.float32)
    _, outputs = layer.forward(0, 0, [x])
    layer.backward(0, 0, True, [np.full(outputs[0].shape, 0.1, np.float32)])
    layer.update(0.01, 0, [0])
    worker.stats()
