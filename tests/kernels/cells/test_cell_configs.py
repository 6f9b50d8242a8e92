"""What bad input gets: an error that names the field, the value and the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cell_helpers import make, plain

from crossgrid.kernels.cells import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    TransferCompound,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from crossgrid.kernels.devices import SoftBoundsDevice
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

ONE, TWO, THREE = ([plain() for _ in range(n)] for n in (1, 2, 3))
CELL = VectorUnitCell(unit_cell_devices=TWO)

REFUSED: dict[str, tuple[type, dict[str, Any]]] = {
    "unit_cell_devices has 0 devices": (VectorUnitCell, {}),
    "unit_cell_devices has 3 devices": (ReferenceUnitCell, {"unit_cell_devices": THREE}),
    r"unit_cell_devices\[0\] .* PulsedDevice or UnitCell": (VectorUnitCell, {"unit_cell_devices": [1]}),
    r"unit_cell_devices\[1\] is a TransferCompound": (
        VectorUnitCell,
        {"unit_cell_devices": [CELL, TransferCompound(unit_cell_devices=TWO)]},
    ),
    r"unit_cell_devices\[0\] is a OneSidedUnitCell": (
        TransferCompound,
        {"unit_cell_devices": [OneSidedUnitCell(unit_cell_devices=ONE), CELL]},
    ),
    r"unit_cell_devices\[0\] is a VectorUnitCell": (OneSidedUnitCell, {"unit_cell_devices": [CELL]}),
    "gamma_vec has 1": (VectorUnitCell, {"unit_cell_devices": TWO, "gamma_vec": [1.0]}),
    "first_update_idx = 2": (VectorUnitCell, {"unit_cell_devices": TWO, "first_update_idx": 2}),
    "update_policy = ALL": (
        ReferenceUnitCell,
        {"unit_cell_devices": TWO, "update_policy": VectorUnitCellUpdatePolicy.ALL},
    ),
    "update_policy = 'SOME'": (VectorUnitCell, {"unit_cell_devices": TWO, "update_policy": "SOME"}),
    r"unit_cell_devices\[1\] differs": (
        OneSidedUnitCell,
        {"unit_cell_devices": [plain(), plain(dw_min=0.5)]},
    ),
    "write_noise_std": (OneSidedUnitCell, {"unit_cell_devices": [SoftBoundsDevice(write_noise_std=1.0)]}),
    "copy_inverted": (OneSidedUnitCell, {"unit_cell_devices": ONE, "copy_inverted": True}),
    "refresh_every = -1": (OneSidedUnitCell, {"unit_cell_devices": ONE, "refresh_every": -1}),
    "device is a TransferCompound": (
        MixedPrecisionCompound,
        {"device": TransferCompound(unit_cell_devices=TWO)},
    ),
    "n_rows_per_transfer = 0": (MixedPrecisionCompound, {"n_rows_per_transfer": 0}),
    "n_x_bins = 1": (MixedPrecisionCompound, {"n_x_bins": 1}),
    "unit_cell_devices has 1 device;": (TransferCompound, {"unit_cell_devices": ONE}),
    "transfer_lr_vec has 3": (
        TransferCompound,
        {"unit_cell_devices": TWO, "transfer_lr_vec": [1.0, 1.0, 1.0]},
    ),
    "transfer_every = -1": (TransferCompound, {"unit_cell_devices": TWO, "transfer_every": -1.0}),
    "transfer_every_vec": (TransferCompound, {"unit_cell_devices": TWO, "transfer_every_vec": [-1.0, 0.0]}),
    "n_reads_per_transfer = 0": (TransferCompound, {"unit_cell_devices": TWO, "n_cols_per_transfer": 0}),
    r"gamma_vec\[-1\]": (TransferCompound, {"unit_cell_devices": TWO, "gamma_vec": [1.0, 0.0]}),
    "with_reset_prob = 0.5": (
        TransferCompound,
        {"unit_cell_devices": TWO, "with_reset_prob": 0.5, "transfer_columns": False},
    ),
    "no_self_transfer": (TransferCompound, {"unit_cell_devices": TWO, "no_self_transfer": False}),
    "did you mean 'transfer_lr'": (TransferCompound, {"unit_cell_devices": TWO, "transfer_rl": 0.5}),
    "with_reset_prob = 1": (BufferedTransferCompound, {"unit_cell_devices": TWO, "with_reset_prob": 1.0}),
    "thres_scale = 0": (BufferedTransferCompound, {"unit_cell_devices": TWO, "thres_scale": 0.0}),
    "must have 2": (ChoppedTransferCompound, {"unit_cell_devices": THREE}),
    "n_reads_per_transfer = 2": (
        ChoppedTransferCompound,
        {"unit_cell_devices": TWO, "n_reads_per_transfer": 2},
    ),
    "random_selection = True": (
        ChoppedTransferCompound,
        {"unit_cell_devices": TWO, "random_selection": True},
    ),
    "in_chop_prob = 1.5": (ChoppedTransferCompound, {"unit_cell_devices": TWO, "in_chop_prob": 1.5}),
    "no_buffer": (ChoppedTransferCompound, {"unit_cell_devices": TWO, "no_buffer": True}),
    "in_chop_prob = 0 ": (DynamicTransferCompound, {"unit_cell_devices": TWO, "in_chop_prob": 0.0}),
    "out_chop_prob = 0.5": (DynamicTransferCompound, {"unit_cell_devices": TWO, "out_chop_prob": 0.5}),
    "experimental_correct_accumulation": (
        DynamicTransferCompound,
        {"unit_cell_devices": TWO, "experimental_correct_accumulation": True},
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_impossible_configurations_are_refused(message: str) -> None:
    kind, fields = REFUSED[message]
    with pytest.raises(ConfigError, match=message):
        kind(**fields)


def test_a_device_list_changed_later_is_checked_when_the_cell_is_built() -> None:
    own = VectorUnitCell(unit_cell_devices=list(TWO))
    own.unit_cell_devices.clear()
    with pytest.raises(ConfigError, match="unit_cell_devices has 0 devices"):
        make(own, 2, 2)


def test_update_parameters_that_a_cell_cannot_use() -> None:
    free = UpdateParameters(fixed_bl=False, update_management=False, update_bl_management=False)
    auto = ChoppedTransferCompound(unit_cell_devices=TWO, auto_scale=True)
    with pytest.raises(ConfigError, match="fixed_bl"):
        make(auto, 2, 2, free)
    with pytest.raises(ConfigError, match="pulse_type = NONE"):
        make(OneSidedUnitCell(unit_cell_devices=ONE), 2, 2, UpdateParameters(pulse_type=PulseType.NONE))


def test_the_older_spelling_is_the_same_field() -> None:
    for kind in (TransferCompound, BufferedTransferCompound):
        own = kind(unit_cell_devices=TWO, n_cols_per_transfer=3)
        assert own.n_reads_per_transfer == own.n_cols_per_transfer == 3
        own.n_cols_per_transfer = 2
        assert own.n_reads_per_transfer == 2


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_learning_rates_that_are_none(rate: float) -> None:
    cell = make(TransferCompound(unit_cell_devices=TWO), 2, 2)
    one = np.zeros(1, np.int64)
    with pytest.raises(InputError, match="learning rate"):
        cell.update(np.ones((1, 1, 2)), one, np.ones((1, 1, 2)), one, rate, 0)


@pytest.mark.parametrize("own", [CELL, MixedPrecisionCompound(device=plain())], ids=["vector", "mixed"])
def test_nan_and_unequal_batches_are_refused(own: Any) -> None:
    cell, one = make(own, 2, 2), np.zeros(1, np.int64)
    with pytest.raises(InputError, match="NaN"):
        cell.update(np.full((1, 1, 2), np.nan), one, np.ones((1, 1, 2)), one, 0.1, 0)
    with pytest.raises(InputError, match="equal batches"):
        cell.update(np.ones((1, 2, 2)), one, np.ones((1, 1, 2)), one, 0.1, 0)


def test_tiles_of_different_age_cannot_share_a_bank() -> None:
    cell = make(TransferCompound(unit_cell_devices=TWO), 2, 2, tiles=2)
    state = cell.state()
    state["updates"] = np.array([1, 2])
    with pytest.raises(InputError, match="updates"):
        cell.load_state(state)
