"""What the tests of cells share: noiseless devices and tiles, and updates of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossgrid.kernels.analog_mvm.parameters import IOParameters
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.devices import ConstantStepDevice
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters
from crossgrid.kernels.rng import tile_key

EXACT = UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE)  # the outer product itself
PERFECT = IOParameters(is_perfect=True)
SPREADS = (
    "dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod", "reset_dtod", "reset_std",
)  # fmt: skip


def plain(**fields: Any) -> ConstantStepDevice:
    """Devices that are all alike and step without noise."""
    return ConstantStepDevice(**{**dict.fromkeys(SPREADS, 0.0), "w_max": 1.0, "w_min": -1.0, **fields})


def keys(tiles: int = 1) -> np.ndarray:
    return np.stack([tile_key(7, block) for block in range(tiles)])


def make(
    config: Any, out_size: int, in_size: int, update: UpdateParameters = EXACT, tiles: int = 1,
    backend: str = "cpu", start: float | np.ndarray = 0.0,
) -> Any:  # fmt: skip
    cell = build_cell(config, update, keys(tiles), out_size, in_size, backend_of(backend))
    cell.set_weights(np.broadcast_to(np.asarray(start, np.float32), (tiles, out_size, in_size)))
    return cell


def train(cell: Any, x_BI: np.ndarray, d_BO: np.ndarray, rate: float, batch: int, tick: int = 0) -> Any:
    """Update with all vectors in mini-batches of ``batch``; every tile gets the same ones."""
    tile = np.zeros(len(cell.weights), np.int64)
    for start in range(0, len(x_BI), batch):
        part = slice(start, start + batch)
        cell.update(x_BI[None, part], tile, d_BO[None, part], tile, rate, tick + start)
    return cell


def gradients(vectors: int, out_size: int, in_size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, d = rng.normal(size=(vectors, in_size)), 0.1 * rng.normal(size=(vectors, out_size))
    return x.astype(np.float32), d.astype(np.float32)
