"""Weight programming that is searched for: what strategies are, what their error is, which one is best.

Noise of one spread sigma for every conductance, without drift, has a best strategy by hand: a weight is
sum f (g+ - g-) / k, k µS for the largest weight, so that its variance is 2 sigma² sum f² / k². With
k = span sum f at most and (sum f)² <= P sum f², the error relative to the largest weight is
2 sigma² / (P span²) at least, where all factors are equal and the whole range is used.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.inference import (
    BaseNoiseModel,
    GlobalDriftCompensation,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
)
from crossgrid.kernels.inference.optimised import (
    ProgrammingSearch,
    StrategySpace,
    Task,
    converter_at,
    optimised_programming,
    representative,
    time_averaged_error,
)
from crossgrid.kernels.rng import tile_key

SIGMA_US, G_MAX_US = 0.5, 25.0
KEY = tile_key(3, 0)
W_OI = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 150)).astype(np.float32)
W_OI[0, 0] = 1.0
SHORT = {"popsize": 6, "maxiter": 30, "baseline_iterations": 4}


class SameSpread(BaseNoiseModel):
    """Programmed with a standard deviation of ``SIGMA_US`` at every conductance, and no drift."""

    def apply_programming_noise_to_conductance(self, g_target, draws):
        return g_target + np.float32(SIGMA_US) * draws.normal()

    def apply_drift_noise_to_conductance(self, g_prog, drift_coefficients, t_inference, draws):
        return g_prog


def task(model: BaseNoiseModel, **fields) -> Task:
    given = {"times_s": (1.0,), "compensation": None, "key_2": KEY, **fields}
    return Task(W_OI, model, **given)


SPACES = [
    StrategySpace((1.0,), 0.0, 25.0, bins=2),
    StrategySpace((1.0, None), 0.1, 25.0, bins=4, whole_range=True),
    StrategySpace((3.0, 1.0, None), 0.0, 20.0, bins=3, symmetric=False),
    StrategySpace((None, None), 0.0, 25.0, symmetric=False, whole_range=True),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.factors} symmetric={space.symmetric}")
def test_every_point_of_the_cube_bears_every_weight(space: StrategySpace) -> None:
    """sum f (g+ - g-) rises evenly from -k to k, and no conductance is out of range."""
    rng = np.random.default_rng(1)
    corners = [np.zeros(space.dimensions), np.ones(space.dimensions)]
    for point in [*corners, *rng.uniform(size=(50, space.dimensions))]:
        found = converter_at(space, point)
        tables = np.array(found.g_lst)
        assert tables.shape == (2 * len(space.factors), 2 * space.bins - 1)
        assert space.g_min <= tables.min() <= tables.max() <= space.g_max
        w_us = np.array(found.f_lst) @ (tables[::2] - tables[1::2])
        k_us = sum(found.f_lst) * (space.g_max - space.g_min)
        assert w_us == pytest.approx(np.linspace(-w_us[-1], w_us[-1], len(w_us)), abs=1e-9 * k_us)
        assert (w_us[-1] == pytest.approx(k_us)) if space.whole_range else (0.05 * k_us <= w_us[-1] <= k_us)
        if space.symmetric:
            assert tables[::2, ::-1] == pytest.approx(tables[1::2])
        assert all(own is None or own == f for own, f in zip(space.factors, found.f_lst, strict=True))


def test_plain_pairs_are_points_of_the_cube() -> None:
    """All at the lowest level: one device of a pair is always at g_min."""
    space = StrategySpace((1.0,), 0.0, G_MAX_US, bins=3, whole_range=True)
    pair, found = SinglePairConductanceConverter(), converter_at(space, np.zeros(space.dimensions))
    scale = pair.scale_of(W_OI)
    for ours, theirs in zip(
        found.convert_to_conductances(W_OI, found.scale_of(W_OI)),
        pair.convert_to_conductances(W_OI, scale),
        strict=True,
    ):
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_an_overshoot_is_clipped_to_the_range() -> None:
    space = StrategySpace((1.0,), 0.0, 25.0, bins=2, whole_range=True, overshoot_us=2.0)
    assert converter_at(space, [0.0, 0.0]).g_lst == [[0.0, 0.0, 23.0], [23.0, 0.0, 0.0]]


@pytest.mark.parametrize("factors", [[1.0], [1.0, 1.0], [1.0, 3.0]])
def test_the_error_is_the_variance_of_the_devices(factors: list[float]) -> None:
    """2 sigma² sum f² / (span sum f)²; the spread of 3000 squares is sqrt(2 / 3000) = 2.6 % of their mean."""
    converter = NPairConductanceConverter(f_lst=factors)
    wanted = 2 * SIGMA_US**2 * sum(f * f for f in factors) / (G_MAX_US * sum(factors)) ** 2
    assert time_averaged_error(task(SameSpread()), converter, 0) == pytest.approx(wanted, rel=0.11)


def test_times_are_averaged_and_drift_is_compensated() -> None:
    """Without noise or a spread of exponents drift is one factor for all, which compensation undoes."""
    times = (0.0, 1e3, 1e6)
    model = ReRamWan2022NoiseModel(
        times=list(times), coeffs=[[0.4], [0.8], [1.6]], coeff_g_max_reference=25.0
    )
    pair = SinglePairConductanceConverter()
    each = [time_averaged_error(task(model, times_s=(t_s,)), pair, 0) for t_s in times]
    assert time_averaged_error(task(model, times_s=times), pair, 0) == pytest.approx(np.mean(each))
    drifts = PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0)
    left, undone = (
        time_averaged_error(task(drifts, times_s=(1e6,), compensation=how), pair, 0)
        for how in (None, GlobalDriftCompensation())
    )
    assert undone < left / 10


def test_a_search_finds_the_best_strategy_by_hand() -> None:
    """Two pairs, the second factor and the range open: equal factors and the whole range halve the error.

    Near the best factor the error is flat, 1/2 (1 + (f - 1)² / (f + 1)²): 1.2 % more at f = 1.25.
    """
    space = StrategySpace((1.0, None), 0.0, G_MAX_US, bins=2)
    search = ProgrammingSearch(popsize=4, maxiter=40, recombination=0.9, mutation=0.5, baseline_iterations=20)
    found = optimised_programming(
        task(SameSpread()), space, SinglePairConductanceConverter(), search, callback=None
    )
    tables = np.array(found.converter.g_lst)
    k_us = (np.array(found.converter.f_lst) @ (tables[::2] - tables[1::2])).max()
    assert found.converter.f_lst == [1.0, pytest.approx(1.0, abs=0.25)]
    assert k_us == pytest.approx(G_MAX_US * sum(found.converter.f_lst), rel=0.02)
    assert found.error / found.baseline_error == pytest.approx(0.5, rel=0.05)
    assert found.baseline_error == pytest.approx(2 * (SIGMA_US / G_MAX_US) ** 2, rel=0.03)
    assert found.beaten_by == pytest.approx(-0.5 + search.loss_margin, abs=0.03)


def test_a_search_repeats_with_any_number_of_threads() -> None:
    space = StrategySpace((1.0, None), 0.0, G_MAX_US, bins=2)
    wanted = None
    for workers in (1, 3):
        search = ProgrammingSearch(popsize=2, maxiter=3, baseline_iterations=1, polish=False, workers=workers)
        found = optimised_programming(
            task(PCMLikeNoiseModel()), space, NPairConductanceConverter(), search, callback=None
        )
        wanted = wanted or found
        assert found == wanted


def test_a_search_ends_where_the_margin_is_reached_or_goes_on() -> None:
    space = StrategySpace((1.0, 1.0), 0.0, G_MAX_US, bins=2, whole_range=True)
    tries = []
    for callback in ({}, {"callback": None}):
        search = ProgrammingSearch(**SHORT, polish=False, loss_margin=0.3, atol=0.0)
        found = optimised_programming(
            task(SameSpread()), space, SinglePairConductanceConverter(), search, **callback
        )
        assert found.beaten_by < 0.0
        tries.append(found.evaluations)
    assert tries[0] < tries[1]


def test_representative_weights_are_quantiles_in_drawn_order() -> None:
    w = np.random.default_rng(2).normal(size=1001)
    found = representative(w, 101, 7)
    assert np.sort(found) == pytest.approx(np.sort(w)[::10].astype(np.float32))
    assert (representative(w, 101, 7) == found).all()
    assert (representative(w, 101, 8) != found).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StrategySpace((), 0.0, 25.0), "1 to 8 numbers"),
        (lambda: StrategySpace((0.0,), 0.0, 25.0), "above 0"),
        (lambda: StrategySpace((1.0,), 25.0, 25.0), "g_min = 25"),
        (lambda: StrategySpace((1.0,), 0.0, 25.0, bins=1), "bins = 1"),
        (lambda: StrategySpace((None,), 0.0, 25.0, factor_range=(0.0, 1.0)), "factor_range"),
        (lambda: converter_at(SPACES[0], [0.5]), "this space has 3"),
    ],
)
def test_a_space_that_cannot_be_is_refused(make, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"w_OI": np.zeros((3, 4), np.float32)}, "all weights are zero"),
        ({"w_OI": np.full((3, 4), np.nan, np.float32)}, "finite"),
        ({"w_OI": np.zeros(3, np.float32)}, "matrix"),
        ({"times_s": ()}, "times"),
        ({"times_s": (-1.0,)}, "times"),
    ],
)
def test_a_task_that_cannot_be_is_refused(fields, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(task(PCMLikeNoiseModel()), **fields)


def test_a_baseline_without_error_and_an_unknown_strategy_are_refused() -> None:
    quiet = PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    space, pair = SPACES[0], SinglePairConductanceConverter()
    with pytest.raises(ConfigError, match="mutation"):
        ProgrammingSearch(mutation=3.0)
    with pytest.raises(ConfigError, match="ProgrammingSearch"):
        optimised_programming(task(SameSpread()), space, pair, ProgrammingSearch(strategy="best9"))
    with pytest.raises(ConfigError, match="differ"):
        optimised_programming(task(PCMLikeNoiseModel(g_max=20.0)), space, pair, ProgrammingSearch(**SHORT))
    exact = dataclasses.replace(task(quiet), w_OI=np.ones((2, 2), np.float32))
    with pytest.raises(ConfigError, match="nothing to beat"):
        optimised_programming(exact, space, pair, ProgrammingSearch(**SHORT))
