"""Vector cells, references, one-sided pairs and mixed precision against a plain statement of their rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cell_helpers import EXACT, PERFECT, SPREADS, gradients, keys, make, plain, train

from crossgrid.emulator.config.cell_presets import PCMPresetUnitCell
from crossgrid.kernels.analog_mvm.parameters import IOParameters
from crossgrid.kernels.cells import (
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from crossgrid.kernels.devices import SoftBoundsDevice
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

OUT, IN, VECTORS, STEP = 5, 4, 30, 0.01
COUNTS = UpdateParameters(pulse_type=PulseType.MEAN_COUNT)
BOTH = pytest.mark.parametrize("backend", ["naive", "cpu"])


def hidden(cell: Any, k: int) -> np.ndarray:
    return cell.hidden_parameters()[f"hidden_weights_{k}"][0]


@BOTH
@pytest.mark.parametrize("policy", ["ALL", "SINGLE_FIXED", "SINGLE_SEQUENTIAL"])
def test_the_policy_says_who_is_updated(backend: str, policy: str) -> None:
    x, d = gradients(VECTORS, OUT, IN)
    own = VectorUnitCell(
        unit_cell_devices=[plain(), plain(), plain()], update_policy=policy, first_update_idx=1,
        gamma_vec=[0.5, 1.0, -2.0],
    )  # fmt: skip
    cell = train(make(own, OUT, IN, backend=backend, start=0.1), x, d, 0.1, 7)

    w = np.full((3, OUT, IN), 0.1)
    if policy == "SINGLE_FIXED":  # the others are not even programmed
        w[[0, 2]] = 0.0
    for u in range(VECTORS):
        gradient = 0.1 * np.outer(d[u], x[u])
        if policy == "ALL":
            w -= gradient
        else:
            w[1 if policy == "SINGLE_FIXED" else (2 + u) % 3] -= gradient
    for k in range(3):
        np.testing.assert_allclose(hidden(cell, k), w[k], atol=1e-6)
    np.testing.assert_allclose(cell.weights[0], 0.5 * w[0] + w[1] - 2.0 * w[2], atol=1e-6)


def test_random_members_take_turns_equally_often() -> None:
    vectors, n = 6000, 4
    own = VectorUnitCell(
        unit_cell_devices=[plain(w_max=99.0) for _ in range(n)],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )
    cell = make(own, 1, 1)
    train(
        cell, np.ones((vectors, 1), np.float32), np.full((vectors, 1), -(2.0**-9), np.float32), 1.0, vectors
    )
    counts = np.array([hidden(cell, k)[0, 0] for k in range(n)]) * 2**9
    # chi-square of 3 degrees of freedom: above 16.3 with probability 0.001
    assert ((counts - vectors / n) ** 2 / (vectors / n)).sum() < 16.3
    assert counts.sum() == vectors


def test_all_members_get_the_same_pulses() -> None:
    x, d = gradients(20, 16, 16)
    own = VectorUnitCell(unit_cell_devices=[plain(dw_min=STEP), plain(dw_min=STEP)])
    cell = train(make(own, 16, 16, UpdateParameters()), x, d, 0.1, 20)
    assert hidden(cell, 0).any()
    np.testing.assert_array_equal(hidden(cell, 0), hidden(cell, 1))


def test_trains_are_scaled_for_the_mean_granularity() -> None:
    # one vector x = d = 1 and rate r make ceil(r / g) pulses: 3 of r = 0.059 with g = 0.02
    own = VectorUnitCell(unit_cell_devices=[plain(dw_min=0.01), plain(dw_min=0.03)], gamma_vec=[1.0, 1.0])
    cell = make(own, 1, 1, COUNTS)
    assert cell.granularity == pytest.approx(0.02)
    train(cell, np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), 0.059, 1)
    np.testing.assert_allclose(cell.weights.ravel(), [-3 * 0.04], rtol=1e-5)


def test_a_reference_stays_and_is_subtracted() -> None:
    x, d = gradients(VECTORS, OUT, IN)
    cell = make(ReferenceUnitCell(unit_cell_devices=[plain()]), OUT, IN)
    cell.members[1].set_weights(np.full((1, OUT, IN), 0.25, np.float32))
    cell.set_weights(np.full((1, OUT, IN), 0.5, np.float32))
    np.testing.assert_allclose(cell.weights, 0.25)
    train(cell, x, d, 0.1, 5)
    np.testing.assert_allclose(hidden(cell, 1), 0.25)
    np.testing.assert_allclose(cell.weights[0], 0.25 - 0.1 * d.T @ x, atol=1e-5)


def test_two_members_of_one_configuration_are_two_populations() -> None:
    device = SoftBoundsDevice()
    own = VectorUnitCell(unit_cell_devices=[device, device])
    first, second = (make(own, 32, 32).hidden_parameters()[f"max_bound_{k}"] for k in (0, 1))
    # correlation of 1024 independent pairs: a standard deviation of 1/32, 4 of them
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / 32


def test_a_construction_seed_fixes_the_population_whatever_the_tile() -> None:
    own = VectorUnitCell(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()], construction_seed=5)
    drawn = make(own, 4, 4, tiles=2).hidden_parameters()
    np.testing.assert_array_equal(drawn["max_bound_0"][0], drawn["max_bound_0"][1])
    assert (drawn["max_bound_0"] != drawn["max_bound_1"]).any()


def one_sided(**fields: Any) -> OneSidedUnitCell:
    device = plain(dw_min=STEP, w_min=0.0, reset=0.05, reset_dtod=0.02)
    return OneSidedUnitCell(unit_cell_devices=[device], **fields)


def mean_counts(x: np.ndarray, d: np.ndarray, rate: float) -> np.ndarray:
    """Signed pulses of one vector: MeanCount with update and bit-length management."""
    top_x, top_d = np.abs(x).max(), np.abs(d).max()
    wanted = rate * top_x * top_d / STEP
    length = min(np.ceil(wanted), 31)
    top_d *= min(1.0, 31 / wanted)
    p = np.sqrt(rate * top_d / (STEP * length * top_x)) * np.abs(x)
    q = np.sqrt(rate * top_x / (STEP * length * top_d)) * np.abs(d)
    n, m = np.minimum(np.rint(length * p), length), np.minimum(np.rint(length * q), length)
    return np.rint(np.outer(m, n) / length) * np.sign(np.outer(d, x))


@BOTH
def test_each_side_of_a_pair_only_steps_up(backend: str) -> None:
    x, d = gradients(VECTORS, OUT, IN)
    start = np.where(np.arange(OUT * IN).reshape(OUT, IN) % 2, 0.25, -0.125)
    cell = train(make(one_sided(), OUT, IN, COUNTS, backend=backend, start=start), x, d, 0.5, 7)
    plus, minus = np.maximum(start, 0.0), np.maximum(-start, 0.0)
    for u in range(VECTORS):
        counts = mean_counts(x[u], d[u], 0.5)
        plus = np.minimum(plus + STEP * np.maximum(-counts, 0.0), 1.0)
        minus = np.minimum(minus + STEP * np.maximum(counts, 0.0), 1.0)
    np.testing.assert_allclose(hidden(cell, 0), plus, atol=1e-5)
    np.testing.assert_allclose(hidden(cell, 1), minus, atol=1e-5)
    np.testing.assert_allclose(cell.weights[0], plus - minus, atol=1e-5)


@BOTH
@pytest.mark.parametrize(("every", "in_batches"), [(2, True), (7, False)])
def test_pairs_that_have_both_grown_are_refreshed(backend: str, every: int, in_batches: bool) -> None:
    x, d = gradients(120, OUT, IN)
    batch = 5
    own = one_sided(
        refresh_every=every, units_in_mbatch=in_batches, refresh_upper_thres=0.3, refresh_lower_thres=0.2,
        refresh_forward=PERFECT, refresh_update=COUNTS,
    )  # fmt: skip
    # off the grid of steps: where a difference were a whole number of them, rounding would decide its pulses
    start = np.random.default_rng(1).uniform(-STEP / 2, STEP / 2, (OUT, IN))
    cell = train(make(own, OUT, IN, COUNTS, backend=backend, start=start), x, d, 0.5, batch)
    level = np.maximum([cell.hidden_parameters()[f"reset_bias_{k}"][0] for k in range(2)], 0.0)

    side, refreshes = np.array([np.maximum(start, 0.0), np.maximum(-start, 0.0)]), 0
    for u in range(120):
        counts = mean_counts(x[u], d[u], 0.5)
        side[0] = np.minimum(side[0] + STEP * np.maximum(-counts, 0.0), 1.0)
        side[1] = np.minimum(side[1] + STEP * np.maximum(counts, 0.0), 1.0)
        if (u + 1) % (every * (batch if in_batches else 1)) == 0:
            due = (side.max(0) > 0.3) & (side.min(0) > 0.2)
            refreshes += due.sum()
            difference = np.where(due, side[0] - side[1], 0.0)
            side[:, due] = level[:, due]
            for k, wanted in enumerate((np.maximum(difference, 0.0), np.maximum(-difference, 0.0))):
                for column in np.flatnonzero(wanted.any(0)):
                    one_hot = (np.arange(IN) == column).astype(float)
                    side[k] = np.minimum(
                        side[k] + STEP * np.abs(mean_counts(one_hot, wanted[:, column], 1.0)), 1.0
                    )
    assert refreshes > 5
    np.testing.assert_allclose(cell.weights[0], side[0] - side[1], atol=1e-4)


def test_pcm_pairs_stay_within_bounds_through_refreshes() -> None:
    x, d = gradients(200, 16, 16)
    cell = train(make(PCMPresetUnitCell(), 16, 16, UpdateParameters()), x, d, 0.3, 10)
    assert cell.state()["refreshes"][0] == 20
    for k in range(2):
        drawn = cell.hidden_parameters()
        assert (hidden(cell, k) <= drawn[f"max_bound_{k}"][0]).all()
        assert (hidden(cell, k) >= drawn[f"min_bound_{k}"][0]).all()


@BOTH
@pytest.mark.parametrize("rows", [-1, 2])
@pytest.mark.parametrize("bins", [0, 6])
def test_mixed_precision_writes_whole_steps_of_chi(backend: str, rows: int, bins: int) -> None:
    batch, rate = 6, 0.2
    x, d = gradients(60, OUT, IN)
    own = MixedPrecisionCompound(
        device=plain(dw_min=STEP), transfer_every=2, n_rows_per_transfer=rows, n_x_bins=bins, n_d_bins=bins,
        stoc_round_x=False, stoc_round_d=False,
    )  # fmt: skip
    cell = train(make(own, OUT, IN, COUNTS, backend=backend, start=0.1), x, d, rate, batch)

    def rounded(values: np.ndarray) -> np.ndarray:
        step = np.abs(values).max() / (bins // 2) if bins else 0.0
        return np.rint(values / step) * step if bins else values

    chi, w, row = np.zeros((OUT, IN)), np.full((OUT, IN), 0.1), 0
    for u in range(60):
        chi += rate * np.outer(rounded(d[u]), rounded(x[u]))
        if (u + 1) % (2 * batch) == 0:
            for _ in range(OUT if rows < 0 else rows):
                steps = np.trunc(chi[row] / STEP)
                chi[row] -= STEP * steps
                w[row] -= STEP * steps
                row = (row + 1) % OUT
    np.testing.assert_allclose(cell.chi_TOI[0], chi, atol=1e-5)
    np.testing.assert_allclose(cell.weights[0], w, atol=1e-5)
    assert np.abs(w - 0.1).max() > 5 * STEP


def test_stochastic_rounding_of_x_and_d_is_unbiased() -> None:
    vectors = 4000
    x = np.tile(np.array([1.0, 0.3, -0.55], np.float32), (vectors, 1))
    d = np.tile(np.array([1.0, -0.2], np.float32), (vectors, 1))
    own = MixedPrecisionCompound(device=plain(), transfer_every=0, n_x_bins=4, n_d_bins=4)
    cell = train(make(own, 2, 3), x, d, 1.0, vectors)
    # a product of two values rounded to steps of 1/2: its standard deviation is below 1/2
    np.testing.assert_allclose(
        cell.chi_TOI[0] / vectors, np.outer(d[0], x[0]), atol=4 * 0.5 / np.sqrt(vectors)
    )


def test_mixed_precision_drives_cells_too() -> None:
    x, d = gradients(60, OUT, IN)
    pair = VectorUnitCell(unit_cell_devices=[plain(dw_min=STEP)] * 2, gamma_vec=[0.5, 0.5])
    cells = [
        train(make(MixedPrecisionCompound(device=device), OUT, IN, COUNTS), x, d, 0.2, 6)
        for device in (plain(dw_min=STEP), pair)
    ]
    np.testing.assert_allclose(cells[0].weights, cells[1].weights, atol=1e-6)


def test_the_periphery_of_a_transfer_is_used() -> None:
    # one read of a column of 0.5: offset by the ADC's rounding to steps of 2 * 2 / 10 = 0.4
    from crossgrid.kernels.cells import TransferCompound

    io = IOParameters(out_noise=0.0, out_bound=2.0, out_res=0.1, inp_res=0.0)
    for columns in (True, False):
        own = TransferCompound(
            unit_cell_devices=[plain(), plain()], transfer_forward=io, transfer_update=EXACT, fast_lr=-1.0,
            scale_transfer_lr=False, transfer_columns=columns,
        )  # fmt: skip
        cell = make(own, OUT, IN)
        cell.members[0].set_weights(np.full((1, OUT, IN), 0.5, np.float32))
        train(cell, np.zeros((1, IN), np.float32), np.zeros((1, OUT), np.float32), 0.1, 1)
        read = cell.weights[0][:, 0] if columns else cell.weights[0][0]
        np.testing.assert_allclose(read, 0.4, rtol=1e-5)


def test_helpers_name_real_fields() -> None:
    assert set(SPREADS) <= {*plain().__dataclass_fields__}
    assert keys(2).shape == (2, 2)
