"""The read against the formulas it states, the numpy reference, and itself cut in other ways."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import Periphery
from crossgrid.kernels.analog_mvm.cpu.read import MANY_LINES
from crossgrid.kernels.analog_mvm.parameters import (
    AnalogMVType,
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
    StandardIOParameters,
    WeightNoiseType,
)
from crossgrid.kernels.analog_mvm.rows import NO_BLOCK
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.rng import tile_key

TILES, OUT, IN, BATCH = 3, 13, 29, 5
BLOCKS_OF_TILES = np.array([0, 1, 1])


def bank(tiles: int = TILES, out: int = OUT, in_: int = IN) -> tuple[np.ndarray, np.ndarray]:
    """Keys, and weights that are multiples of 1/64: products with inputs on a coarse grid are exact."""
    rng = np.random.default_rng(3)
    keys = np.stack([tile_key(77, block) for block in range(tiles)])
    return keys, (rng.integers(-40, 41, (tiles, out, in_)) / 64).astype(np.float32)


def vectors(length: int, scale: float = 1.0, blocks: int = 2, batch: int = BATCH) -> np.ndarray:
    rng = np.random.default_rng(4)
    return (scale * rng.normal(size=(blocks, batch, length))).astype(np.float32)


def read(io, w, x, keys, direction="forward", backend="cpu", of_tile=BLOCKS_OF_TILES, tick=9):
    return Periphery(io, keys, *w.shape[1:], direction, backend_of(backend)).read(w, x, of_tile, tick)


QUIET = {"out_noise": 0.0, "bound_management": BoundManagementType.NONE}
CONFIGURATIONS = [
    pytest.param(IOParameters(), id="default"),
    pytest.param(IOParameters(out_bound=2.0), id="bound-management"),
    pytest.param(
        IOParameters(out_bound=1.0, bound_management=BoundManagementType.ITERATIVE_WORST_CASE),
        id="worst-case",
    ),
    pytest.param(IOParameters(out_bound=1.0, bm_test_negative_bound=False), id="positive-bound-only"),
    pytest.param(IOParameters(noise_management=NoiseManagementType.ABS_MAX_NP_SUM), id="np-sum"),
    pytest.param(IOParameters(noise_management=NoiseManagementType.MAX, nm_thres=0.7), id="max"),
    pytest.param(IOParameters(noise_management=NoiseManagementType.CONSTANT, nm_thres=2.0), id="constant"),
    pytest.param(IOParameters(noise_management=NoiseManagementType.AVERAGE_ABS_MAX), id="average"),
    pytest.param(IOParameters(noise_management=NoiseManagementType.NONE, inp_bound=2.0), id="unmanaged"),
    pytest.param(IOParameters(inp_sto_round=True, out_sto_round=True, inp_noise=0.1), id="random-converters"),
    pytest.param(IOParameters(inp_asymmetry=0.1, out_asymmetry=0.2, out_noise_std=0.3), id="asymmetries"),
    pytest.param(
        IOParameters(w_noise=0.1, w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT), id="additive-weight-noise"
    ),
    pytest.param(
        StandardIOParameters(
            w_noise=0.1, w_noise_type=WeightNoiseType.PCM_READ, ir_drop=1.0, ir_drop_g_ratio=500.0
        ),
        id="pcm-read-and-wires",
    ),
    pytest.param(
        IOParameters(out_nonlinearity=0.5, out_nonlinearity_std=0.2, slope_calibration=0.5, r_series=0.01,
                     v_offset_std=0.1), id="line-imperfections",
    ),
    pytest.param(
        IOParameters(mv_type=AnalogMVType.POS_NEG_SEPARATE, w_read_asymmetry_dtod=0.1), id="two-passes"
    ),
    pytest.param(
        IOParameters(mv_type=AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM, w_read_asymmetry_dtod=0.1,
                     out_bound=2.0), id="two-passes-digital-sum",
    ),
]  # fmt: skip


@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_cpu_agrees_with_the_reference(io: IOParameters, direction: str) -> None:
    keys, w = bank()
    x = vectors(IN if direction == "forward" else OUT)
    expected, expected_counts = read(io, w, x, keys, direction, "naive")
    actual, counts = read(io, w, x, keys, direction, "cpu")
    # same numbers up to float32's rounding, which may tip a converter by one step of one read's scale
    step = io.out_res * 2 * io.out_bound * np.abs(x).max() * 16
    assert np.mean(np.abs(actual - expected) > 1e-4) < 0.02
    assert np.abs(actual - expected).max() <= step + 1e-4
    np.testing.assert_array_equal(counts.vectors, expected_counts.vectors)
    np.testing.assert_array_equal(counts.retries, expected_counts.retries)


@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_no_configuration_needs_a_kernel_of_its_own(io: IOParameters, direction: str) -> None:
    """Numba compiles the read, half a minute of it, for each layout of an array that it is given."""
    keys, _ = bank()
    usual, this = Periphery(IOParameters(), keys, OUT, IN), Periphery(io, keys, OUT, IN, direction)
    assert numba.typeof(this.spread) == numba.typeof(usual.spread)


@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_bits_do_not_depend_on_batch_stack_or_threads(io: IOParameters, direction: str) -> None:
    keys, w = bank()
    x = vectors(IN if direction == "forward" else OUT)
    whole, _ = read(io, w, x, keys, direction)
    for t in range(TILES):
        alone = Periphery(io, keys[t : t + 1], OUT, IN, direction)
        for b in range(BATCH):
            one, _ = alone.read(w[t : t + 1], x[BLOCKS_OF_TILES[t], b][None, None], np.zeros(1, int), 9 + b)
            np.testing.assert_array_equal(one[0, 0], whole[t, b])


@pytest.mark.parametrize("batch", range(1, 14))
def test_bits_do_not_depend_on_how_many_vectors_a_block_takes(batch: int) -> None:
    """Vectors are multiplied by threes and pairs, what is left alone."""
    keys, w = bank(1)
    x, one_tile = vectors(IN, blocks=1, batch=batch), np.zeros(1, int)
    reader = Periphery(IOParameters(), keys, OUT, IN)
    together, _ = reader.read(w, x, one_tile, 0)
    for b in range(batch):
        alone, _ = reader.read(w, x[:, b : b + 1], one_tile, b)
        np.testing.assert_array_equal(alone[:, 0], together[:, b])


def test_bits_do_not_depend_on_how_many_columns_are_read_together() -> None:
    tiles, columns = 8, 523
    assert tiles * columns >= MANY_LINES
    keys, w = bank(tiles, 70, columns)
    d = vectors(70, blocks=1)
    together, _ = read(IOParameters(), w, d, keys, "backward", of_tile=np.zeros(tiles, int))
    for t in (0, 7):
        alone, _ = read(
            IOParameters(), w[t : t + 1], d, keys[t : t + 1], "backward", of_tile=np.zeros(1, int)
        )
        np.testing.assert_array_equal(alone[0], together[t])


@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_column_that_is_taken_is_the_whole_sum(io: IOParameters, direction: str) -> None:
    """A vector of one input takes a column of w, but beside a dense vector it goes through the product."""
    length, lines = 131, 70
    keys, _ = bank(1)
    shape = (1, lines, length) if direction == "forward" else (1, length, lines)
    w = np.random.default_rng(5).normal(0, 0.3, shape).astype(np.float32)
    x = np.zeros((1, 20, length), np.float32)
    for b in range(19):  # the last stays zero
        x[0, b, (37 * b) % length] = (-1) ** b * 0.1 * (b + 1)
    beside = np.concatenate([x, vectors(length, blocks=1, batch=1)], axis=1)
    of_tile = np.zeros(1, int)
    taken, _ = read(io, w, x, keys, direction, of_tile=of_tile)
    whole, _ = read(io, w, beside, keys, direction, of_tile=of_tile)
    np.testing.assert_array_equal(taken[0], whole[0, :20])


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize("io", CONFIGURATIONS)
def test_a_tile_without_a_block_is_not_read(io: IOParameters, backend: str) -> None:
    keys, w = bank()
    x = vectors(IN)
    whole, counts = read(io, w, x, keys, backend=backend, of_tile=np.array([0, 1, 0]))
    reader = Periphery(io, keys, OUT, IN, backend=backend_of(backend))
    some, of_some = reader.read(w, x, np.array([0, NO_BLOCK, 0]), 9)
    np.testing.assert_array_equal(some, whole[[0, 2]])
    for of_all, of_part in zip(counts[:4], of_some[:4], strict=True):
        np.testing.assert_array_equal(of_part, of_all * [1, 0, 1])
    assert (reader.average_T[1] < 0).all()


def test_bits_do_not_depend_on_threads_when_the_work_is_shared() -> None:
    keys, w = bank(2, 130, 65)
    x = vectors(65, batch=101)
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(read(IOParameters(out_bound=3.0), w, x, keys, of_tile=np.array([0, 1]))[0])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_converters_are_bit_exact(backend: str) -> None:
    """y = clip(Q(W clip(Q(x / a, 2 b res), b), 2 B Res), B) a all exact in float32."""
    io = IOParameters(inp_res=1 / 32, out_res=1 / 64, out_bound=4.0, **QUIET)
    keys, w = bank(1)
    x = vectors(IN, blocks=1)
    alpha = np.abs(x[0]).max(axis=1, keepdims=True)
    u = np.clip(np.float32(1 / 16) * np.rint(x[0] / alpha / np.float32(1 / 16)), -1, 1)
    y = u.astype(np.float64) @ w[0].T.astype(np.float64)
    expected = np.clip(0.125 * np.rint(y / 0.125), -4, 4).astype(np.float32) * alpha
    actual, counts = read(io, w, x, keys, backend=backend, of_tile=np.zeros(1, int))
    np.testing.assert_array_equal(actual[0], expected)
    assert counts.adc_clips[0] == (np.abs(0.125 * np.rint(y / 0.125)) > 4).sum()


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize(
    ("bound", "rounds"), [(8.5, 0), (4.5, 1), (2.5, 2), (1.5, 3), (0.6, 4), (0.1, 4)], ids=str
)
def test_number_of_bound_management_rounds(backend: str, bound: float, rounds: int) -> None:
    """W = 1/2, x = 1 on 16 lines: y = 8 / 2^k; at the default DAC 16 is the last factor tried."""
    io = IOParameters(out_bound=bound, out_noise=0.0, out_res=0.0)
    w, x = np.full((1, 3, 16), 0.5, np.float32), np.ones((1, 2, 16), np.float32)
    y, counts = read(io, w, x, np.zeros((1, 2), np.uint32), backend=backend, of_tile=np.zeros(1, int))
    assert counts.retries[0] == 2 * rounds
    if bound > 0.5:
        # 1 / (16 * step) is not on the DAC's grid of 1/63: the value that is read is
        step = np.float32(1 / 63)
        u = np.rint(np.float32(1 / 2**rounds) / step) * step
        np.testing.assert_allclose(y, 8 * u * 2**rounds, rtol=1e-6)
        assert counts.adc_clips[0] == 0
    else:
        np.testing.assert_allclose(y, bound * 16, rtol=1e-6)
        assert counts.adc_clips[0] == 6


def test_backward_has_no_bound_management() -> None:
    keys, w = bank()
    _, counts = read(IOParameters(out_bound=0.2), w, vectors(OUT), keys, "backward")
    assert counts.retries.sum() == 0
    assert counts.adc_clips.sum() > 0


@pytest.mark.parametrize(
    ("io", "variance"),
    [
        pytest.param(IOParameters(out_noise=0.06, out_res=0), 0.06**2, id="output"),
        # ||u||^2 = 16
        pytest.param(
            IOParameters(out_noise=0, out_res=0, w_noise=0.1, w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT),
            0.01 * 16, id="additive",
        ),
        # sum |w| u^2 = 0.25 * 16
        pytest.param(
            IOParameters(out_noise=0, out_res=0, w_noise=0.1, w_noise_type=WeightNoiseType.PCM_READ),
            0.01 * 4, id="pcm-read",
        ),
        # sum w^2 s^2 = 16 * 0.0625 * 0.04
        pytest.param(IOParameters(out_noise=0, out_res=0, inp_noise=0.2), 0.04, id="input"),
        # a uniform dither leaves f (1 - f) steps^2 with f the fraction: 4 / 0.3 = 13 + 1/3
        pytest.param(
            IOParameters(out_noise=0, out_res=0.3 / 24, out_sto_round=True), 0.09 * 2 / 9, id="rounding"
        ),
    ],
)  # fmt: skip
def test_noise_has_the_stated_variance(io: IOParameters, variance: float) -> None:
    lines, batch = 8, 4000
    w, x = np.full((1, lines, 16), 0.25, np.float32), np.ones((1, batch, 16), np.float32)
    y, _ = read(io, w, x, np.array([[5, 6]], np.uint32), of_tile=np.zeros(1, int))
    independent = batch if io.inp_noise > 0 else batch * lines  # input noise is common to all lines
    # mean and variance of n normals: 5 standard errors
    assert abs(y.mean() - 4.0) < 5 * np.sqrt(variance / independent)
    assert abs(y.var() / variance - 1) < 5 * np.sqrt(2 / independent)


def test_wire_drop_on_constant_weights() -> None:
    """All w and u equal: current = n w u, and the profile sums to n (1 - sum_j (1 - j/n)^2 / n)."""
    n, w_value, ratio = 8, 0.5, 100.0
    io = IOParameters(ir_drop=1.0, ir_drop_g_ratio=ratio, out_res=0.0, inp_res=0.0, **QUIET)
    a = n / ratio * n * w_value
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    weighted = w_value * sum(1 - (1 - j / n) ** 2 for j in range(n))
    w, x = np.full((1, 4, n), w_value, np.float32), np.ones((1, 1, n), np.float32)
    y, _ = read(io, w, x, np.zeros((1, 2), np.uint32), of_tile=np.zeros(1, int))
    np.testing.assert_allclose(y, n * w_value - c * weighted, rtol=1e-6)


def test_perfect_is_the_product() -> None:
    keys, w = bank()
    x = np.rint(8 * vectors(IN)) / 8
    y, _ = read(IOParameters(is_perfect=True, out_scale=2.0), w, x, keys)
    np.testing.assert_array_equal(y, 2 * np.einsum("toi,tbi->tbo", w, x[BLOCKS_OF_TILES]))


def test_a_zero_vector_reads_as_zero() -> None:
    keys, w = bank()
    y, counts = read(IOParameters(out_bound=0.01), w, 0 * vectors(IN), keys)
    assert not y.any()
    assert counts.retries.sum() == counts.adc_clips.sum() == 0


def test_state_of_the_running_average_survives() -> None:
    io = IOParameters(noise_management=NoiseManagementType.AVERAGE_ABS_MAX)
    keys, w = bank()
    x = vectors(IN)
    one, other = (Periphery(io, keys, OUT, IN) for _ in range(2))
    one.read(w, x, BLOCKS_OF_TILES, 0)
    other.load_state(one.state())
    again = [p.read(w, 3 * x, BLOCKS_OF_TILES, 5)[0] for p in (one, other)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("backend", ["naive", "cpu"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(backend: str, bad: float) -> None:
    keys, w = bank()
    x = vectors(IN)
    x[1, 2, 7] = bad
    with pytest.raises(InputError, match=f"input 7 of vector 7 is {bad}"):
        read(IOParameters(), w, x, keys, backend=backend)


def test_wrong_shapes_are_refused() -> None:
    keys, w = bank()
    with pytest.raises(InputError, match="last dimension must be 29"):
        read(IOParameters(), w, vectors(IN + 1), keys)
    with pytest.raises(InputError, match="these tiles hold"):
        Periphery(IOParameters(), keys, OUT, IN).read(w[:, :-1], vectors(IN), BLOCKS_OF_TILES, 0)
    with pytest.raises(InputError, match="one of 2 input blocks"):
        read(IOParameters(), w, vectors(IN), keys, of_tile=np.array([0, 1, 2]))


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be 1 with noise management AbsMax"):
        IOParameters(inp_bound=2.0)
    with pytest.raises(ConfigError, match="finite"):
        IOParameters(out_res=float("nan"))
    with pytest.raises(ConfigError, match="did you mean 'ABS_MAX'"):
        IOParameters(noise_management="AbsMaxx")
