"""Pulse trains and steps against the formulas of Gokmen and Vlasov (2016)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from update_cases import keys

from crossgrid.kernels.arrays.array import DeviceArray
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import CPU
from crossgrid.kernels.devices import ConstantStepDevice, SoftBoundsDevice
from crossgrid.kernels.pulsed_update.arguments import Vectors
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

EXACT_DEVICE = {"dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
WIDE = {"w_max": 1000.0, "w_min": -1000.0}  # bounds that nothing reaches
BL = 10
UNMANAGED = {"desired_bl": BL, "update_management": False, "update_bl_management": False}
REPEATS = 20_000
X = np.array([0.9, 0.5, -0.3], np.float32)
D = np.array([0.8, -0.4], np.float32)
RATE = 0.004  # with steps of 0.001 and BL 10: A = B = sqrt(0.4)


def _counts(kind: PulseType) -> np.ndarray:
    """Signed pulse counts [repeats, out, in] of one vector, each repeat at its own tick."""
    device = ConstantStepDevice(dw_min=0.001, dw_min_std=0.0, **EXACT_DEVICE, **WIDE)
    parameters = UpdateParameters(pulse_type=kind, **UNMANAGED)
    tiles = 100
    array = DeviceArray(device, keys(tiles), D.size, X.size, CPU)
    index = np.zeros(tiles, np.int64)
    changes = []
    for repeat in range(REPEATS // tiles):
        before = array.kept_TOI.copy()
        array.pulse(Vectors(X[None, None], index, D[None, None], index), parameters, RATE, repeat)
        changes.append((array.kept_TOI - before) / 0.001)
    return np.rint(np.concatenate(changes))


@pytest.mark.parametrize("kind", [PulseType.STOCHASTIC_COMPRESSED, PulseType.STOCHASTIC])
def test_counts_are_binomial_and_correlated_along_the_lines(kind):
    scale = math.sqrt(RATE / (0.001 * BL))
    p, q = scale * np.abs(X), scale * np.abs(D)
    counts = _counts(kind)
    wanted_sign = -np.sign(np.outer(D, X))
    assert (counts * wanted_sign >= 0).all()
    counts = np.abs(counts)
    both = np.outer(q, p)
    mean, variance = BL * both, BL * both * (1.0 - both)
    # four and a half standard errors of a mean, and of a variance (kurtosis close to that of a normal)
    assert (np.abs(counts.mean(axis=0) - mean) < 4.5 * np.sqrt(variance / REPEATS)).all()
    error = variance * math.sqrt(2.5 / REPEATS)
    assert (np.abs(counts.var(axis=0) - variance) < 4.5 * error).all()
    for k in range(D.size):
        expected = np.array([math.comb(BL, n) for n in range(BL + 1)], float)
        n = np.arange(BL + 1)
        expected *= both[k, 0] ** n * (1 - both[k, 0]) ** (BL - n) * REPEATS
        seen = np.bincount(counts[:, k, 0].astype(int), minlength=BL + 1)
        large = expected > 5
        chi_square = ((seen - expected)[large] ** 2 / expected[large]).sum()
        degrees = large.sum() - 1
        assert chi_square < degrees + 4.5 * math.sqrt(2 * degrees)
    centred = counts - counts.mean(axis=0)
    spread = math.sqrt(variance[0, 0] * variance[0, 1] * 1.2 / REPEATS)
    along_row = (centred[:, 0, 0] * centred[:, 0, 1]).mean()
    assert abs(along_row - BL * q[0] * (1 - q[0]) * p[0] * p[1]) < 4.5 * spread
    along_column = (centred[:, 0, 0] * centred[:, 1, 0]).mean()
    assert abs(along_column - BL * p[0] * (1 - p[0]) * q[0] * q[1]) < 4.5 * spread
    unrelated = (centred[:, 0, 0] * centred[:, 1, 1]).mean()
    assert abs(unrelated) < 4.5 * math.sqrt(variance[0, 0] * variance[1, 1] / REPEATS)


def test_deterministic_modes_count_what_the_formulas_say():
    scale = math.sqrt(RATE / (0.001 * BL))
    p, q = scale * np.abs(X.astype(np.float64)), scale * np.abs(D.astype(np.float64))
    mean_count = np.rint(np.outer(np.rint(BL * q), np.rint(BL * p)) / BL)
    assert (np.abs(_counts(PulseType.MEAN_COUNT)) == mean_count).all()
    assert (np.abs(_counts(PulseType.DETERMINISTIC_IMPLICIT)) == np.rint(BL * np.outer(q, p))).all()


@pytest.mark.parametrize("grad_scale", [1.0, 2.0])
def test_the_mean_change_is_the_gradient(grad_scale):
    """E[dw] = -rate d x, whatever the management makes of trains that do not saturate."""
    tiles, sigma = 4000, 0.3
    device = ConstantStepDevice(dw_min_std=sigma, **EXACT_DEVICE, **WIDE)
    parameters = UpdateParameters(um_grad_scale=grad_scale)
    x, d = np.array([[[1.0, -0.4, 0.05]]], np.float32), np.array([[[0.01, -0.003]]], np.float32)
    cell = build_cell(device, parameters, keys(tiles), 2, 3)
    index = np.zeros(tiles, np.int64)
    cell.update(x, index, d, index, 0.5, 0)
    wanted = -0.5 * np.outer(d[0, 0], x[0, 0])
    # variance of a change: at most its mean number of pulses times the second moment of a step
    error = np.sqrt(np.abs(wanted) / 0.001 * (1 + sigma**2) / tiles) * 0.001
    assert (np.abs(cell.weights.mean(axis=0) - wanted) < 4.5 * error).all()


def test_step_noise_has_its_variance():
    """n steps of a constant-step device have mean n s and variance n (sigma s)^2."""
    tiles, sigma = 4000, 0.5
    device = ConstantStepDevice(dw_min_std=sigma, **EXACT_DEVICE, **WIDE)
    parameters = UpdateParameters(pulse_type=PulseType.MEAN_COUNT, **UNMANAGED)
    cell = build_cell(device, parameters, keys(tiles), 1, 1)
    index, one = np.zeros(tiles, np.int64), np.ones((1, 1, 1), np.float32)
    counts = cell.update(one, index, -one, index, 0.01, 0)  # A = B = 1: every slot fires
    assert (counts.pulses == BL).all()
    change = cell.weights[:, 0, 0].astype(np.float64) / 0.001
    assert abs(change.mean() - BL) < 4.5 * sigma * math.sqrt(BL / tiles)
    assert abs(change.var() - BL * sigma**2) < 4.5 * BL * sigma**2 * math.sqrt(2 / tiles)


def test_soft_bounds_settle_at_the_symmetry_point():
    """Random up and down pulses lead to (s_up - s_dn) / (s_up / b_max - s_dn / b_min)."""
    device = SoftBoundsDevice(dw_min=0.01, dw_min_std=0.0, up_down=0.3, **EXACT_DEVICE)
    cell = build_cell(device, UpdateParameters(pulse_type=PulseType.MEAN_COUNT, **UNMANAGED), keys(1), 30, 40)
    rng = np.random.default_rng(0)
    index = np.zeros(1, np.int64)
    for number in range(40):
        x = rng.choice([-1.0, 1.0], (1, 50, 40)).astype(np.float32)
        d = rng.choice([-1.0, 1.0], (1, 50, 30)).astype(np.float32)
        cell.update(x, index, d, index, 0.01, 50 * number)
    up, down = 0.01, 0.007
    point = (up - down) / (up / 0.6 - down / -0.6)
    # stationary: each of 1200 weights spreads by about sqrt(step * bound / 4) = 0.04; rows and columns are
    # correlated, so count 30 independent ones
    assert abs(cell.weights.mean() - point) < 4.5 * 0.04 / math.sqrt(30)


@pytest.mark.parametrize(
    "kind", [PulseType.STOCHASTIC_COMPRESSED, PulseType.STOCHASTIC, PulseType.MEAN_COUNT]
)
@pytest.mark.parametrize("slots", [31, 32, 100, 992])
def test_a_train_of_any_length_has_its_slots(kind, slots):
    """Where every line fires in every slot, a crosspoint gets one pulse a slot."""
    device = ConstantStepDevice(dw_min=0.001, dw_min_std=0.0, **EXACT_DEVICE, **WIDE)
    trains = {"desired_bl": slots, "update_management": False, "update_bl_management": False}
    cell = build_cell(device, UpdateParameters(pulse_type=kind, **trains), keys(1), 2, 3)
    index, x, d = np.zeros(1, np.int64), np.ones((1, 2, 3), np.float32), -np.ones((1, 2, 2), np.float32)
    done = cell.update(x, index, d, index, 0.001 * slots, 0)  # A = B = 1
    assert done.pulses.tolist() == [2 * 6 * slots]
    assert cell.weights == pytest.approx(0.002 * slots, rel=1e-4)


def test_a_long_train_makes_a_change_that_a_short_one_cuts_off():
    """x = d = 1 at rate 0.08 asks for 80 steps of 0.001: of 31 slots all fire, of 100 there are 80."""
    device = ConstantStepDevice(dw_min=0.001, dw_min_std=0.0, **EXACT_DEVICE, **WIDE)
    index, one = np.zeros(1, np.int64), np.ones((1, 1, 1), np.float32)
    pulses = {}
    for slots in (31, 100):
        cell = build_cell(device, UpdateParameters(desired_bl=slots), keys(1), 1, 1)
        pulses[slots] = int(cell.update(one, index, -one, index, 0.08, 7).pulses[0])
    assert pulses == {31: 31, 100: 80}


def test_the_parts_of_a_train_are_independent():
    """Of 124 slots, each of four parts has 31: the counts' variance is that of independent slots."""
    tiles, slots = 4000, 124
    device = ConstantStepDevice(dw_min=0.001, dw_min_std=0.0, **EXACT_DEVICE, **WIDE)
    trains = {"desired_bl": slots, "update_management": False, "update_bl_management": False}
    cell = build_cell(device, UpdateParameters(**trains), keys(tiles), 1, 1)
    index, one = np.zeros(tiles, np.int64), np.ones((1, 1, 1), np.float32)
    p = 0.25  # of a coincidence: A = B = 1/2
    counts = cell.update(one, index, -one, index, 0.001 * slots * p, 3).pulses
    mean, variance = slots * p, slots * p * (1 - p)
    assert abs(counts.mean() - mean) < 4.5 * math.sqrt(variance / tiles)
    assert abs(counts.var() - variance) < 4.5 * variance * math.sqrt(2 / tiles)
    cell.update(one, index, -one, index, 0.001 * slots * p, 4)  # the next tick: other draws
    again = np.rint(cell.weights[:, 0, 0] / 0.001) - counts
    assert abs(np.corrcoef(counts, again)[0, 1]) < 4.5 / math.sqrt(tiles)
