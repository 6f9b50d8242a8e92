"""Compile what a configuration needs before many processes need it at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import CPU, Backend
from ..pulsed_update.parameters import UpdateParameters
from ..rng import tile_key
from .build import build_cell


def warm(device: Any, update: UpdateParameters, backend: Backend = CPU) -> None:
    """Compile the kernels of ``device`` and leave them in numba's cache on disk."""
    tile, size = np.zeros(1, np.int64), 4
    cell = build_cell(device, update, tile_key(0, 0)[None], size, size, backend)
    cell.set_weights(np.zeros((1, size, size), np.float32))
    cell.update(np.ones((1, 1, size)), tile, np.full((1, 1, size), 0.01), tile, 0.01, 0)
