"""Cells and updates that this project and aihwkit are both put through, written once for either.

``build(n)`` takes the classes from the namespace ``n``: both packages use the same names and fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCHES, QUANTILES = 20, 512


@dataclass(frozen=True)
class Scenario:
    """One cell, the tile that it sits in and how it is updated: 4096 crosspoints, 200 vectors."""

    build: Callable[[Any], Any]
    rate: float
    out_size: int = 64
    in_size: int = 64
    start: float = 0.1  # weight before the updates
    batches: int = BATCHES
    hidden: bool = False  # whether the first member's weights are compared too

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """x [batches, vectors, in] and d [batches, vectors, out]; a mean gradient and noise about it."""
        rng = np.random.default_rng(20240607)
        each = 200 // self.batches
        x = rng.normal(0.3, 1.0, (self.batches, each, self.in_size))
        d = rng.normal(0.0, 0.1, (self.batches, each, self.out_size)) + rng.normal(0.0, 0.05, self.out_size)
        return x.astype(np.float32), d.astype(np.float32)


def soft(n: Any, **fields: Any) -> Any:
    return n.SoftBoundsDevice(**{"dw_min": 0.005, **fields})


def pair(n: Any) -> list[Any]:
    return [soft(n), soft(n, dw_min=0.004, up_down=0.1)]


def adc(n: Any) -> Any:
    return n.IOParameters(
        noise_management=n.NoiseManagementType.NONE,
        bound_management=n.BoundManagementType.NONE,
        out_bound=2.0,
    )


def vector(policy: str) -> Callable[[Any], Any]:
    return lambda n: n.VectorUnitCell(
        unit_cell_devices=pair(n),
        update_policy=getattr(n.VectorUnitCellUpdatePolicy, policy),
        first_update_idx=1,
    )


def reference(n: Any) -> Any:
    return n.ReferenceUnitCell(unit_cell_devices=pair(n))


def one_sided(n: Any) -> Any:
    return n.OneSidedUnitCell(unit_cell_devices=[soft(n, w_min=0.0, w_min_dtod=0.0)])


def refreshed(n: Any) -> Any:
    device = soft(n, dw_min=0.02, w_min=0.0, w_min_dtod=0.0, w_max=1.0, reset_std=0.02)
    return n.OneSidedUnitCell(
        unit_cell_devices=[device], refresh_every=2, refresh_upper_thres=0.4, refresh_lower_thres=0.2
    )


def mixed(n: Any) -> Any:
    return n.MixedPrecisionCompound(device=soft(n))


def mixed_bins(n: Any) -> Any:
    return n.MixedPrecisionCompound(device=soft(n), n_x_bins=8, n_d_bins=5, n_rows_per_transfer=16)


def transfer(**fields: Any) -> Callable[[Any], Any]:
    return lambda n: n.TransferCompound(
        unit_cell_devices=pair(n), transfer_forward=adc(n), fast_lr=0.2,
        **{**n.own_fast_lr, "units_in_mbatch": False, **fields},
    )  # fmt: skip


def three(n: Any) -> Any:
    return n.TransferCompound(
        unit_cell_devices=[soft(n), soft(n), soft(n)], transfer_every_vec=[1.0, 3.0, 0.0], gamma=0.3,
        units_in_mbatch=False, transfer_forward=adc(n), fast_lr=0.2, n_reads_per_transfer=2, **n.own_fast_lr,
    )  # fmt: skip


def buffered(**fields: Any) -> Callable[[Any], Any]:
    return lambda n: n.BufferedTransferCompound(
        unit_cell_devices=pair(n), transfer_forward=adc(n), fast_lr=0.2,
        **{**n.own_fast_lr, "units_in_mbatch": False, **fields},
    )  # fmt: skip


def chopped(**fields: Any) -> Callable[[Any], Any]:
    return lambda n: n.ChoppedTransferCompound(
        unit_cell_devices=pair(n), transfer_forward=adc(n), **{"fast_lr": 0.2, **fields}
    )


def dynamic(**fields: Any) -> Callable[[Any], Any]:
    return lambda n: n.DynamicTransferCompound(
        unit_cell_devices=pair(n), transfer_forward=adc(n), **{"fast_lr": 0.2, "in_chop_prob": 0.34, **fields}
    )


TALL = {"out_size": 512, "in_size": 8, "hidden": True}  # 25 sweeps over the columns

SCENARIOS = {
    "vector_all": Scenario(vector("ALL"), 0.05),
    "vector_fixed": Scenario(vector("SINGLE_FIXED"), 0.05),
    "vector_sequential": Scenario(vector("SINGLE_SEQUENTIAL"), 0.05),
    "vector_random": Scenario(vector("SINGLE_RANDOM"), 0.05),
    "reference": Scenario(reference, 0.05),
    "one_sided": Scenario(one_sided, 0.05),
    "one_sided_refresh": Scenario(refreshed, 0.5),
    "mixed_precision": Scenario(mixed, 0.05, batches=200),
    "mixed_precision_bins": Scenario(mixed_bins, 0.05, batches=200),
    "transfer": Scenario(transfer(), 0.1, **TALL),
    "transfer_rows": Scenario(
        transfer(transfer_columns=False, gamma=0.5), 0.1, out_size=8, in_size=512, hidden=True
    ),
    "transfer_batches": Scenario(
        transfer(units_in_mbatch=True, n_reads_per_transfer=4, random_selection=True), 0.1, **TALL
    ),
    "transfer_reset": Scenario(transfer(with_reset_prob=1.0), 0.1, **TALL),
    "transfer_three": Scenario(three, 0.1, **TALL),
    "buffered": Scenario(buffered(thres_scale=4.0), 0.1, **TALL),
    "buffered_keeps": Scenario(buffered(forget_buffer=False, thres_scale=4.0), 0.1, **TALL),
    "chopped": Scenario(chopped(buffer_granularity=6.0, in_chop_prob=0.5), 0.1, **TALL),
    "chopped_both": Scenario(
        chopped(buffer_granularity=6.0, in_chop_random=False, in_chop_prob=0.34, out_chop_prob=0.3),
        0.1, **TALL,
    ),
    "chopped_auto": Scenario(
        chopped(
            auto_scale=True, fast_lr=0.5, buffer_granularity=6.0, auto_granularity=40.0, in_chop_random=False
        ), 0.5, **TALL,
    ),
    "chopped_corrected": Scenario(
        chopped(
            auto_scale=True, fast_lr=0.5, correct_gradient_magnitudes=True, buffer_granularity=6.0,
            in_chop_random=False,
        ), 0.02, **TALL,
    ),
    "dynamic": Scenario(dynamic(buffer_granularity=6.0), 0.1, **TALL),
    "dynamic_auto": Scenario(
        dynamic(auto_scale=True, fast_lr=0.5, auto_granularity=40.0, buffer_granularity=6.0), 0.5, **TALL
    ),
    "dynamic_keeps": Scenario(
        dynamic(forget_buffer=False, buffer_cap=2.0, buffer_granularity=4.0), 0.1, **TALL
    ),
}  # fmt: skip


def quantiles(values: np.ndarray) -> np.ndarray:
    """The values at (k + 1/2) / QUANTILES of their distribution."""
    return np.quantile(
        values.astype(np.float64), (np.arange(QUANTILES) + 0.5) / QUANTILES, method="inverted_cdf"
    )
