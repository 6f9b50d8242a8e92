"""Reads of pulses through wires: beside aihwkit's stored values, nodal analysis and steps of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import IOParameters, TimedIOParameters, periphery
from crossgrid.kernels.circuit import ladders
from crossgrid.kernels.circuit.ladder import READ_VOLTS
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference import (
    NPairConductanceConverter,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from crossgrid.kernels.rng import tile_key

TABLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "timed_ir_drop.json").read_text(encoding="utf-8")
)
QUIET: dict[str, Any] = {
    "bound_management": "NONE", "noise_management": "NONE", "out_noise": 0.0, "out_bound": -1.0,
    "out_res": -1.0, "inp_res": 254.0, "ir_drop_segments": 4,
}  # fmt: skip
PAIR = {"g_min": 0.5, "g_max": 15.0}


def read(io: IOParameters, w_OI: np.ndarray, x_BI: np.ndarray, tick: int = 0) -> np.ndarray:
    keys = tile_key(3, 0)[None]
    own = periphery(io, keys, *w_OI.shape)
    w, x = np.asarray(w_OI, np.float32)[None], np.asarray(x_BI, np.float32)[None]
    return np.array(own.read(w, x, np.zeros(1, np.int64), tick)[0][0])


@pytest.mark.parametrize("name", TABLE)
def test_the_values_of_aihwkit(name: str) -> None:
    """To rounding; where charge is counted in ticks, a charge beside a tick may be taken for the next one."""
    case = TABLE[name]
    given = dict(case["given"])
    factors = given.pop("f_lst", [1.0])
    converter: Any = SinglePairConductanceConverter(**case["pair"])
    if len(factors) > 1:
        converter = NPairConductanceConverter(f_lst=factors, **case["pair"])
    io = TimedIOParameters(**{**QUIET, **given}, ir_drop_rows=case["rows"], ir_drop_converter=converter)
    w, wanted = np.array(case["weights"], np.float32), np.array(case["y"])
    y = read(io, w, np.array(case["code"]) / io.levels)
    off = np.abs(y - wanted) > 2e-5 * max(1.0, float(np.abs(wanted).max()))
    if not io.adc_quantization or io.ir_drop == 0.0:
        assert not off.any()
        return
    tick = 100.0 / io.adc_frequency / (READ_VOLTS * converter.scale_of(w).ratio_us * io.levels)
    largest = {"SPLIT_MODE": 2.0**io.split_mode_bit_shift, "BIT_WISE": 64.0}.get(io.mv_type.name, 1.0)
    assert off.mean() < 0.1
    if io.out_res < 0:
        assert np.abs(y - wanted).max() < 1.1 * tick * largest * max(factors)


def solved(plus: np.ndarray, minus: np.ndarray, sign: np.ndarray, wire: float, volts: float) -> float:
    """The current in µA of one line with a node a crossing, by Kirchhoff's law at every node."""
    n = len(sign)
    matrix, right = np.zeros((n, n)), np.zeros(n)
    for j in range(n):
        matrix[j, j] += (plus[j] + minus[j]) * 1e-6
        right[j] += 1e-6 * (plus[j] * (0.4 + 0.2 * sign[j]) + minus[j] * (0.4 - 0.2 * sign[j]))
        if j + 1 < n:
            matrix[[j, j + 1], [j, j + 1]] += 1.0 / wire
            matrix[[j, j + 1], [j + 1, j]] -= 1.0 / wire
    matrix[-1, -1] += 2.0 / wire
    right[-1] += 2.0 / wire * volts
    return float((np.linalg.solve(matrix, right)[-1] - volts) * 2.0 / wire * 1e6)


@pytest.mark.parametrize("g_min", [0.0, 0.5])
def test_a_ladder_is_the_solution_of_its_nodes(g_min: float) -> None:
    rng = np.random.default_rng(0)
    plus, minus = rng.uniform(g_min, 25.0, (2, 3, 12))
    plus[1] = minus[2] = g_min  # a line without devices of one polarity
    found = ladders(plus, minus, 12, 40.0)
    for line in range(3):
        sign = rng.integers(-1, 2, 12)
        wanted = solved(plus[line], minus[line], sign, 40.0, 0.41)
        got = found.ua_OI[line] @ sign + (0.4 - 0.41) * found.siemens_O[line] * 1e6
        assert got == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("sum_", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("mode", ["ONE_PASS", "SPLIT_MODE", "BIT_WISE"])
def test_the_charge_is_the_sum_over_steps_of_time(mode: str, scale: float, sum_: bool) -> None:
    """Both lines of a tile, step by step, with the network solved anew in each."""
    rng, rows, wire = np.random.default_rng(1), 6, 30.0
    w, code = rng.uniform(-1, 1, (2, rows)).astype(np.float32), rng.integers(-15, 16, (1, rows))
    converter = SinglePairConductanceConverter(**PAIR)
    io = TimedIOParameters(
        **{**QUIET, "inp_res": 30.0, "ir_drop_segments": rows}, ir_drop_rs=wire, mv_type=mode,
        split_mode_bit_shift=2, ir_drop_time_step_resolution_scale=scale, ir_drop_integration_sum=sum_,
        adc_quantization=False, ir_drop_converter=converter,
    )  # fmt: skip
    parts = {"ONE_PASS": [(1, 0, 16)], "SPLIT_MODE": [(1, 4, 4), (4, 0, 4)]}.get(
        mode, [(2**k, 2, 2) for k in range(4)]
    )
    g = converter.convert_to_conductances(w, converter.scale_of(w))
    total = np.zeros(2)
    for divisor, modulus, count in parts:
        size = np.abs(code[0]) // divisor
        size = size % modulus if modulus else size
        samples = count if mode == "BIT_WISE" else int(count * scale)
        times = np.linspace(0, count - 1, samples)
        weights = np.ones(samples)
        if not sum_:
            weights[[0, -1]] = 1.5, 0.5
        for t, weight in zip(times, weights, strict=True):
            sign = np.sign(code[0]) * (size > t + 1e-9)
            for line, turn in ((0, slice(None)), (1, slice(None, None, -1))):
                i = solved(g[0][line][turn], g[1][line][turn], sign[turn], wire, 0.4005)
                total[line] += divisor * weight * i * (times[1] - times[0])
    wanted = total / (READ_VOLTS * converter.scale_of(w).ratio_us * 15)
    np.testing.assert_allclose(read(io, w, code / 15.0)[0], wanted, rtol=1e-5, atol=1e-6)


def test_a_batch_is_as_many_batches_of_one() -> None:
    rng = np.random.default_rng(2)
    w, x = rng.normal(size=(4, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    io = TimedIOParameters(
        mv_type="SPLIT_MODE", inp_res=254.0, inp_noise=0.01, apply_xdep_pcm_read_noise=True, out_bound=1.0
    )
    together = read(io, w, x, tick=7)
    apart = np.concatenate([read(io, w, x[b : b + 1], tick=7 + b) for b in range(5)])
    np.testing.assert_array_equal(together, apart)
    assert (read(io, w, x, tick=12) != together).any()


def test_read_noise_is_that_of_devices_one_by_one() -> None:
    """The spread of 4,000 reads against 4,000 tiles whose every device is off by its own normal number."""
    rng, samples = np.random.default_rng(3), 4000
    w, code = rng.uniform(-1, 1, (2, 8)).astype(np.float32), rng.integers(-127, 128, 8)
    converter = SinglePairConductanceConverter(**PAIR)
    io = TimedIOParameters(
        **{**QUIET, "ir_drop_segments": 8}, ir_drop_rs=30.0, adc_quantization=False,
        apply_xdep_pcm_read_noise=True, ir_drop_integration_sum=True, ir_drop_converter=converter,
    )  # fmt: skip
    spread = read(io, w, np.tile(code / 127.0, (samples, 1))).std(axis=0)
    g = [each.astype(np.float64) for each in converter.convert_to_conductances(w, converter.scale_of(w))]
    at = np.log10(np.abs(code).mean())
    slope = np.polyval([0.00021926, -0.00187352, 0.00655714, -0.0146159, 0.02578764], at)
    offset = np.polyval([1.11906167e-3, -9.08576764e-3, 3.07015063e-2, -6.77079241e-2, 1.17763144e-1], at)
    difference = g[0] - g[1]
    sigma = slope * np.abs(difference) + offset
    found = ladders(g[0], g[1], 8, 30.0), ladders(g[0][:, ::-1], g[1][:, ::-1], 8, 30.0)
    per_us = np.stack([found[0].per_us_OI[0], found[1].per_us_OI[1][::-1]])
    off = sigma * rng.normal(size=(samples, 2, 8))
    wanted = ((per_us * off) @ code).std(axis=0) / (READ_VOLTS * converter.scale_of(w).ratio_us * 127)
    # both standard deviations are known to 1 / sqrt(2 n) = 1.1 %: five of the difference's
    np.testing.assert_allclose(spread, wanted, rtol=5 * 1.6e-2)


REFUSED: dict[str, dict[str, Any]] = {
    "mv_type = POS_NEG_SEPARATE": {"mv_type": "POS_NEG_SEPARATE"},
    "ir_drop = 'nodal'": {"ir_drop": "nodal"},
    "inp_bound = 2": {"inp_bound": 2.0, "noise_management": "NONE"},
    "w_noise = 0.1": {"w_noise": 0.1},
    r"2\^bits - 2 steps": {"inp_res": 100.0, "mv_type": "BIT_WISE"},
    "split_mode_bit_shift = 8": {"split_mode_bit_shift": 8, "mv_type": "SPLIT_MODE", "inp_res": 254.0},
    "pairs of devices": {"ir_drop_converter": SingleDeviceConductanceConverter()},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_read_in_time_is_refused(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimedIOParameters(**REFUSED[message])


def test_segments_that_do_not_divide_a_line_are_refused() -> None:
    with pytest.raises(ConfigError, match="ir_drop_segments = 8 must divide the 12 crossings"):
        read(TimedIOParameters(), np.ones((2, 12)), np.ones((1, 12)))


@pytest.mark.parametrize("mode", ["SPLIT_MODE", "BIT_WISE"])
def test_inputs_in_parts_need_a_read_in_time(mode: str) -> None:
    with pytest.raises(ConfigError, match=f"mv_type = {mode}"):
        IOParameters(mv_type=mode)
