"""Cells whose members are cells: what is seen, what is pulsed, what decays, against plain statements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cell_helpers import PERFECT, gradients, make, plain, train

from crossgrid.kernels.arrays.cell import give_hidden
from crossgrid.kernels.cells import (
    ChoppedTransferCompound,
    MixedPrecisionCompound,
    ReferenceUnitCell,
    TransferCompound,
    VectorUnitCell,
)
from crossgrid.kernels.devices import SoftBoundsDevice
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

OUT, IN, GAMMA = 5, 4, 0.25
COUNTS = UpdateParameters(pulse_type=PulseType.MEAN_COUNT)
BOTH = pytest.mark.parametrize("backend", ["naive", "cpu"])


def pair(**fields: Any) -> ReferenceUnitCell:
    """A device without spread and its reference."""
    device = SoftBoundsDevice(w_max=1.0, w_min=-1.0, w_max_dtod=0.0, w_min_dtod=0.0, **fields)
    return ReferenceUnitCell(unit_cell_devices=[device, device])


def given_weights(cell: Any, **values: float) -> None:
    shape = (1, OUT, IN)
    give_hidden(cell, {name: np.full(shape, value, np.float32) for name, value in values.items()})


def test_what_is_seen_of_references_in_a_transfer() -> None:
    """W = gamma (A - A_ref) + (C - C_ref); the last number in a name is the outer member's."""
    cell = make(TransferCompound(unit_cell_devices=[pair(), pair()], gamma=GAMMA), OUT, IN)
    given_weights(cell, hidden_weights_0_0=0.5, hidden_weights_1_0=0.25)
    given_weights(cell, hidden_weights_0_1=0.75, hidden_weights_1_1=0.125)
    np.testing.assert_array_equal(cell.weights, np.float32(GAMMA * 0.25 + 0.625))
    np.testing.assert_array_equal(cell.hidden_parameters()["hidden_weights_0"], np.float32(0.25))


def test_every_device_decays_towards_its_own_reset_level() -> None:
    """w <- (w - r) s + r once a mini-batch, s = 1 - 1/lifetime of the device or what was given."""
    fields = {"lifetime": 100.0, "lifetime_dtod": 0.0, "reset": 0.25, "reset_std": 0.0}
    cell = make(TransferCompound(unit_cell_devices=[pair(**fields), pair(**fields)], gamma=GAMMA), OUT, IN)
    weights = {"0_0": 0.5, "1_0": 0.25, "0_1": 0.75, "1_1": 0.125}
    scales = {"0_0": 0.75, "1_0": 0.5, "0_1": 0.875, "1_1": 0.99}  # the last is the drawn one
    given_weights(cell, **{f"hidden_weights_{each}": w for each, w in weights.items()})
    given_weights(cell, **{f"decay_scales_{each}": scales[each] for each in ("0_0", "1_0", "0_1")})
    x, d = gradients(2, OUT, IN)
    train(cell, x, d, 0.0, 1)
    a, a_ref, c, c_ref = ((weights[each] - 0.25) * scales[each] ** 2 + 0.25 for each in weights)
    np.testing.assert_allclose(cell.weights, GAMMA * (a - a_ref) + c - c_ref, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("kind", [TransferCompound, ChoppedTransferCompound])
@pytest.mark.parametrize("gamma", [0.0, GAMMA])
def test_references_at_zero_learn_as_devices_without(
    backend: str, kind: type[TransferCompound], gamma: float
) -> None:
    """Devices without spread or noise, and counted pulses: nothing is left but the algorithm."""
    device = plain(dw_min=0.01)
    alone = kind(unit_cell_devices=[device, device], gamma=gamma, transfer_forward=PERFECT)
    paired = ReferenceUnitCell(unit_cell_devices=[device, device])
    referred = kind(unit_cell_devices=[paired, paired], gamma=gamma, transfer_forward=PERFECT)
    x, d = gradients(40, OUT, IN)
    cells = [
        train(make(own, OUT, IN, COUNTS, backend=backend, start=0.1), x, d, 0.1, 4)
        for own in (alone, referred)
    ]
    assert np.abs(cells[0].weights - 0.1).max() >= 0.02  # two steps
    if kind is TransferCompound:  # choppers of two cells flip at different times
        np.testing.assert_allclose(cells[1].weights, cells[0].weights, atol=1e-6)
    for reference in ("1_0", "1_1"):
        assert not cells[1].hidden_parameters()[f"hidden_weights_{reference}"].any()


@BOTH
def test_vectors_of_vectors_share_their_trains(backend: str) -> None:
    """W = w_0 + 2 (w_0_1 - 3 w_1_1), and equal devices take equal pulses at any depth."""
    device = plain(dw_min=0.01)
    inner = VectorUnitCell(unit_cell_devices=[device, device], gamma_vec=[1.0, -3.0])
    own = VectorUnitCell(unit_cell_devices=[device, inner], gamma_vec=[1.0, 2.0])
    x, d = gradients(20, OUT, IN)
    cell = train(make(own, OUT, IN, UpdateParameters(), backend=backend), x, d, 0.1, 20)
    drawn = cell.hidden_parameters()
    assert drawn["hidden_weights_0"].any()
    for each in ("hidden_weights_0_1", "hidden_weights_1_1"):
        np.testing.assert_array_equal(drawn[each], drawn["hidden_weights_0"])
    np.testing.assert_allclose(cell.weights, (1.0 + 2.0 * (1.0 - 3.0)) * drawn["hidden_weights_0"], atol=1e-6)


def test_a_mixed_precision_cell_writes_into_a_vector_of_references() -> None:
    """Every whole step that leaves chi is one pulse of one step: nothing is lost on the way."""
    device = plain(dw_min=0.01)
    paired = ReferenceUnitCell(unit_cell_devices=[device, device])
    own = MixedPrecisionCompound(device=VectorUnitCell(unit_cell_devices=[paired, paired]))
    x, d = gradients(20, OUT, IN)
    cell = train(make(own, OUT, IN, COUNTS), x, d, 0.1, 5)
    assert cell.weights.any()
    np.testing.assert_allclose(cell.weights[0] - cell.chi_TOI[0], -0.1 * d.T @ x, atol=1e-5)


def test_populations_of_members_of_members_differ() -> None:
    spread = ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice()])
    drawn = make(TransferCompound(unit_cell_devices=[spread, spread]), 32, 32).hidden_parameters()
    bounds = [drawn[f"max_bound_{each}"].ravel() for each in ("0_0", "1_0", "0_1", "1_1")]
    correlation = np.corrcoef(bounds)
    # correlation of 1024 independent pairs: a standard deviation of 1/32, 4 of them
    assert np.abs(correlation[~np.eye(4, dtype=bool)]).max() < 4 / 32


@pytest.mark.parametrize("inner", [0, 5])
def test_a_construction_seed_reaches_members_of_members(inner: int) -> None:
    member = ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice()], construction_seed=inner)
    own = TransferCompound(unit_cell_devices=[member, member], construction_seed=5 - inner)
    drawn = make(own, 4, 4, tiles=2).hidden_parameters()
    for each in ("0_0", "1_0", "0_1", "1_1"):
        np.testing.assert_array_equal(drawn[f"max_bound_{each}"][0], drawn[f"max_bound_{each}"][1])
    assert (drawn["max_bound_0_0"] != drawn["max_bound_1_0"]).any()
