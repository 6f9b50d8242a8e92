"""Populations, and what happens to weights outside of pulses, against their formulas."""

from __future__ import annotations

import dataclasses
import math
import re

import numba
import numpy as np
import pytest

from crossgrid.kernels import devices
from crossgrid.kernels.arrays.array import DeviceArray
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.backends import CPU, NAIVE
from crossgrid.kernels.devices import ConstantStepDevice, DriftParameter
from crossgrid.kernels.devices.neurosim import curvature
from crossgrid.kernels.devices.pow_step import PARAMETERS, balance, symmetry_point
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters
from crossgrid.kernels.rng import tile_key
from crossgrid.kernels.rng.cpu import compiled

KEYS = np.stack([tile_key(9, 0), tile_key(9, 1)])
OUT, IN = 90, 110
N = 2 * OUT * IN
PRESETS = [name for name in devices.__all__ if name.endswith("PresetDevice")]


def _array(device, backend=CPU, keys=KEYS):
    return DeviceArray(device, keys, OUT, IN, backend)


def _moments(values, mean, std):
    """Mean and standard deviation within 4.5 standard errors of a normal sample's."""
    assert abs(values.mean() - mean) < 4.5 * std / math.sqrt(values.size)
    assert abs(values.std() - std) < 4.5 * std / math.sqrt(2 * values.size)


def test_spreads_are_those_of_the_parameters():
    device = ConstantStepDevice(
        dw_min_dtod=0.1, w_max_dtod=0.2, w_min_dtod=0.1, up_down=0.2, up_down_dtod=0.05
    )
    drawn = _array(device).hidden_parameters()
    _moments(drawn["max_bound"], 0.6, 0.12)
    _moments(drawn["min_bound"], -0.6, 0.06)
    spread = 1e-3 * math.hypot(0.1, 0.05)
    _moments(drawn["dwmin_up"], 1e-3, spread)
    _moments(drawn["dwmin_down"], 0.8e-3, spread)  # an asymmetry shrinks one side
    correlation = np.corrcoef(drawn["dwmin_up"].ravel(), drawn["dwmin_down"].ravel())[0, 1]
    wanted = (0.1**2 - 0.05**2) / (0.1**2 + 0.05**2)
    assert abs(correlation - wanted) < 4.5 * (1 - wanted**2) / math.sqrt(N)


def test_log_normal_steps():
    device = ConstantStepDevice(dw_min_dtod=0.5, dw_min_dtod_log_normal=True, up_down_dtod=0.0)
    logs = np.log(_array(device).hidden_parameters()["dwmin_up"] / 1e-3)
    _moments(logs, 0.0, 0.5)
    # a normal's third and fourth moments, within 4.5 standard errors (sqrt(6 / n), sqrt(24 / n))
    standard = (logs - logs.mean()) / logs.std()
    assert abs((standard**3).mean()) < 4.5 * math.sqrt(6 / logs.size)
    assert abs((standard**4).mean() - 3.0) < 4.5 * math.sqrt(24 / logs.size)


def test_corrupt_devices_are_stuck_where_they_should_be():
    device = ConstantStepDevice(corrupt_devices_prob=0.2, corrupt_devices_range=0.05)
    array = _array(device)
    drawn = array.hidden_parameters()
    stuck = drawn["dwmin_up"] == 0.0
    assert abs(stuck.mean() - 0.2) < 4.5 * math.sqrt(0.2 * 0.8 / N)
    assert np.array_equal(drawn["min_bound"][stuck], drawn["max_bound"][stuck])
    assert np.abs(array.kept_TOI[stuck]).max() <= 0.05
    array.set_weights(np.full(array.shape, 0.3, np.float32))
    assert np.array_equal(array.kept_TOI[stuck], drawn["min_bound"][stuck])


def test_perfect_bias_frees_the_last_column():
    drawn = _array(ConstantStepDevice(perfect_bias=True, corrupt_devices_prob=1.0)).hidden_parameters()
    assert (drawn["max_bound"][..., -1] == np.float32(60.0)).all()
    assert (drawn["dwmin_up"][..., -1] == np.float32(0.001)).all()


@pytest.mark.parametrize(
    "device", [ConstantStepDevice(), devices.SoftBoundsReferenceDevice(slope_up_dtod=0.1)]
)
def test_populations_depend_on_the_tile_and_not_on_the_backend(device):
    compiled, naive = _array(device).p_TOIP, _array(device, NAIVE).p_TOIP
    assert np.array_equal(compiled, naive)
    assert np.array_equal(compiled[1:], _array(device, keys=KEYS[1:]).p_TOIP)
    assert not np.array_equal(compiled[0], compiled[1])


def test_a_construction_seed_makes_the_same_devices_everywhere():
    array = _array(ConstantStepDevice(construction_seed=5))
    assert np.array_equal(array.p_TOIP[0], array.p_TOIP[1])
    assert not np.array_equal(array.p_TOIP, _array(ConstantStepDevice(construction_seed=6)).p_TOIP)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_trained(name):
    device = getattr(devices, name)()
    cell = build_cell(device, UpdateParameters(), KEYS, 9, 8)
    rng = np.random.default_rng(0)
    index = np.arange(2)
    for number in range(3):
        x, d = rng.standard_normal((2, 4, 8)), 0.1 * rng.standard_normal((2, 4, 9))
        counts = cell.update(x, index, d, index, 0.05, 4 * number)
    assert counts.pulses.sum() > 0
    assert np.isfinite(cell.weights).all()
    assert device.num_states == pytest.approx((device.w_max - device.w_min) / device.granularity)


def test_power_step_symmetry_points_balance_both_steps():
    device = devices.PowStepReferenceDevice(pow_gamma=1.4, up_down=0.2, subtract_symmetry_point=True)
    rng = np.random.default_rng(0)
    values = [-0.6, 0.7, 0.001, 0.0008, 1.3, 1.5, 1.0 / 1.3]
    drawn = {n: np.full(50, v, np.float32) for n, v in zip(PARAMETERS, values, strict=True)}
    drawn["dwmin_up"] = rng.uniform(0.01, 0.02, 50).astype(np.float32)
    solved, stepped = symmetry_point(drawn, 0), symmetry_point(drawn, 3000)
    assert np.abs(solved - stepped).max() < 1e-4
    assert _array(device).hidden_parameters()["reset_bias"].std() > 0  # the symmetry point enters it


def _balances(rng, size):
    """Devices far apart, float32, and t of their balance v = low + (high - low) / (1 + e^-t), float64."""
    low, high = -rng.uniform(0.1, 2.0, size), rng.uniform(0.1, 2.0, size)
    up, down = np.exp(rng.normal(-7.0, 1.5, (2, size)))
    drawn = [
        each.astype(np.float32) for each in (low, high, up, down, *np.exp(rng.normal(0, 1.2, (2, size))))
    ]
    up, down, gamma_up, gamma_down = (each.astype(np.float64) for each in drawn[2:])
    from_t, to_t = np.full(size, -40.0), np.full(size, 40.0)
    for _ in range(60):
        t = 0.5 * (from_t + to_t)
        q = np.logaddexp(0.0, -t)
        rises = np.log(up / down) - gamma_up * (t + q) + gamma_down * q > 0.0
        from_t, to_t = np.where(rises, t, from_t), np.where(rises, to_t, t)
    return drawn, 0.5 * (from_t + to_t)


def test_power_step_symmetry_points_are_solved_for_to_float32():
    """Against bisection in float64, within what float32's roundings make of the equation.

    In roundings of 2^-24: 1 + 2 L of L = ln(up / down), 3 of each of the other two terms; divided by the
    slope that is an error of t, times x (1 - x) one of x = 1 / (1 + e^-t), which has 3 of its own; then 1 of
    the product with high - low, and 1 of the sum.
    """
    drawn, t = _balances(np.random.default_rng(0), 20_000)
    low, high, up, down, gamma_up, gamma_down = (each.astype(np.float64) for each in drawn)
    x, q = 1.0 / (1.0 + np.exp(-t)), np.logaddexp(0.0, -t)
    terms = 1.0 + 2.0 * np.abs(np.log(up / down))
    terms += 3.0 * (gamma_up * np.abs(t) + np.abs(gamma_down - gamma_up) * q)
    slope = gamma_down + (gamma_up - gamma_down) * x
    roundings = (high - low) * (x * (1.0 - x) * terms / slope + 4.0 * x) + np.maximum(-low, high)
    solved = balance(*drawn)
    assert solved.dtype == np.float32
    assert (np.abs(solved - (low + x * (high - low))) <= roundings * 2.0**-24).all()


def test_neurosim_curvatures_solve_their_equation_to_float32():
    """d(a) = 0.099 NL by bisection in float64.

    In roundings of 2^-24: 5 of the fit and 8 of its evaluation; and 2 of d, which count 10.4 times at NL = 9.
    """
    label = np.linspace(0.01, 9.0, 5_001).astype(np.float32)
    low, high = np.full(label.shape, 0.02), np.full(label.shape, 200.0)
    for _ in range(60):
        a = np.sqrt(low * high)
        span = -np.expm1(-1.0 / a)
        furthest = -a * np.log(a * span)  # the pulse where the response is furthest from a line
        too_flat = -np.expm1(-furthest / a) / span - furthest < 0.099 * label.astype(np.float64)
        low, high = np.where(too_flat, low, a), np.where(too_flat, a, high)
    found = curvature(label)
    assert found.dtype == np.float32
    assert np.abs(found / np.sqrt(low * high) - 1.0).max() <= (5 + 8 + 2 * 10.4) * 2.0**-24
    assert np.array_equal(curvature(-label), -found)


def test_formulas_of_draws_have_the_same_bits_compiled():
    drawn, _ = _balances(np.random.default_rng(1), 2_000)
    label = np.linspace(-9.5, 9.5, 2_000).astype(np.float32)
    found = np.empty((2, 2_000), np.float32)
    _evaluate(tuple(drawn), label, found)
    assert np.array_equal(found, [balance(*drawn), curvature(label)])


_balance, _curvature = compiled(balance), compiled(curvature)


@numba.njit
def _evaluate(drawn, label, found):
    low, high, up, down, gamma_up, gamma_down = drawn
    for n in range(len(label)):
        found[0, n] = _balance(low[n], high[n], up[n], down[n], gamma_up[n], gamma_down[n])
        found[1, n] = _curvature(label[n])


def test_decay_diffusion_and_reset_follow_their_formulas():
    quiet = {"w_max": 10.0, "w_min": -10.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
    decaying = _array(ConstantStepDevice(lifetime=5.0, reset=0.1, **quiet))
    decaying.set_weights(np.full(decaying.shape, 0.6, np.float32))
    decaying.end_of_batch(3)
    assert decaying.kept_TOI == pytest.approx(0.5 * (1 - 1 / 5) + 0.1, abs=1e-6)
    moving = _array(ConstantStepDevice(diffusion=0.02, **quiet))
    moving.end_of_batch(3)
    _moments(moving.kept_TOI, 0.0, 0.02)
    first = moving.kept_TOI.copy()
    moving.end_of_batch(4)
    assert abs(np.corrcoef(first.ravel(), (moving.kept_TOI - first).ravel())[0, 1]) < 4.5 / math.sqrt(N)
    resetting = _array(ConstantStepDevice(reset=0.2, reset_std=0.03, **quiet))
    resetting.set_weights(np.full(resetting.shape, -1.0, np.float32))
    resetting.reset(7, slice(10, 20), 0.4)
    touched = resetting.kept_TOI != -1.0
    assert not touched[:, :, :10].any()
    assert not touched[:, :, 20:].any()
    part = touched[:, :, 10:20]
    assert abs(part.mean() - 0.4) < 4.5 * math.sqrt(0.24 / part.size)
    _moments(resetting.kept_TOI[touched], 0.2, 0.03)


def test_write_noise_surrounds_what_is_kept():
    array = _array(devices.SoftBoundsDevice(dw_min=0.01, write_noise_std=2.0))
    array.set_weights(np.full(array.shape, 0.1, np.float32))
    _moments((array.seen_TOI - array.kept_TOI).astype(np.float64), 0.0, 0.02)
    device = devices.SoftBoundsDevice(write_noise_std=2.0, apply_write_noise_on_set=False)
    silent = _array(device)
    silent.set_weights(np.full(array.shape, 0.1, np.float32))
    assert np.array_equal(silent.seen_TOI, silent.kept_TOI)


def test_drift_follows_the_power_law_since_the_last_change():
    device = ConstantStepDevice(drift=DriftParameter(nu=0.1, t_0=2.0))
    array = _array(device)
    array.set_weights(np.full(array.shape, 0.05, np.float32))
    start = array.kept_TOI.copy()
    array.drift(5.0, 0)  # notices the change, and begins to count
    assert np.array_equal(array.kept_TOI, start)
    array.drift(6.0, 1)
    assert array.kept_TOI == pytest.approx(start * (6.0 / 2.0) ** -0.1, rel=1e-5)
    array.drift(4.0, 2)
    assert array.kept_TOI == pytest.approx(start * (10.0 / 2.0) ** -0.1, rel=1e-5)


def test_state_restores_everything_that_changes():
    device = devices.SoftBoundsDevice(write_noise_std=1.0, drift=DriftParameter(nu=0.1))
    one, other = (build_cell(device, UpdateParameters(), KEYS, 9, 8) for _ in range(2))
    rng = np.random.default_rng(0)
    x, d, index = rng.standard_normal((2, 4, 8)), 0.1 * rng.standard_normal((2, 4, 9)), np.arange(2)
    one.update(x, index, d, index, 0.05, 0)
    one.drift(3.0, 4)
    other.load_state({name: np.copy(value) for name, value in one.state().items()})
    for cell in (one, other):
        cell.update(x, index, d, index, 0.05, 5)
        cell.drift(3.0, 9)
        cell.set_weights(np.asarray(cell.weights) * 0.5)
    assert np.array_equal(one.weights, other.weights)


def test_a_constant_step_tile_takes_at_most_28_bytes_a_crosspoint_in_training():
    """Traced by the allocator's peak from construction through an update of 512 x 512, batch 64."""
    import tracemalloc

    def train() -> None:
        cell = build_cell(ConstantStepDevice(), UpdateParameters(), KEYS[:1], 512, 512)
        x, d, index = np.ones((1, 64, 512), np.float32), np.full((1, 64, 512), 0.01, np.float32), [0]
        cell.update(x, index, d, index, 0.01, 0)

    train()  # compiled code is not a tile's
    tracemalloc.start()
    train()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 512**2 <= 28.0


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_fields_and_names_its_source(name: str) -> None:
    preset = getattr(devices, name)
    assert preset() == preset()
    changed = preset(dw_min=0.25, construction_seed=3)
    assert (changed.dw_min, changed.construction_seed) == (0.25, 3)
    assert dataclasses.replace(changed, dw_min=preset().dw_min, construction_seed=0) == preset()
    assert re.search(
        r'Source: \w.*"[^"]+",.*(19|20)\d\d', " ".join(preset.__doc__.split("Fields:")[0].split())
    )
    with pytest.raises(ConfigError, match=f"unknown field of {name} 'dw_mn': did you mean 'dw_min'?"):
        preset(dw_mn=0.1)
