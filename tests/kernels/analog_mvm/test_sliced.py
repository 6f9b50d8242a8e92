"""The sliced read: noises against their definition, the reference, and itself cut in other ways."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from crossgrid.kernels.analog_mvm import SlicedIOParameters, periphery
from crossgrid.kernels.analog_mvm.parameters import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from crossgrid.kernels.backends import backend_of
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.rng import tile_key

TILES, OUT, IN, BATCH = 3, 13, 29, 5
BLOCKS_OF_TILES = np.array([0, 1, 1])
#: 8-bit weights on four cells of 2 bits, 6-bit inputs two bits a pass
CUT: dict[str, Any] = {
    "weight_bits": 8, "cell_bits": 2, "slices": 4, "offset": True, "input_bits": 6, "dac_bits": 2,
    "inp_res": 1 / 62, "out_bound": 0.0, "adc_step": 4.0, "adc_limit": 29 * 9.0,
}  # fmt: skip
RANGED: dict[str, Any] = {**CUT, "out_bound": 4.0, "adc_limit": 36.0, "adc_step": 0.5}
NEGATIVE_READS = {"mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM, "w_read_asymmetry_dtod": 0.1}
CONFIGURATIONS = [
    pytest.param(CUT, id="default"),
    pytest.param(RANGED, id="bound-management"),
    pytest.param({**CUT, "phases": 2, "lines_per_adc": 8, "out_noise_std": 0.3}, id="two-phases"),
    pytest.param({**CUT, "phases": 4, "offset": False, "out_noise_std": 0.3}, id="four-phases"),
    pytest.param({**CUT, "inp_sto_round": True, "inp_noise": 0.05, "out_sto_round": True}, id="at-random"),
    pytest.param({**CUT, "w_noise": 0.05, "w_noise_type": WeightNoiseType.PCM_READ}, id="pcm-read"),
    pytest.param({**CUT, "w_noise": 0.05, "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT}, id="additive"),
    pytest.param({**CUT, "ir_drop": 1.0, "ir_drop_g_ratio": 500.0, "out_asymmetry": 0.1}, id="wires"),
    pytest.param({**CUT, "out_nonlinearity": 0.2, "out_nonlinearity_std": 0.2, "v_offset_std": 0.1,
                  "r_series": 0.01}, id="line-imperfections"),
    pytest.param({**CUT, **NEGATIVE_READS}, id="two-passes"),
    pytest.param({**CUT, "noise_management": NoiseManagementType.AVERAGE_ABS_MAX}, id="average"),
]  # fmt: skip


def bank() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    keys = np.stack([tile_key(77, block) for block in range(TILES)])
    return keys, draw.uniform(-1, 1, (TILES, OUT, IN)).astype(np.float32)


def vectors(length: int) -> np.ndarray:
    x = np.random.default_rng(4).normal(size=(2, BATCH, length)).astype(np.float32)
    x[0, 1] = 0  # a silent vector
    return x


@pytest.mark.parametrize("fields", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_cpu_agrees_with_the_reference(fields: dict[str, Any], direction: Any) -> None:
    keys, w = bank()
    io, x = SlicedIOParameters(**fields), vectors(IN if direction == "forward" else OUT)
    expected, actual = (
        periphery(io, keys, OUT, IN, direction, backend_of(backend)).read(w, x, BLOCKS_OF_TILES, 9)
        for backend in ("naive", "cpu")
    )
    # float32's rounding may tip a conversion by a code of the lowest or of the highest slice and pass
    largest = io.adc_step * 4.0**3 * 4.0**2 / (127 * 31) * np.abs(x).max() * 2
    assert np.mean(np.abs(actual[0] - expected[0]) > 1e-4) < 0.05
    assert np.abs(actual[0] - expected[0]).max() <= largest + 1e-4
    np.testing.assert_array_equal(actual[1].retries, expected[1].retries)
    np.testing.assert_array_equal(actual[1].conversions, expected[1].conversions)
    if io.inp_noise == 0:  # else a silent vector is read for its noise
        np.testing.assert_array_equal(actual[0][0, 1], 0)


@pytest.mark.parametrize("fields", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_bits_do_not_depend_on_batch_or_stack(fields: dict[str, Any], direction: Any) -> None:
    keys, w = bank()
    io, x = SlicedIOParameters(**fields), vectors(IN if direction == "forward" else OUT)
    whole, _ = periphery(io, keys, OUT, IN, direction).read(w, x, BLOCKS_OF_TILES, 9)
    for t in range(TILES):
        alone = periphery(io, keys[t : t + 1], OUT, IN, direction)
        for b in range(BATCH):
            one, _ = alone.read(w[t : t + 1], x[BLOCKS_OF_TILES[t], b][None, None], np.zeros(1, int), 9 + b)
            np.testing.assert_array_equal(one[0, 0], whole[t, b])


def test_bits_do_not_depend_on_threads() -> None:
    keys, draw = tile_key(5, 0)[None], np.random.default_rng(1)
    w, x = draw.uniform(-1, 1, (1, 100, 65)), draw.uniform(-1, 1, (1, 61, 65))
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(periphery(SlicedIOParameters(**CUT), keys, 100, 65).read(w, x, np.zeros(1, int), 0)[0])
    np.testing.assert_array_equal(*results)


def quiet_read(x_BI: np.ndarray, w_OI: np.ndarray, **fields: Any) -> np.ndarray:
    settings = {
        **CUT, "adc_step": 1e-3, "out_noise": 0.0, "noise_management": NoiseManagementType.NONE,
        "bound_management": BoundManagementType.NONE, **fields,
    }  # fmt: skip
    io = SlicedIOParameters(**settings)
    reader = periphery(io, tile_key(7, 0)[None], *w_OI.shape)
    return reader.read(w_OI[None], x_BI[None], np.zeros(1, int), 0)[0][0]


def test_output_noise_is_drawn_for_every_conversion() -> None:
    """Each of 4 x 3 conversions errs by out_noise of a largest product (9 digits), shifted and added.

    40,000 outputs: the sample deviation's relative error is 1 / sqrt(2 * 40000) = 0.35 %; five of them.
    """
    w_OI, x_BI = np.zeros((40, 8), np.float32), np.ones((1000, 8), np.float32)
    y = quiet_read(x_BI, w_OI, out_noise=0.05, adc_limit=1e4)
    squared = sum(16.0**s for s in range(4)) * sum(16.0**p for p in range(3))
    expected = 0.05 * 9 * np.sqrt(squared) / (127 * 31)
    assert (y - y.mean(axis=0)).std() == pytest.approx(expected, rel=0.018)
    # neighbouring outputs and vectors share no noise: 40,000 pairs, five standard errors
    residual = y - y.mean()
    assert abs(np.corrcoef(residual[:, :-1].ravel(), residual[:, 1:].ravel())[0, 1]) < 0.025
    assert abs(np.corrcoef(residual[:-1].ravel(), residual[1:].ravel())[0, 1]) < 0.025


def test_input_noise_is_one_for_all_slices_of_a_pass() -> None:
    """A line's noise in a pass is 0.1 of its largest digit, 3, and every column of cells sees the same.

    So for a single input of code 0 and a weight of code w (with the offset w + 128):
    y = sum_p 4^p 0.3 xi_p (w + 128) / (127 * 31). 20,000 vectors: five relative standard errors of 0.5 %.
    """
    w_OI = np.array([[-1.0], [0.0], [1.0]], np.float32)
    y = quiet_read(np.zeros((20_000, 1), np.float32), w_OI, inp_noise=0.1, adc_limit=1e5, adc_step=1e-5)
    sigma = 0.1 * 3 * np.sqrt(sum(16.0**p for p in range(3))) * (np.array([-127, 0, 127]) + 128) / (127 * 31)
    np.testing.assert_allclose(y.std(axis=0), sigma, rtol=0.025)
    assert np.corrcoef(y[:, 1], y[:, 2])[0, 1] > 0.999


def test_stochastic_rounding_keeps_the_mean_of_an_input() -> None:
    """An input a third of the way between two codes: mean within five standard errors of 20,000 draws."""
    x = np.full((20_000, 1), (10 + 1 / 3) / 31, np.float32)
    y = quiet_read(x, np.ones((1, 1), np.float32), inp_sto_round=True)
    assert set(np.round(y.ravel() * 31, 3)) == {10.0, 11.0}
    assert y.mean() * 31 == pytest.approx(10 + 1 / 3, abs=5 * np.sqrt(2 / 9 / 20_000))


def test_bound_management_reads_again_at_half_the_input() -> None:
    """A range of one product: ten full products clip; at an eighth of the input they do not."""
    w_OI, x_BI = np.ones((1, 10), np.float32), np.ones((1, 10), np.float32)
    fields = {**CUT, "out_bound": 2.0, "adc_limit": 18.0, "adc_step": 1.0, "out_noise": 0.0}

    def read(**more: Any) -> Any:
        reader = periphery(SlicedIOParameters(**{**fields, **more}), tile_key(1, 0)[None], 1, 10)
        return reader.read(w_OI[None], x_BI[None], np.zeros(1, int), 0)

    y, counts = read()
    clipped, _ = read(bound_management=BoundManagementType.NONE)
    assert counts.retries[0] > 0
    assert counts.conversions[0] == 12 * (1 + counts.retries[0])
    assert abs(y[0, 0, 0] - 10) < abs(clipped[0, 0, 0] - 10)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"weight_bits": 1}, "must be at least 2"), ({"adc_step": 0.0}, "must be above 0"),
     ({"cell_bit": 2}, "did you mean 'cell_bits'")],
)  # fmt: skip
def test_mistakes_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SlicedIOParameters(**fields)
