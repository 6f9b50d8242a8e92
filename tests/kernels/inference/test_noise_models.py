"""Noise models against their formulas: each test states the formula's value first."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.inference import (
    BaseNoiseModel,
    CustomDriftPCMLikeNoiseModel,
    HermesNoiseModel,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
    program,
    programmed_weights,
    weights_at,
)
from crossgrid.kernels.inference.draws import Draws
from crossgrid.kernels.rng import Stream, tile_key

SHAPE = (256, 256)
N = SHAPE[0] * SHAPE[1]
TIMES_S = {"1 s": 1.0, "1 h": 3600.0, "1 day": 86400.0, "1 year": 31536000.0}


def draws(stream: Stream = Stream.PROGRAMMING, tick: int = 3) -> Draws:
    return Draws(tile_key(11, 0), stream, tick, 0, SHAPE)


def constant(value: float) -> np.ndarray:
    return np.full(SHAPE, value, np.float32)


def assert_std(sample: np.ndarray, sigma: float) -> None:
    # a normal's estimated standard deviation scatters by sigma / sqrt(2 N); 5 times that
    assert sample.std(dtype=np.float64) == pytest.approx(sigma, rel=5 / math.sqrt(2 * sample.size))


def assert_mean(sample: np.ndarray, mean: float, sigma: float) -> None:
    assert abs(sample.mean(dtype=np.float64) - mean) < 5 * sigma / math.sqrt(sample.size) + 1e-6 * abs(mean)


def folded_mean(mean: float, sigma: float) -> float:
    """E|X| of a normal (Leone, Nelson, Nottingham, 1961)."""
    from scipy.stats import norm

    z = mean / sigma
    return sigma * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + mean * (1 - 2 * norm.cdf(-z))


@pytest.mark.parametrize(("x", "sigma_us"), [(0.5, 0.95271), (1.0, 1.05538)])
def test_pcm_programming_noise(x: float, sigma_us: float) -> None:
    g = PCMLikeNoiseModel().apply_programming_noise_to_conductance(constant(25 * x), draws())
    assert_std(g, sigma_us)
    assert_mean(g, 25 * x, sigma_us)


def test_pcm_programming_noise_at_zero_is_half_clipped() -> None:
    # of X = max(0.26348 xi, 0): Var = sigma² (1/2 - 1/(2 pi))
    g = PCMLikeNoiseModel().apply_programming_noise_to_conductance(constant(0.0), draws())
    assert np.mean(g == 0.0) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(N))
    sigma = 0.26348 * math.sqrt(0.5 - 0.5 / math.pi)
    assert sigma == pytest.approx(0.154, abs=5e-4)
    assert g.std() == pytest.approx(sigma, rel=0.02)  # kurtosis 3.9 of a rectified normal: 5 x 0.0035


def test_pcm_programming_noise_scales_with_g_max() -> None:
    g = PCMLikeNoiseModel(g_max=50.0).apply_programming_noise_to_conductance(constant(50.0), draws())
    assert_std(g, 2 * 1.05538)
    own = PCMLikeNoiseModel(g_max=50.0, prog_coeff=[1.0, 2.0], prog_noise_scale=0.5)
    assert_std(own.apply_programming_noise_to_conductance(constant(50.0), draws()), 1.5)


@pytest.mark.parametrize(
    ("x", "mean", "sigma"),
    [
        (1.0, 0.049, 0.008),
        (0.5, 0.049, 0.008),
        (0.1, 0.06009, 0.02288),
        (0.01, 0.09578, 0.045),
        (0.0, 0.1, 0.045),
    ],
)
def test_pcm_drift_exponent(x: float, mean: float, sigma: float) -> None:
    nu = PCMLikeNoiseModel().generate_drift_coefficients(constant(25 * x), draws(Stream.DRIFT_EXPONENT))
    expected = folded_mean(mean, sigma)
    assert_mean(nu, expected, sigma)
    assert nu.std() == pytest.approx(math.sqrt(mean**2 + sigma**2 - expected**2), rel=0.02)
    twice = PCMLikeNoiseModel(drift_scale=2.0)
    drawn = twice.generate_drift_coefficients(constant(25 * x), draws(Stream.DRIFT_EXPONENT))
    np.testing.assert_allclose(drawn, 2 * nu, rtol=1e-6)


@pytest.mark.parametrize("t_s", TIMES_S.values(), ids=TIMES_S)
@pytest.mark.parametrize("x", [0.1, 1.0])
def test_pcm_drift(t_s: float, x: float) -> None:
    # ln(g_D / g_P) = -nu ln((t + 20) / 20): its mean and spread follow from nu's
    model = PCMLikeNoiseModel(read_noise_scale=0.0)
    g_prog = constant(25 * x)
    nu = model.generate_drift_coefficients(g_prog, draws(Stream.DRIFT_EXPONENT))
    g = model.apply_drift_noise_to_conductance(g_prog, nu, t_s, draws(Stream.READ_NOISE))
    age = math.log((t_s + 20) / 20)
    mean, sigma = (0.06009, 0.02288) if x == 0.1 else (0.049, 0.008)
    log_ratio = np.log(g.astype(np.float64) / g_prog)
    assert_mean(log_ratio, -folded_mean(mean, sigma) * age, sigma * age)
    assert log_ratio.std() == pytest.approx(sigma * age, rel=0.03)
    if t_s == 86400.0 and x == 1.0:
        assert np.median(g) / 25 == pytest.approx((86420 / 20) ** -0.049, rel=1e-3)


@pytest.mark.parametrize("t_s", [0.0, *TIMES_S.values()], ids=["0 s", *TIMES_S])
@pytest.mark.parametrize("x", [0.05, 1.0])
def test_pcm_read_noise(t_s: float, x: float) -> None:
    # relative standard deviation q sqrt(ln((t + t_r) / (2 t_r))) with t counted from programming - 20 s
    q = min(0.0088 / x**0.65, 0.2)
    sigma = q * math.sqrt(math.log((t_s + 20 + 250e-9) / 500e-9))
    nu = constant(0.0)
    g = PCMLikeNoiseModel().apply_drift_noise_to_conductance(constant(25 * x), nu, t_s, draws())
    assert_std(g / np.float32(25 * x), sigma)


def test_a_custom_table_of_drift_exponents_is_interpolated() -> None:
    table = {"g_lst": [0.0, 5.0, 30.0], "nu_mean_lst": [0.1, 0.06, 0.01], "nu_std_lst": [0.0, 0.0, 0.0]}
    nu = CustomDriftPCMLikeNoiseModel(**table).generate_drift_coefficients(constant(10.0), draws())
    np.testing.assert_allclose(nu, 0.05, rtol=1e-6)
    with pytest.raises(ConfigError, match="must cover the converter's 0 to 40"):
        CustomDriftPCMLikeNoiseModel(g_max=40.0, **table)
    with pytest.raises(ConfigError, match="must ascend"):
        CustomDriftPCMLikeNoiseModel(g_lst=[0.0, 30.0, 5.0], nu_mean_lst=[0.1] * 3, nu_std_lst=[0.0] * 3)


@pytest.mark.parametrize(("devices", "x", "sigma"), [(1, 0.5, 0.86532), (2, 0.5, 0.99102), (2, 1.0, 1.09270)])
def test_hermes_programming_noise(devices: int, x: float, sigma: float) -> None:
    model = HermesNoiseModel(num_devices=devices)
    g_max = {1: 10.35, 2: 20.7}[devices]
    assert model.g_max == g_max
    g = model.apply_programming_noise_to_conductance(constant(g_max * x), draws())
    coeff = {
        1: [0.15781817, 2.32443916, -2.16310839, 0.68841818],
        2: [0.16603222, 4.71806468, -8.48101252, 4.68961419],
    }
    assert np.polyval(coeff[devices][::-1], x) == pytest.approx(sigma, abs=1e-5)
    assert_std(g, sigma)


@pytest.mark.parametrize(
    ("devices", "x", "mean", "sigma", "q"),
    [
        (1, 0.05, 0.0977348, 0.0336488, 0.0271667),
        (2, 0.05, 0.0977348, 0.0293501, 0.0281501),
        (1, 0.6, 0.050344, 0.01142, 0.0205504),
        (2, 0.6, 0.050344, 0.008632, 0.0163704),
    ],
)
def test_hermes_drift_and_read_noise(devices: int, x: float, mean: float, sigma: float, q: float) -> None:
    model = HermesNoiseModel(num_devices=devices)
    g = constant(model.g_max * x)
    nu = model.generate_drift_coefficients(g, draws())
    assert_mean(nu, folded_mean(mean, sigma), sigma)
    assert nu.std() == pytest.approx(sigma, rel=0.02)
    noisy = model.apply_drift_noise_to_conductance(g, constant(0.0), 3600.0, draws())
    t_0 = {1: 200.0, 2: 300.0}[devices]
    assert_std(noisy / g, q * math.sqrt(math.log((3600 + t_0 + 512e-9) / 1024e-9)))


WAN_SIGMA_US = {  # the polynomials of the three times at x = 1/2, fitted at g_max = 40 µS
    1.0: np.polyval([-16.815, 45.393, -43.853, 16.030, 0.348], 0.5),
    86400.0: np.polyval([-16.458, 47.095, -50.773, 22.086, 0.701], 0.5),
    172800.0: np.polyval([-11.934, 37.062, -43.507, 20.274, 0.782], 0.5),
}


@pytest.mark.parametrize(("t_s", "sigma_us"), WAN_SIGMA_US.items())
def test_wan_deviation_at_half_range(t_s: float, sigma_us: float) -> None:
    nothing = constant(0.0)  # the programmed value does not matter
    for g_max in (40.0, 20.0):
        model = ReRamWan2022NoiseModel(g_max=g_max)
        g = model.apply_drift_noise_to_conductance(nothing, constant(g_max / 2), t_s, draws())
        assert_std(g, sigma_us * g_max / 40)


def test_wan_refuses_a_time_without_data() -> None:
    with pytest.raises(InputError, match="t_inference = 5 s was not measured; known are 1, 86400, 172800 s"):
        ReRamWan2022NoiseModel().apply_drift_noise_to_conductance(constant(1), constant(1), 5.0, draws())


@pytest.mark.parametrize(
    ("accepted", "sigma"), [(0.2, 0.00081107 + 0.00106879 * 50), (2.0, 0.0112185391 + 0.01129027418 * 50)]
)
def test_cmo_programming_and_relaxation(accepted: float, sigma: float) -> None:
    model = ReRamCMONoiseModel(acceptance_range=accepted)
    assert_std(model.apply_programming_noise_to_conductance(constant(50.0), draws()), sigma)
    quiet = ReRamCMONoiseModel(read_noise_scale=0.0)
    age = math.log(3600.0)
    g = quiet.apply_drift_noise_to_conductance(constant(50.0), constant(0.0), 3600.0, draws())
    assert_mean(g, 50.0 - 0.08900206 * age, 0.76)
    assert_std(g, 0.41183342 + 0.04201137 * age)
    np.testing.assert_array_equal(
        model.apply_drift_noise_to_conductance(constant(50.0), constant(0.0), 0.0, draws()), constant(50.0)
    )
    with pytest.raises(ConfigError, match=r"known are 0\.2 and 2"):
        ReRamCMONoiseModel(acceptance_range=0.02)


def test_state_independent_noise() -> None:
    model = StateIndependentNoiseModel()
    for g_us in (10.0, 25.0):
        assert_std(model.apply_programming_noise_to_conductance(constant(g_us), draws()), 0.2)
    nu = model.generate_drift_coefficients(constant(1.0), draws())
    assert_mean(nu, folded_mean(0.1, 0.05), 0.05)
    g = model.apply_drift_noise_to_conductance(constant(10.0), constant(0.0), 3600.0, draws())
    assert_std(g / np.float32(10.0), math.sqrt(math.log(3620 / 500e-9)) / 25)


class TenLineNoise(BaseNoiseModel):
    """What a user writes for a device of his own."""

    def apply_programming_noise_to_conductance(self, g_target, draws):
        return g_target + np.float32(0.3) * draws.normal()

    def generate_drift_coefficients(self, g_target, draws):
        return np.float32(0.05) + np.float32(0.01) * draws.normal()

    def apply_drift_noise_to_conductance(self, g_prog, nu, t_inference, draws):
        return g_prog * np.float32(1.0 + t_inference / 20.0) ** -nu


def test_a_user_model_in_ten_lines_programs_and_drifts() -> None:
    w_TOI = np.full((1, *SHAPE), 0.4, np.float32)
    state = program(w_TOI, TenLineNoise(), tile_key(1, 0)[None], 0)
    # two devices of 0.3 µS noise each, 25 µS for 0.4
    assert_std(programmed_weights(state)[0], 0.3 * math.sqrt(2) * 0.4 / 25)
    ratio = weights_at(state, 180.0, 0).mean() / programmed_weights(state).mean()
    assert ratio == pytest.approx(10**-0.05, rel=1e-3)
    bare = program(w_TOI, BaseNoiseModel(), tile_key(1, 0)[None], 0)
    with pytest.raises(NotImplementedError, match="must define apply_programming_noise"):
        programmed_weights(bare)


@pytest.mark.parametrize(
    "converter",
    [
        SinglePairConductanceConverter(g_max=20.0, g_min=3.0),
        NPairConductanceConverter(f_lst=[1.0, 4.0], g_min=1.0),
        SingleDeviceConductanceConverter(),
    ],
    ids=lambda c: type(c).__name__,
)
def test_converters_stay_in_range_and_are_inverted(converter) -> None:
    w_OI = np.random.default_rng(0).normal(0, 0.2, (30, 40)).astype(np.float32)
    scale = converter.scale_of(w_OI)
    pairs = converter.convert_to_conductances(w_OI, scale)
    assert len(pairs) == converter.conductances()
    for g in pairs:
        assert g.dtype == np.float32
        assert g.min() >= converter.g_min - 1e-5
        assert g.max() <= converter.g_max + 1e-5
    np.testing.assert_allclose(converter.convert_back_to_weights(pairs, scale), w_OI, atol=1e-6)


def test_the_significant_pair_is_used_when_the_other_is_full() -> None:
    # 25 + 2 * 25 = 75 µS for 1: 0.25 is 18.75 µS on the first pair, 0.5 fills it and puts 6.25 on the second
    converter = NPairConductanceConverter(f_lst=[1.0, 2.0])
    w = np.array([[1.0, 0.25, -0.5]], np.float32)
    pairs = converter.convert_to_conductances(w, converter.scale_of(w))
    np.testing.assert_allclose(pairs[0], [[25.0, 18.75, 0.0]])
    np.testing.assert_allclose(pairs[1], [[0.0, 0.0, 25.0]])
    np.testing.assert_allclose(pairs[2], [[25.0, 0.0, 0.0]])
    np.testing.assert_allclose(pairs[3], [[0.0, 0.0, 6.25]])


def test_impossible_models_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"g_max = 30 µS is above 20\.7"):
        HermesNoiseModel(g_max=30.0)
    with pytest.raises(ConfigError, match="differ"):
        PCMLikeNoiseModel(g_max=30.0, g_converter=SinglePairConductanceConverter(g_max=25.0))
    with pytest.raises(ConfigError, match=r"g_min = 30 µS must be below g_max = 25 µS"):
        SinglePairConductanceConverter(g_min=30.0)
    with pytest.raises(ConfigError, match="did you mean 'prog_noise_scale'"):
        PCMLikeNoiseModel(prog_noise_scal=1.0)
    with pytest.raises(ConfigError, match="1 to 8 factors above 0"):
        NPairConductanceConverter(f_lst=[])


TECHNOLOGIES = {
    "PCM": PCMLikeNoiseModel(),
    "Hermes": HermesNoiseModel(),
    "Hermes, one device": HermesNoiseModel(num_devices=1),
    "Wan, where it was fitted": ReRamWan2022NoiseModel(g_max=40.0),
    "CMO": ReRamCMONoiseModel(),
    "CMO, 2 %": ReRamCMONoiseModel(acceptance_range=2.0),
    "state-independent": StateIndependentNoiseModel(),
}


@pytest.mark.parametrize("model", TECHNOLOGIES.values(), ids=TECHNOLOGIES)
def test_every_technology_programs_and_drifts(model: BaseNoiseModel) -> None:
    w_TOI = np.random.default_rng(0).normal(0, 0.2, (1, 20, 30)).astype(np.float32)
    state = program(w_TOI, model, tile_key(1, 0)[None], 0)
    late = weights_at(state, 86400.0, 1)
    assert np.isfinite(late).all()
    # one day leaves most of every technology's weight, with noise
    assert 0.3 < np.corrcoef(late.ravel(), w_TOI.ravel())[0, 1] < 1.0
