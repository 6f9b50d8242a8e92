"""Devices and inputs that the tests of the pulsed update share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels import devices
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import CUDA, Cuda, backend_of
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters
from crossgrid.kernels.rng import tile_key

DEVICES: dict[str, Any] = {
    "constant": devices.ConstantStepDevice(),
    "linear": devices.LinearStepDevice(gamma_up=0.3, gamma_down=0.5, write_noise_std=2.0),
    "linear_additive": devices.LinearStepDevice(gamma_up=0.3, mult_noise=False),
    "soft_bounds": devices.SoftBoundsDevice(corrupt_devices_prob=0.1),
    "soft_bounds_pmax": devices.SoftBoundsPmaxDevice(),
    "soft_bounds_reference": devices.SoftBoundsReferenceDevice(
        subtract_symmetry_point=True, reference_std=0.05, slope_up_dtod=0.1
    ),
    "exp": devices.ExpStepDevice(write_noise_std=1.0),
    "exp_additive": devices.ExpStepDevice(dw_min_std_add=0.01, dw_min_std_slope=0.1),
    "pow": devices.PowStepDevice(pow_gamma=1.5),
    "pow_reference": devices.PowStepReferenceDevice(subtract_symmetry_point=True, reference_std=0.05),
    "piecewise": devices.PiecewiseStepDevice(piecewise_up=[1.0, 0.5, 0.2], piecewise_down=[0.3, 0.5, 1.0]),
    "neurosim": devices.NeuroSimDevice(d2d_vari=0.1),
}
FEW = ("constant", "linear", "pow_reference", "piecewise")  # that differ most
PULSED = [kind for kind in PulseType if kind not in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)]


def keys(tiles: int, layer: int = 1) -> NDArray[np.uint32]:
    """Keys of ``tiles`` tiles."""
    return np.stack([tile_key(layer, block) for block in range(tiles)])


def vectors(
    seed: int, tiles: int, batch: int, out_size: int, in_size: int, scale: float = 0.1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x [tiles, batch, in] with zeros in it, d [tiles, batch, out]."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tiles, batch, in_size)) * (rng.random((tiles, batch, in_size)) < 0.8)
    d = scale * rng.standard_normal((tiles, batch, out_size))
    return x.astype(np.float32), d.astype(np.float32)


def trained(
    device: Any,
    backend: str,
    parameters: UpdateParameters,
    *,
    out_size: int,
    in_size: int,
    tiles: int = 2,
    batches: int = 3,
    batch: int = 4,
    rate: float = 0.02,
    first_tick: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.int64], Any]:
    """Weights, pulses and the cell after some updates of freshly drawn tiles.

    The backend "late" is a card that nobody waits for.
    """
    chosen = CUDA.reporting(CUDA.new_updates(), "cell") if backend == "late" else backend_of(backend)
    cell = build_cell(device, parameters, keys(tiles), out_size, in_size, chosen)
    index = np.arange(tiles)
    pulses = np.zeros(tiles, np.int64)
    for number in range(batches):
        x, d = vectors(number, tiles, batch, out_size, in_size)
        pulses += cell.update(x, index, d, index, rate, first_tick + batch * number).pulses
        cell.saturated()  # as a scrape does
    weights = cell.weights
    pulses += sum(each.counted() for each in cell.populations().values())
    if isinstance(chosen, Cuda) and chosen.updates is not None:
        chosen.updates.raise_found()
    return np.asarray(weights if isinstance(weights, np.ndarray) else weights.cpu().numpy()), pulses, cell
