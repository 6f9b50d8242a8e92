"""Cells of several devices at a crosspoint, trained and then read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import crossgrid as cg

from .inputs import Results, both_reads, held, new_tile, pulsed

Policy = cg.VectorUnitCellUpdatePolicy


def pair() -> list[Any]:
    """Two kinds of devices, coarse so that few updates reach everything that a cell does."""
    return [cg.SoftBoundsDevice(dw_min=0.02), cg.ConstantStepDevice(dw_min=0.01)]


def two_alike() -> list[Any]:
    """Two devices of one configuration."""
    return [cg.SoftBoundsDevice(dw_min=0.02), cg.SoftBoundsDevice(dw_min=0.02)]


def one_sided_pair() -> list[Any]:
    """Devices that only step up and are soon full."""
    return [cg.SoftBoundsDevice(dw_min=0.05, w_min=0.0, w_min_dtod=0.0) for _ in range(2)]


def vector(policy: Policy) -> cg.VectorUnitCell:
    """A vector cell with weights of its own and one way to choose what is updated."""
    return cg.VectorUnitCell(
        unit_cell_devices=pair(), update_policy=policy, gamma_vec=[0.75, 0.5], first_update_idx=1
    )


CELLS: dict[str, Callable[[], Any]] = {
    **{f"vector-cell-{policy.value}": partial(vector, policy) for policy in Policy},
    "reference-cell": lambda: cg.ReferenceUnitCell(unit_cell_devices=pair()),
    "one-sided-cell": lambda: cg.OneSidedUnitCell(
        unit_cell_devices=one_sided_pair(), refresh_every=4, units_in_mbatch=False,
        refresh_upper_thres=0.5, refresh_lower_thres=0.2,
    ),
    "one-sided-pcm-preset": cg.PCMPresetUnitCell,
    "mixed-precision": lambda: cg.MixedPrecisionCompound(
        device=cg.SoftBoundsDevice(dw_min=0.02), transfer_every=2
    ),
    "mixed-precision-binned": lambda: cg.MixedPrecisionCompound(
        device=vector(Policy.SINGLE_RANDOM), n_x_bins=16, n_d_bins=8, n_rows_per_transfer=3, random_row=True,
        stoc_round_d=False,
    ),
    "transfer": lambda: cg.TransferCompound(
        unit_cell_devices=pair(), gamma=0.25, transfer_every=2.0, units_in_mbatch=False
    ),
    "transfer-rows-at-random": lambda: cg.TransferCompound(
        unit_cell_devices=[*pair(), cg.ConstantStepDevice(dw_min=0.01)], gamma_vec=[0.25, 0.5, 1.0],
        transfer_columns=False, n_reads_per_transfer=2, random_selection=True,
        transfer_every_vec=[1.0, 2.0, 0.0],
    ),
    "transfer-with-reset": lambda: cg.TransferCompound(
        unit_cell_devices=pair(), with_reset_prob=0.5, transfer_every=1.0, units_in_mbatch=False
    ),
    "buffered-transfer": lambda: cg.BufferedTransferCompound(
        unit_cell_devices=pair(), transfer_every=1.0, units_in_mbatch=False, thres_scale=0.25, momentum=0.1
    ),
    "chopped-transfer": lambda: cg.ChoppedTransferCompound(
        unit_cell_devices=two_alike(), in_chop_prob=0.3, out_chop_prob=0.2, transfer_every=1.0, fast_lr=0.5,
    ),
    "chopped-transfer-automatic": lambda: cg.ChoppedTransferCompound(
        unit_cell_devices=two_alike(), in_chop_prob=0.3, in_chop_random=False, transfer_every=1.0,
        auto_scale=True, auto_granularity=50.0, correct_gradient_magnitudes=True,
    ),
    "dynamic-transfer": lambda: cg.DynamicTransferCompound(
        unit_cell_devices=two_alike(), in_chop_prob=0.5, transfer_every=1.0, buffer_cap=1.0, fast_lr=0.5,
        buffer_granularity=0.05,
    ),
}  # fmt: skip


def cell_pulsed_exactly() -> Results:
    """Outer products instead of pulses, into the member whose turn it is."""
    exact = cg.UpdateParameters(pulse_type=cg.PulseType.NONE_WITH_DEVICE)
    config = cg.UnitCellRPUConfig(device=vector(Policy.SINGLE_RANDOM), update=exact)
    return held(pulsed(new_tile(config), batches=4))


def cell(make: Callable[[], Any]) -> Results:
    """The members, the weights after many small updates, and a read of them."""
    tile = pulsed(new_tile(cg.UnitCellRPUConfig(device=make())), batches=24)
    return {**held(tile), **both_reads(tile, times=1)}


RUNS = {
    **{name: partial(cell, make) for name, make in CELLS.items()},
    "vector-cell-pulsed-exactly": cell_pulsed_exactly,
}
