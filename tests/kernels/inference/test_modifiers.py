"""Weight modifiers: the two backends agree bit by bit, and each type has the statistics of its formula."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from scipy import stats

from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.inference import (
    WeightModifierParameter,
    WeightModifierType,
    largest_weight,
    modified_weights,
)
from crossgrid.kernels.inference.modifiers import cpu, plan
from crossgrid.kernels.inference.modifiers.plan import byte_normals
from crossgrid.kernels.rng import tile_key

KEYS_T2 = np.stack([tile_key(9, block) for block in range(3)])
STRONG = dict(  # noqa: C408 - keywords of a constructor
    std_dev=0.1,
    res=1 / 7,
    sto_round=True,
    pcm_t_inference=3600.0,
    pcm_prob_at_reset=0.02,
    pcm_prob_at_gmax=0.02,
    pcm_prob_at_random=0.02,
)


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.2, shape).astype(np.float32)


def one_tile(value: float, n: int = 512) -> np.ndarray:
    """A tile of one value, whose largest magnitude is 1 (one other crosspoint)."""
    w_TOI = np.full((1, n, n), value, np.float32)
    w_TOI[0, 0, 0] = 1.0
    return w_TOI


def drawn(w_TOI: np.ndarray, **fields) -> np.ndarray:
    """The modified weights without the crosspoint that sets the scale."""
    modified = modified_weights(w_TOI, WeightModifierParameter(**fields), KEYS_T2[: len(w_TOI)], 3)
    return modified.reshape(len(w_TOI), -1)[:, 1:]


def assert_std(sample: np.ndarray, sigma: float) -> None:
    # sigma / sqrt(2 N) is the scatter of a normal sample's standard deviation; 5 times that
    assert sample.std(dtype=np.float64) == pytest.approx(sigma, rel=5 / math.sqrt(2 * sample.size))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 16), (3, 33, 61), (1, 5, 100), (2, 130, 300)], ids=str)
@pytest.mark.parametrize("kind", WeightModifierType, ids=lambda kind: kind.name)
def test_numpy_and_numba_agree(kind: WeightModifierType, shape: tuple[int, ...]) -> None:
    w_TOI = weights(shape)
    for more in ({}, {"pdrop": 0.3, "copy_last_column": shape[2] > 1}):
        parameter = WeightModifierParameter(type=kind, **STRONG, **more)
        ours, reference = (
            modified_weights(w_TOI, parameter, KEYS_T2[: shape[0]], 12345678901, backend=backend_of(backend))
            for backend in ("cpu", "naive")
        )
        assert ours.dtype == reference.dtype == np.float32
        if kind in (WeightModifierType.PCM_NOISE, WeightModifierType.DOREFA):
            # exp may differ in the last bit between the C library and numpy
            close = np.isclose(ours, reference, rtol=1e-5, atol=1e-6)
            assert (~close).sum() <= 1  # and a value on a rounding boundary may fall to either side
        else:
            np.testing.assert_array_equal(ours, reference)


def test_fast_normals_are_normal() -> None:
    """2^20 of them: moments within 5 standard errors, Kolmogorov-Smirnov distance at level 0.001."""
    xi = drawn(
        np.zeros((1, 1024, 1024), np.float32), type="AddNormal", std_dev=1.0, rel_to_actual_wmax=False
    )[0]
    n = xi.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        estimate = np.mean(xi.astype(np.float64) ** power)
        assert abs(estimate - moment) < 5 * math.sqrt(variance / n), power
    assert stats.kstest(xi, "norm").statistic < 1.95 / math.sqrt(n) + 6e-5
    for x, relative in ((3.0, 0.0015), (4.0, 0.07)):  # the tails as the formula's docstring states them
        expected = n * 2 * stats.norm.sf(x)
        assert abs((np.abs(xi) > x).sum() - expected) < 5 * math.sqrt(expected) + relative * expected
    assert np.abs(xi).max() < 6.1


def test_the_table_of_fast_normals_has_exact_moments_and_distribution() -> None:
    table = 2 * byte_normals().astype(np.float64)
    assert np.mean(table**2) == pytest.approx(1.0, abs=1e-6)
    assert np.mean(table**4) == pytest.approx(3.0, abs=1e-5)
    assert 2 * table.max() < 6.1
    # distribution function of the sum of four halves by Gil-Pelaez' inversion of its characteristic function
    t = np.linspace(1e-6, 60, 30001)
    phi = np.mean(np.cos(np.outer(t, table / 2)), axis=1) ** 4
    x = np.linspace(0, 5, 101)
    cdf = 0.5 + (np.trapezoid(phi * np.sin(np.outer(x, t)) / t, t, axis=1) + 1e-6 * x) / np.pi
    assert np.abs(cdf - stats.norm.cdf(x)).max() < 6.5e-5


def test_fast_normals_are_independent_across_the_tile() -> None:
    xi = drawn(np.zeros((2, 256, 257), np.float32), type="AddNormal", std_dev=1.0, rel_to_actual_wmax=False)
    rows = np.concatenate([np.zeros((2, 1)), xi], axis=1).reshape(2, 256, 257)[:, 1:].astype(np.float64)
    limit = 5.5 / math.sqrt(256)  # 33 000 pairs of columns: 5.5 standard errors
    correlation = np.corrcoef(rows[0].T)
    assert np.abs(correlation - np.eye(257)).max() < limit
    squares = np.corrcoef((rows[0] ** 2).T)
    assert np.abs(squares - np.eye(257)).max() < 2 * limit  # heavier tails
    assert abs(np.mean(rows[0] * rows[1])) < 5 / math.sqrt(rows[0].size)  # two tiles


@pytest.mark.parametrize("w", [0.0, 0.5, -0.5])
def test_add_normal(w: float) -> None:
    out = drawn(one_tile(w), type="AddNormal", std_dev=0.2)
    assert_std(out, 0.2)
    assert abs(out.mean(dtype=np.float64) - w) < 5 * 0.2 / 512
    assert_std(drawn(3 * one_tile(w), type="AddNormal", std_dev=0.2), 0.6)  # relative to max |w| = 3
    assert_std(
        drawn(3 * one_tile(w), type="AddNormal", std_dev=0.2, rel_to_actual_wmax=False, assumed_wmax=0.5), 0.1
    )


def test_mult_normal() -> None:
    # w + sigma w_max w xi: the strength is in units of w_max once more, as aihwkit has it
    assert_std(drawn(one_tile(0.5), type="MultNormal", std_dev=0.2), 0.2 * 0.5)
    assert_std(drawn(3 * one_tile(0.5), type="MultNormal", std_dev=0.2), 0.2 * 3 * 1.5)
    assert (drawn(one_tile(0.0), type="MultNormal", std_dev=0.2) == 0).all()


@pytest.mark.parametrize("w", [0.0, 0.26, -0.26, 0.249, 0.125, -0.125])
def test_discretize(w: float) -> None:
    # steps of res * w_max; halves go away from zero
    expected = math.copysign(math.floor(abs(w) / 0.25 + 0.5) * 0.25, w)
    np.testing.assert_array_equal(drawn(one_tile(w, 16), type="Discretize", res=0.25), np.float32(expected))
    np.testing.assert_array_equal(
        drawn(2 * one_tile(w, 16), type="Discretize", res=0.25), np.float32(2 * expected)
    )


def test_stochastic_rounding_is_unbiased() -> None:
    out = drawn(one_tile(0.3), type="Discretize", res=0.25, sto_round=True)
    assert set(np.unique(out)) == {np.float32(0.25), np.float32(0.5)}
    assert np.mean(out == 0.5) == pytest.approx(0.2, abs=5 * math.sqrt(0.2 * 0.8) / 512)


def test_discretize_add_normal() -> None:
    out = drawn(one_tile(0.3), type="DiscretizeAddNormal", res=0.25, std_dev=0.1)
    assert_std(out, 0.1)
    assert abs(out.mean(dtype=np.float64) - 0.25) < 5 * 0.1 / 512
    np.testing.assert_array_equal(  # one of the two may be off
        drawn(one_tile(0.3, 32), type="DiscretizeAddNormal", res=0.25),
        drawn(one_tile(0.3, 32), type="Discretize", res=0.25),
    )
    np.testing.assert_array_equal(
        drawn(one_tile(0.3, 32), type="DiscretizeAddNormal", std_dev=0.1),
        drawn(one_tile(0.3, 32), type="AddNormal", std_dev=0.1),
    )


@pytest.mark.parametrize("w", [0.3, -0.3, 1.0])
def test_dorefa(w: float) -> None:
    squeezed = math.tanh(w) * 0.6 / math.tanh(1.0)
    expected = math.copysign(math.floor(abs(squeezed) / 0.05 + 0.5) * 0.05, w)
    out = drawn(one_tile(w, 16), type="DoReFa", res=0.05)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("w", [0.0, 0.4, -0.8])
def test_poly_and_prog_noise(w: float) -> None:
    # sigma = std_dev (c0 + c1 x + c2 x²) w_max, x = |w| / w_max; PROG_NOISE divides by g_max, reflects at 0
    coeffs = [0.26348, 1.9650, -1.1731]
    sigma = 1.5 * (coeffs[0] + coeffs[1] * abs(w) + coeffs[2] * w * w)
    out = drawn(2 * one_tile(w), type="Poly", std_dev=1.5, coeffs=coeffs)
    assert_std(out, 2 * sigma)
    assert abs(out.mean(dtype=np.float64) - 2 * w) < 5 * 2 * sigma / 512
    out = drawn(2 * one_tile(w), type="ProgNoise", std_dev=1.5, coeffs=coeffs, g_max=25.0)
    assert (np.signbit(out) == (w < 0)).all()
    mean, sigma = abs(2 * w), 2 * sigma / 25
    z = mean / sigma
    folded = sigma * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + mean * (1 - 2 * stats.norm.cdf(-z))
    assert abs(np.abs(out).mean(dtype=np.float64) - folded) < 5 * sigma / 512


def test_five_coefficients_of_poly() -> None:
    coeffs = [0.1, 0.2, 0.3, 0.4, 0.5]
    sigma = sum(c * 0.5**k for k, c in enumerate(coeffs))
    assert_std(drawn(one_tile(0.5), type="Poly", std_dev=0.1, coeffs=coeffs), 0.1 * sigma)


def test_pcm_noise_is_programming_and_read_noise() -> None:
    # at w = w_max / 2: sigma_p = 0.95271 µS of 25; relative read noise q sqrt(ln((20 + t_r) / 2 t_r))
    q = 0.0088 / 0.5**0.65
    read = q * math.sqrt(math.log((20 + 250e-9) / 500e-9))
    sigma = math.hypot(0.95271 / 25, 0.5 * read)
    out = drawn(one_tile(0.5), type="PCMNoise", std_dev=1.0)
    assert out.std() == pytest.approx(sigma, rel=0.01)  # q follows the programmed value: second order
    later = drawn(one_tile(0.5), type="PCMNoise", std_dev=0.0, pcm_t_inference=86400.0)
    # nu = |0.008 xi|: the mean of ln(w / 0.5) is -0.008 sqrt(2 / pi) ln((t + 20) / 20)
    log_ratio = np.log(later.astype(np.float64) / 0.5)
    assert log_ratio.mean() == pytest.approx(-0.008 * math.sqrt(2 / math.pi) * math.log(86420 / 20), rel=0.01)


def test_pcm_failures_happen_as_often_as_asked() -> None:
    out = drawn(one_tile(0.5), type="PCMNoise", std_dev=0.0, pcm_prob_at_reset=0.1)
    assert np.mean(out == 0) == pytest.approx(0.1, abs=5 * 0.3 / 512)
    out = drawn(one_tile(0.5), type="PCMNoise", std_dev=0.0, pcm_prob_at_gmax=0.1)
    assert np.mean(np.abs(out - 0.5) > 1e-3) == pytest.approx(
        0.05, abs=5 * 0.22 / 512
    )  # half: 0.5 - 1 reflected
    out = drawn(one_tile(0.5), type="PCMNoise", std_dev=0.0, pcm_prob_at_random=0.1)
    moved = out[np.abs(out - 0.5) > 1e-3]
    assert moved.size / out.size == pytest.approx(0.1, abs=5 * 0.3 / 512 + 1e-3)
    assert moved.mean() == pytest.approx(0.5, abs=5 * 0.29 / math.sqrt(moved.size))
    out = drawn(one_tile(0.01), type="PCMNoise", std_dev=1.0, pcm_zero_thres=1.0)
    assert (out == 0).all()  # 0.25 µS is below one 0.26 µS


@pytest.mark.parametrize("kind", ["None", "DropConnect", "AddNormal"])
def test_connections_drop_with_any_type(kind: str) -> None:
    out = drawn(one_tile(0.5), type=kind, std_dev=0.1, pdrop=0.2)
    assert np.mean(out == 0) == pytest.approx(0.2, abs=5 * 0.4 / 512)


def test_a_bias_column_is_left_alone() -> None:
    w_TOI = weights((2, 40, 50))
    w_TOI[:, :, -1] = 9.0  # the largest of all, but not counted
    parameter = WeightModifierParameter(type="AddNormal", std_dev=0.1, pdrop=0.5, copy_last_column=True)
    out = modified_weights(w_TOI, parameter, KEYS_T2[:2], 0)
    assert (out[:, :, -1] == 9.0).all()
    np.testing.assert_allclose(
        largest_weight(w_TOI, plan(parameter)), np.abs(w_TOI[:, :, :-1]).max(axis=(1, 2))
    )


def test_noise_belongs_to_tile_and_tick() -> None:
    w_TOI = weights((3, 40, 50))
    parameter = WeightModifierParameter(type="AddNormal", std_dev=0.1)
    together = modified_weights(w_TOI, parameter, KEYS_T2, 5)
    np.testing.assert_array_equal(modified_weights(w_TOI[1:2], parameter, KEYS_T2[1:2], 5), together[1:2])
    assert (modified_weights(w_TOI, parameter, KEYS_T2, 6) != together).mean() > 0.99
    in_place = w_TOI.copy()
    modified_weights(in_place, parameter, KEYS_T2, 5, out_TOI=in_place)
    np.testing.assert_array_equal(in_place, together)


def test_some_rows_are_those_rows_of_the_tile() -> None:
    w_TOI = weights((1, 40, 50))
    modifier = plan(WeightModifierParameter(type="DiscretizeAddNormal", res=0.1, std_dev=0.1, pdrop=0.1))
    whole = modified_weights(w_TOI, modifier, KEYS_T2[:1], 5)
    out_OI = np.empty((9, 50), np.float32)
    cpu.rows_kernel(modifier.kind)(
        out_OI, w_TOI[0], 13, 22, int(modifier.kind), modifier.stochastic, modifier.keep_last,
        modifier.values, largest_weight(w_TOI, modifier)[0], KEYS_T2[0, 0], KEYS_T2[0, 1], np.int64(5),
    )  # fmt: skip
    np.testing.assert_array_equal(out_OI, whole[0, 13:22])


def test_the_number_of_threads_does_not_matter() -> None:
    w_TOI = weights((3, 200, 300))  # enough for the threads to wake
    parameter = WeightModifierParameter(type="AddNormal", std_dev=0.1)
    threads = numba.get_num_threads()
    together = modified_weights(w_TOI, parameter, KEYS_T2, 5)
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(modified_weights(w_TOI, parameter, KEYS_T2, 5), together)
    finally:
        numba.set_num_threads(threads)


def test_bad_parameters_and_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ADD_NORMAL'"):
        WeightModifierParameter(type="AddNormals")
    with pytest.raises(ConfigError, match=r"pdrop = 1\.5 must be at most 1"):
        WeightModifierParameter(pdrop=1.5)
    for bad in (np.nan, np.inf, -np.inf):
        w_TOI = weights((2, 5, 6))
        w_TOI[1, 2, 3] = bad
        with pytest.raises(InputError, match="tile 1 of 2 hold NaN or infinity"):
            modified_weights(w_TOI, WeightModifierParameter(type="AddNormal", std_dev=0.1), KEYS_T2[:2], 0)
