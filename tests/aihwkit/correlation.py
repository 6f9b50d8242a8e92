"""Correlation detection: which pairs of inputs and gradients are correlated, learned by devices of 20 steps.

x is normal, d = 0.4 x + 0.6 n, so that on the diagonal of W alone x and d are correlated: its weights should
move to a bound, all others should stay at zero. After Rasch et al., "Fast and robust analog in-memory deep
neural network training", Nat. Commun. 15, 7133 (2024). ``python correlation.py FILE`` plots it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

from crossgrid.aihwkit.simulator.configs import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    SoftBoundsReferenceDevice,
    build_config,
)
from crossgrid.aihwkit.simulator.configs.configs import core_config
from crossgrid.aihwkit.simulator.presets import StandardIOParameters
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.rng import tile_key

SIZE, UPDATES, TILES = 5, 5000, 20
CORRELATION, RATE, DW_MIN = 0.4, 0.1, 0.1
RULES = ("sgd", "ttv2", "c-ttv2", "agad")
SPREADS = (0.0, 0.05, 0.1, 0.25, 0.5)


class Found(NamedTuple):
    """Weights over the last two fifths of the updates, in units of the bounds."""

    correlated: float  # their mean
    error: float  # root mean square of the others
    of_reachable: float  # the same of those whose device can hold a weight of zero
    out_of_reach: float  # root mean square of how far zero is from what a device can hold


def configuration(rule: str, reference_std: float) -> object:
    """The learning rule ``rule`` on devices whose references miss the symmetry point by a spread."""
    device = SoftBoundsReferenceDevice(
        dw_min=DW_MIN, dw_min_dtod=0.0, dw_min_std=0.0, w_max=1.0, w_min=-1.0, w_max_dtod=0.3, w_min_dtod=0.3,
        up_down_dtod=0.0, slope_up_dtod=0.0, slope_down_dtod=0.0, subtract_symmetry_point=True,
        reference_std=reference_std,
    )  # fmt: skip
    config = build_config(rule, device, StandardIOParameters)
    if isinstance(config.device, ChoppedTransferCompound):
        config.device.transfer_every, config.device.auto_granularity = 1, 200
        config.device.auto_scale, config.device.in_chop_random = True, False
    if isinstance(config.device, DynamicTransferCompound):
        config.device.tail_weightening = 5
    return core_config(config)


def detect(rule: str, reference_std: float) -> Found:
    """What ``TILES`` tiles make of it."""
    config = configuration(rule, reference_std)
    keys = np.stack([tile_key(0, block) for block in range(TILES)])
    cell = build_cell(config.device, config.update, keys, SIZE, SIZE)  # type: ignore[attr-defined]
    rng, own = np.random.default_rng(0), np.arange(TILES)
    cell.set_weights((0.001 * rng.normal(size=(TILES, SIZE, SIZE))).astype(np.float32))
    x = rng.normal(size=(TILES, UPDATES, SIZE)).astype(np.float32)
    d = CORRELATION * x + (1 - CORRELATION) * rng.normal(size=x.shape).astype(np.float32)
    seen = []
    for k in range(UPDATES):
        cell.update(x[:, k : k + 1], own, d[:, k : k + 1], own, RATE, k)
        if k >= UPDATES * 3 // 5 and k % 50 == 0:
            seen.append(np.array(cell.weights))
    others, w = ~np.eye(SIZE, dtype=bool), np.stack(seen)
    slow = cell.members[-1] if hasattr(cell, "members") else cell.array  # that holds the weights
    gap = np.maximum(np.maximum(slow.min_bound, -slow.max_bound), 0.0)[..., others]
    off = w[..., others]
    return Found(float(w[..., ~others].mean()), _rms(off), _rms(off[:, gap == 0.0]), _rms(gap))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main(path: str) -> None:
    """Plot the errors of all rules over the spread of the references."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for rule in RULES:
        errors = [100 * detect(rule, spread).error for spread in SPREADS]
        print(rule, *(f"{error:.1f}" for error in errors))
        axes.plot(SPREADS, errors, "o-", label=rule)
    axes.set(xlabel="spread of the references", ylabel="error of uncorrelated weights [% of the bound]")
    axes.set_yscale("log")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(sys.argv[1])
