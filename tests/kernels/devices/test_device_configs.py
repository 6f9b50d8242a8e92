"""Configurations of devices and updates: what is refused, and with which words."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels import devices
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.devices.neurosim import curvature
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng import tile_key

KEYS = tile_key(1, 0)[None]
INDEX = np.zeros(1, np.int64)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UpdateParameters(desired_bl=993), "UpdateParameters.desired_bl = 993 must be at most 992"),
        (lambda: UpdateParameters(desired_bl=0), "UpdateParameters.desired_bl"),
        (lambda: devices.ConstantStepDevice(dw_min=-0.1), "ConstantStepDevice.dw_min = -0.1 must be above 0"),
        (
            lambda: devices.SoftBoundsDevice(w_min=0.5, w_max=0.1),
            "SoftBoundsDevice.w_min = 0.5 is above w_max",
        ),
        (lambda: devices.ExpStepDevice(w_min=0.1), "ExpStepDevice.w_min"),
        (lambda: devices.ExpStepDevice(w_max=-0.1, w_min=-0.2), "ExpStepDevice.w_max"),
        (lambda: devices.PowStepDevice(corrupt_devices_prob=1.5), "PowStepDevice.corrupt_devices_prob"),
        (lambda: devices.PiecewiseStepDevice(piecewise_up=[1.0, 2.0]), "piecewise_down has 1 nodes"),
        (lambda: devices.PiecewiseStepDevice(piecewise_up=[], piecewise_down=[]), "piecewise_up is empty"),
        (
            lambda: devices.SoftBoundsPmaxDevice(range_min=1.0, range_max=0.0),
            "SoftBoundsPmaxDevice.range_min",
        ),
        (lambda: devices.SoftBoundsPmaxDevice(w_max=2.0), "w_max = 2 cannot be set: it follows from p_max"),
        (lambda: setattr(devices.SoftBoundsPmaxDevice(), "dw_min", 0.5), "dw_min = 0.5 cannot be set"),
        (lambda: devices.NeuroSimDevice(dw_min=0.2), "NeuroSimDevice.dw_min = 0.2 must stay 0.001"),
        (lambda: devices.LinearStepDevice(mult_noise=False, reverse_up=True), "LinearStepDevice.reverse_up"),
        (lambda: devices.ConstantStepDevice(dw_mim=0.1), "did you mean 'dw_min'"),
        (lambda: backend_of("cdua"), "unknown backend 'cdua': did you mean 'cuda'"),
        (lambda: build_cell(devices.ConstantStepDevice(), UpdateParameters(), KEYS, 0, 2), "at least one"),
        (lambda: build_cell("constant", UpdateParameters(), KEYS, 2, 2), "no device configuration"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_field_that_is_set_later_is_checked_too():
    device = devices.ConstantStepDevice()
    with pytest.raises(ConfigError, match="w_min"):
        device.w_min = 0.7
    assert device.w_min == -0.6


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize(
    ("x", "d", "words"),
    [
        (np.ones((1, 2, 3)), np.ones((1, 1, 2)), "x has 2 vectors and d 1"),
        (np.ones((1, 1, 4)), np.ones((1, 1, 2)), r"x has shape \(1, 1, 4\)"),
        (np.ones((1, 1, 3)), np.ones((1, 2)), r"d has shape \(1, 2\)"),
        (np.full((1, 1, 3), np.nan), np.ones((1, 1, 2)), "x of an update has NaN"),
        (np.ones((1, 1, 3)), np.full((1, 1, 2), np.inf), "d of an update has NaN or infinite"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(x, d, words, backend):
    cell = build_cell(devices.ConstantStepDevice(), UpdateParameters(), KEYS, 2, 3, backend_of(backend))
    before = cell.weights.copy()
    with pytest.raises(InputError, match=words):
        cell.update(x, INDEX, d, INDEX, 0.1, 0)
    assert np.array_equal(cell.weights, before)


@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_trains_that_would_be_too_long_are_refused(backend):
    parameters = UpdateParameters(fixed_bl=False, update_management=False, update_bl_management=False)
    cell = build_cell(devices.ConstantStepDevice(), parameters, KEYS, 2, 3, backend_of(backend))
    with pytest.raises(ConfigError, match="asks for trains of more than 31 pulses"):
        cell.update(np.ones((1, 1, 3)), INDEX, np.ones((1, 1, 2)), INDEX, 1.0, 0)


def test_pmax_devices_reach_their_range_with_p_max_pulses():
    device = devices.SoftBoundsPmaxDevice(p_max=200, alpha=0.01, range_min=-0.8, range_max=0.9)
    w = device.range_min
    for _ in range(device.p_max):  # dw = alpha (w_max - w): the soft bound, written out
        w += device.alpha * (device.w_max - w)
    assert w == pytest.approx(device.range_max, abs=0.01)


def test_neurosim_labels_have_their_published_curvatures():
    """The ends of the table in NeuroSim's code: a(0.01) = 126.27, a(9) = 0.0228."""
    assert curvature(0.01) == pytest.approx(126.27, rel=1e-3)
    assert curvature(9.0) == pytest.approx(0.0228, rel=1e-2)
    assert curvature(-1.46) == -curvature(1.46)


def test_neurosim_pulses_walk_along_the_response():
    """w(P) = B (1 - e^(-P / A)) - 1 for P = 1, 2, ... pulses up from -1."""
    device = devices.NeuroSimDevice(c2c_vari=0.0)
    cell = build_cell(device, UpdateParameters(pulse_type="MeanCount", desired_bl=1), KEYS, 1, 1)
    cell.set_weights(np.full((1, 1, 1), -1.0))
    a = float(curvature(1.75))
    b = 2.0 / (1.0 - np.exp(-1.0 / a))
    one = np.ones((1, 1, 1))
    for pulses in range(1, 33):
        cell.update(one, INDEX, -one, INDEX, device.granularity, pulses)
        wanted = b * (1.0 - np.exp(-pulses / (a * 32))) - 1.0
        assert cell.weights[0, 0, 0] == pytest.approx(wanted, abs=1e-5)
