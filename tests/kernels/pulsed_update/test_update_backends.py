"""The compiled update gives what the readable one gives, on any cut of the work."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from update_cases import DEVICES, PULSED, keys, trained, vectors

from crossgrid.kernels.arrays.array import DeviceArray
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import CPU, backend_of
from crossgrid.kernels.pulsed_update.arguments import Side, Vectors
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters

CARRY = (1 << 32) - 5  # a first tick whose lower word overflows within the test


@pytest.mark.parametrize("name", DEVICES)
def test_numpy_and_numba_agree_for_every_device(name):
    arguments = {"parameters": UpdateParameters(), "out_size": 7, "in_size": 11, "first_tick": CARRY}
    naive, naive_pulses, _ = trained(DEVICES[name], "naive", **arguments)
    compiled, pulses, _ = trained(DEVICES[name], "cpu", **arguments)
    assert np.array_equal(naive_pulses, pulses)
    assert np.abs(naive - compiled).max() <= 1e-6


def test_numpy_and_numba_agree_after_a_hundred_updates():
    arguments = {"parameters": UpdateParameters(), "out_size": 5, "in_size": 9, "batches": 100, "batch": 1}
    naive, _, _ = trained(DEVICES["exp"], "naive", **arguments)
    compiled, _, _ = trained(DEVICES["exp"], "cpu", **arguments)
    assert np.abs(naive - compiled).max() <= 1e-6


@pytest.mark.parametrize("kind", PULSED, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"update_bl_management": False},
        {"update_bl_management": False, "update_management": False, "desired_bl": 7},
        {"update_bl_management": False, "update_management": False, "fixed_bl": False},
        {"res": 0.05, "sto_round": True, "x_res_implicit": 0.1, "d_res_implicit": 0.1},
        {"res": 0.05, "x_res_implicit": 0.1, "um_grad_scale": 0.5},
        {"desired_bl": 100, "update_bl_management": False},
        {"desired_bl": 100, "res": 0.05, "sto_round": True, "x_res_implicit": 0.1, "d_res_implicit": 0.1},
    ],
    ids=["ublm", "um", "fixed", "free", "rounded-stochastically", "rounded", "long", "long-rounded"],
)
def test_numpy_and_numba_agree_for_every_pulse_type_and_setting(kind, settings):
    parameters = UpdateParameters(pulse_type=kind, **settings)
    arguments = {"parameters": parameters, "out_size": 6, "in_size": 5, "batches": 2}
    naive, naive_pulses, _ = trained(DEVICES["constant"], "naive", **arguments)
    compiled, pulses, _ = trained(DEVICES["constant"], "cpu", **arguments)
    assert pulses.sum() > 0
    assert np.array_equal(naive_pulses, pulses)
    assert np.array_equal(naive, compiled)


@pytest.mark.parametrize("kind", PULSED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("desired_bl", [1, 31])
@pytest.mark.parametrize("shape", [(5, 19), (19, 5)], ids=["fewer rows", "fewer columns"])
@pytest.mark.parametrize("silent", ["x", "d"])
def test_numpy_and_numba_agree_where_one_side_is_mostly_silent(kind, desired_bl, shape, silent):
    """Of a vector without a line that fires on one side the compiled update draws no trains of the other."""
    (out_size, in_size), batch, index = shape, 60, np.zeros(1, np.int64)
    x, d = vectors(7, 1, batch, out_size, in_size)
    faint = np.random.default_rng(8).random(batch) < 0.7
    side = x if silent == "x" else d
    side[:, faint, 1:] = 0.0  # one line is left, which seldom fires where the other lines set no scale
    side[:, faint, 0] *= 1e-3
    side[:, ::7] = 0.0
    parameters = UpdateParameters(pulse_type=kind, desired_bl=desired_bl, update_bl_management=False)
    found = []
    for backend in ("naive", "cpu"):
        cell = build_cell(DEVICES["constant"], parameters, keys(1), *shape, backend_of(backend))
        found.append((cell.update(x, index, d, index, 0.01, CARRY).pulses, np.asarray(cell.weights)))
    assert found[0][0].sum() > 0
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", ["constant", "linear", "exp"])
@pytest.mark.parametrize("shape", [(63, 100), (1, 1000), (130, 3)])
def test_a_batch_equals_batches_of_one(name, shape):
    out_size, in_size = shape
    x, d = vectors(1, 2, 9, out_size, in_size)
    index, results = np.arange(2), []
    for size in (9, 1):
        cell = build_cell(DEVICES[name], UpdateParameters(), keys(2), out_size, in_size)
        for start in range(0, 9, size):
            part = slice(start, start + size)
            cell.update(x[:, part], index, d[:, part], index, 0.02, CARRY + start)
        results.append(np.array(cell.weights))
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("name", ["exp", "exp_additive", "pow", "constant"])
@pytest.mark.parametrize("side", Side)
def test_a_batch_equals_batches_of_one_where_each_vector_reaches_few_columns(name, side):
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((1, 2500, 25)) * (rng.random((1, 2500, 25)) < 0.15)).astype(np.float32)
    d = (0.01 * rng.standard_normal((1, 2500, 16))).astype(np.float32)
    index, results = np.zeros(1, np.int64), []
    for size in (2500, 1):
        array, pulses = DeviceArray(DEVICES[name], keys(1), 16, 25, CPU), 0
        for start in range(0, 2500, size):
            part = slice(start, start + size)
            batch = Vectors(x[:, part], index, d[:, part], index)
            pulses += int(array.pulse(batch, UpdateParameters(), 0.01, CARRY + start, side=side)[0])
        results.append((pulses, array.kept_TOI, array.seen_TOI))
    assert results[0][0] == results[1][0] > 2048  # several a crosspoint, and more than are drawn at a time
    assert np.array_equal(results[0][1], results[1][1])
    assert np.array_equal(results[0][2], results[1][2])


def test_neither_threads_nor_stacking_change_a_bit():
    arguments = {"parameters": UpdateParameters(), "out_size": 70, "in_size": 90}
    together, pulses, _ = trained(DEVICES["constant"], "cpu", tiles=3, **arguments)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone, one_pulses, _ = trained(DEVICES["constant"], "cpu", tiles=3, **arguments)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(together, alone)
    assert np.array_equal(pulses, one_pulses)
    cell = build_cell(DEVICES["constant"], UpdateParameters(), keys(3)[1:2], 70, 90)
    for number in range(3):
        x, d = vectors(number, 3, 4, 70, 90)
        cell.update(x, np.array([1]), d, np.array([1]), 0.02, 4 * number)
    assert np.array_equal(together[1], cell.weights[0])


@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_the_two_sides_of_a_pair_share_the_pulses(backend):
    x, d = vectors(3, 1, 5, 8, 9)
    batch = Vectors(x, np.zeros(1, np.int64), d, np.zeros(1, np.int64))
    pulses = {}
    for side in Side:
        array = DeviceArray(DEVICES["constant"], keys(1), 8, 9, backend_of(backend))
        pulses[side] = int(array.pulse(batch, UpdateParameters(), 0.02, 0, side=side)[0])
        if side != Side.BOTH:
            assert array.kept_TOI.min() >= -0.002  # steps only up, save for what noise of one step can do
    assert pulses[Side.UP] > 0
    assert pulses[Side.BOTH] == pulses[Side.UP] + pulses[Side.DOWN_AS_UP]


@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_inactive_vectors_leave_a_tile_alone(backend):
    x, d = vectors(3, 1, 4, 6, 5)
    batch = Vectors(x, np.zeros(1, np.int64), d, np.zeros(1, np.int64))
    array = DeviceArray(DEVICES["soft_bounds"], keys(1), 6, 5, backend_of(backend))
    active = np.array([[0, 1, 0, 1]], np.uint8)
    array.pulse(batch, UpdateParameters(), 0.02, 10, active_TB=active)
    one_by_one = DeviceArray(DEVICES["soft_bounds"], keys(1), 6, 5, backend_of(backend))
    for b in (1, 3):
        alone = Vectors(x[:, b : b + 1], batch.x_of_T, d[:, b : b + 1], batch.d_of_T)
        one_by_one.pulse(alone, UpdateParameters(), 0.02, 10 + b)
    assert np.array_equal(array.kept_TOI, one_by_one.kept_TOI)


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize("kind", [PulseType.NONE, PulseType.NONE_WITH_DEVICE])
def test_exact_updates_are_outer_products(kind, backend):
    x, d = vectors(5, 1, 6, 4, 7, scale=0.02)
    cell = build_cell(
        DEVICES["constant"], UpdateParameters(pulse_type=kind), keys(1), 4, 7, backend_of(backend)
    )
    cell.update(x, np.zeros(1, np.int64), d, np.zeros(1, np.int64), 0.5, 0)
    wanted = np.zeros((4, 7))
    low, high = (cell.hidden_parameters()[name][0] for name in ("min_bound", "max_bound"))
    for x_I, d_O in zip(x[0].astype(np.float64), d[0].astype(np.float64), strict=True):
        wanted -= 0.5 * np.outer(d_O, x_I)
        if kind is PulseType.NONE_WITH_DEVICE:
            wanted = np.clip(wanted, low, high)
    assert np.abs(cell.weights[0] - wanted).max() < 1e-6
