"""A programmed bank: what it remembers, what a read at a later time gives, and compensation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from crossgrid.kernels.backends import CPU, NAIVE
from crossgrid.kernels.errors import InputError
from crossgrid.kernels.inference import (
    GlobalDriftCompensation,
    GlobalDriftCompensationWithExactReference,
    HermesNoiseModel,
    NotProgrammedError,
    PCMLikeNoiseModel,
    PerColumnDriftCompensation,
    ProgrammedState,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
    program,
    programmed_weights,
    weights_at,
    weights_over_time,
)
from crossgrid.kernels.inference.fused import is_fused
from crossgrid.kernels.rng import tile_key
from crossgrid.kernels.rng.numpy_alike import agrees

YEAR_S = 31536000.0
KEYS_T2 = np.stack([tile_key(5, block) for block in range(3)])


def targets(tiles: int = 3, outputs: int = 40, inputs: int = 61) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.2, (tiles, outputs, inputs)).astype(np.float32)


def bank(model: PCMLikeNoiseModel | None = None, **options) -> ProgrammedState:
    return program(targets(), model or PCMLikeNoiseModel(), KEYS_T2, 7, **options)


def test_without_noise_the_programmed_weights_are_the_targets() -> None:
    quiet = PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    state = bank(quiet)
    np.testing.assert_allclose(programmed_weights(state), state.targets_TOI, atol=1e-6)
    np.testing.assert_allclose(weights_at(state, YEAR_S, 0), state.targets_TOI, atol=1e-6)


def test_every_drift_starts_from_the_programmed_state() -> None:
    state = bank()
    year = weights_at(state, YEAR_S, 9)
    np.testing.assert_array_equal(weights_at(state, 0.0, 9), weights_at(state, 0.0, 9))
    np.testing.assert_array_equal(weights_at(state, YEAR_S, 9), year)
    assert (weights_at(state, YEAR_S, 10) != year).mean() > 0.99  # another read, other read noise
    # the exponents are of the device, not of the read: without read noise two reads agree
    calm = bank(PCMLikeNoiseModel(read_noise_scale=0.0))
    np.testing.assert_array_equal(weights_at(calm, YEAR_S, 9), weights_at(calm, YEAR_S, 10))


def test_several_times_at_once_are_those_one_by_one() -> None:
    times_s = (0.0, 3600.0, YEAR_S)
    programmed, found = weights_over_time(bank(), times_s, 9)
    np.testing.assert_array_equal(programmed, programmed_weights(bank()))
    for w_TOI, t_s in zip(found, times_s, strict=True):
        np.testing.assert_array_equal(w_TOI, weights_at(bank(), t_s, 9))


def test_at_no_time_there_is_read_noise_but_no_drift() -> None:
    calm = bank(PCMLikeNoiseModel(read_noise_scale=0.0))
    np.testing.assert_array_equal(weights_at(calm, 0.0, 1), programmed_weights(calm))
    state = bank()
    assert (weights_at(state, 0.0, 1) != programmed_weights(state)).mean() > 0.99


def test_numpy_and_numba_draw_the_same_bank() -> None:
    for t_s in (0.0, 3600.0):
        np.testing.assert_array_equal(
            weights_at(bank(backend=NAIVE), t_s, 2), weights_at(bank(backend=CPU), t_s, 2)
        )


@pytest.mark.parametrize(
    "model",
    [
        PCMLikeNoiseModel(),
        PCMLikeNoiseModel(prog_coeff=[0.3], drift_scale=40.0),
        PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=2.0),
        PCMLikeNoiseModel(
            prog_coeff=[0.2, 1.0, -0.5, 0.1],
            g_converter=SinglePairConductanceConverter(g_max=20.0, g_min=1.0),
        ),
    ],
    ids=["default", "one coefficient", "no programming noise", "smallest conductance"],
)
def test_the_compiled_law_has_the_bits_of_numpys(model: PCMLikeNoiseModel) -> None:
    # another class of the same methods is evaluated by numpy, as a user's own is
    class Own(PCMLikeNoiseModel):
        pass

    own = Own(**{each.name: getattr(model, each.name) for each in dataclasses.fields(model)})
    assert not is_fused(own, CPU)
    for shape in ((3, 40, 61), (1, 200, 170)):  # in one thread and in several
        fused, plain = (program(targets(*shape), each, KEYS_T2, 7) for each in (model, own))
        np.testing.assert_array_equal(programmed_weights(fused), programmed_weights(plain))
        for t_s, tick in ((0.0, 2), (1.0, 2), (YEAR_S, 2**40)):
            np.testing.assert_array_equal(weights_at(fused, t_s, tick), weights_at(plain, t_s, tick))


def test_only_the_model_itself_is_fused() -> None:
    assert is_fused(PCMLikeNoiseModel(), CPU) == agrees()
    assert not is_fused(PCMLikeNoiseModel(), NAIVE)
    assert not is_fused(PCMLikeNoiseModel(g_converter=SingleDeviceConductanceConverter()), CPU)
    assert not is_fused(HermesNoiseModel(), CPU)


def test_a_tile_does_not_depend_on_its_neighbours() -> None:
    state = bank()
    alone = program(state.targets_TOI[1:2].copy(), PCMLikeNoiseModel(), KEYS_T2[1:2], 7)
    np.testing.assert_array_equal(weights_at(alone, 60.0, 4)[0], weights_at(state, 60.0, 4)[1])


def test_programming_again_is_a_new_draw() -> None:
    again = program(targets(), PCMLikeNoiseModel(), KEYS_T2, 8)
    assert (programmed_weights(again) != programmed_weights(bank())).mean() > 0.99


def test_the_model_is_the_one_at_programming() -> None:
    model = PCMLikeNoiseModel()
    state = bank(model)
    before = weights_at(state, 60.0, 0)
    model.drift_scale = 5.0
    np.testing.assert_array_equal(weights_at(state, 60.0, 0), before)


def test_reconverting_loses_the_residual_of_the_unused_device() -> None:
    # with g_min = 0 both devices of a pair of target 0 end at max(noise, 0); reconverted, only their
    # difference is read: fewer noisy conductances, so the pair kept has more read noise
    model = PCMLikeNoiseModel(drift_scale=0.0)
    w_TOI = np.zeros((1, 256, 256), np.float32)
    w_TOI[0, 0, 0] = 1.0
    state = program(w_TOI, model, KEYS_T2[:1], 0)
    programmed = programmed_weights(state)
    kept = weights_at(state, 0.0, 1) - programmed
    split = weights_at(state, 0.0, 1, reconvert=True) - programmed
    assert kept[0, 1:].std() > 1.05 * split[0, 1:].std()
    assert np.abs(weights_at(state, 0.0, 1, reconvert=True)[programmed == 0]).max() < 1e-6


def test_time_and_state_are_checked() -> None:
    for t_s in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="must be finite and at least 0"):
            weights_at(bank(), t_s, 0)
    with pytest.raises(NotProgrammedError, match="call program_analog_weights"):
        weights_at(None, 1.0, 0)
    w_TOI = targets()
    w_TOI[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        program(w_TOI, PCMLikeNoiseModel(), KEYS_T2, 0)


def products(w_OI: np.ndarray, seed: int):
    """A tile's forward product with output noise, as compensation reads it."""
    rng = np.random.default_rng(seed)
    return lambda x_BI: x_BI @ w_OI.T + rng.normal(0, 0.002, (len(x_BI), len(w_OI))).astype(np.float32)


@pytest.mark.parametrize("t_s", [1.0, 3600.0, 86400.0, YEAR_S], ids=["1 s", "1 h", "1 day", "1 year"])
@pytest.mark.parametrize("g_min", [0.0, 2.0])
def test_each_compensation_restores_the_mean_output(t_s: float, g_min: float) -> None:
    model = PCMLikeNoiseModel(g_converter=SinglePairConductanceConverter(g_min=g_min))
    w_OI = targets(1, 64, 128)[0]
    state = program(w_OI[None], model, KEYS_T2[:1], 0)
    start, late = programmed_weights(state)[0], weights_at(state, t_s, 1)[0]

    def compensated(compensation) -> np.ndarray:
        baseline = compensation.baseline(products(start, 0), lambda x_BI: x_BI @ w_OI.T, 128)
        alpha = compensation.alpha(baseline, products(late, 1), 128)
        return np.broadcast_to(alpha, (64,))[:, None] * late

    # the mean magnitude over 64 x 128 one-hot products is known to the read noise, 0.002 / sqrt(8192)
    # at most, of a mean of about 0.1: 1e-3 is five times that
    assert np.abs(compensated(GlobalDriftCompensation())).mean() == pytest.approx(
        np.abs(start).mean(), rel=1e-3
    )
    # one output's mean is over 128 products: 0.002 / sqrt(128) of about 0.1, twice; five times that
    per_output = np.abs(compensated(PerColumnDriftCompensation())).mean(axis=1)
    np.testing.assert_allclose(per_output, np.abs(start).mean(axis=1), rtol=1.2e-2)
    exact = compensated(GlobalDriftCompensationWithExactReference())
    assert np.abs(exact).mean() == pytest.approx(np.abs(w_OI).mean(), rel=1e-3)


def test_a_dead_tile_is_not_divided_by_zero() -> None:
    compensation = GlobalDriftCompensation()
    nothing = np.zeros((4, 8), np.float32)
    baseline = compensation.baseline(products(nothing, 0), products(nothing, 0), 8)
    assert np.isfinite(compensation.alpha(baseline, lambda x_BI: x_BI @ nothing.T, 8))
