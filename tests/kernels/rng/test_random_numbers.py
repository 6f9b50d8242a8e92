"""Random numbers: published vectors, and the statistics of what is made of them."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from philox_vectors import KNOWN_ANSWERS

from crossgrid.kernels.backends import CPU, NAIVE
from crossgrid.kernels.rng import Stream, counter_high, tile_key
from crossgrid.kernels.rng import cpu as rng_cpu
from crossgrid.kernels.rng.formulas import normal_pair
from crossgrid.kernels.rng.naive import philox4x32

NEIGHBOURS = {"column": (0, 1), "row": (1, 0), "diagonal": (1, 1)}


@numba.njit
def _compiled_words(key, counter):
    return rng_cpu.philox4x32(key[0], key[1], counter[0], counter[1], counter[2], counter[3])


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers_of_random123_in_numpy_and_numba(counter, key, words):
    counter, key = np.array(counter, np.uint32), np.array(key, np.uint32)
    assert philox4x32(key, counter).tolist() == list(words)
    assert [int(word) for word in _compiled_words(key, counter)] == list(words)


def test_numpy_and_numba_draw_the_same_bits():
    keys = np.stack([tile_key(3, block) for block in range(2)])
    high = counter_high(Stream.STEP_NOISE, (1 << 40) + 5, 7)
    naive = NAIVE.crosspoints.words(keys, 2, 9, 13, *high)
    assert np.array_equal(naive, CPU.crosspoints.words(keys, 2, 9, 13, *high))
    normals = np.stack([*normal_pair(naive[0]), *normal_pair(naive[1])])
    assert np.array_equal(normals, CPU.crosspoints.normals(keys, 2, 9, 13, *high))
    assert np.array_equal(normals, NAIVE.crosspoints.normals(keys, 2, 9, 13, *high))


def _normals(rows: int, columns: int) -> np.ndarray:
    high = counter_high(Stream.STEP_NOISE, 11)
    return CPU.crosspoints.normals(tile_key(1, 0)[None], 0, rows, columns, *high)[:, 0]


def _check_normality(values: np.ndarray) -> None:
    """Moments and a chi-square over bins out to 4 sigma and beyond."""
    n = values.size
    # standard errors of mean, variance, skewness and kurtosis of n normals: 1, 2, 6, 24 over n
    moments = [values.mean(), (values**2).mean() - 1, (values**3).mean(), (values**4).mean() - 3]
    for moment, variance in zip(moments, (1.0, 2.0, 15.0, 96.0), strict=True):
        assert abs(moment) < 4.5 * math.sqrt(variance / n)
    edges = np.concatenate([[-np.inf], np.linspace(-4.0, 4.0, 65), [np.inf]])
    below = np.array([0.5 * math.erfc(-edge / math.sqrt(2.0)) for edge in edges])
    expected = n * np.diff(below)
    counts = np.histogram(values, edges)[0]
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # 65 degrees of freedom: mean 65, standard deviation sqrt(130); beyond mean + 4.5 sd once in 10^4
    assert chi_square < 65 + 4.5 * math.sqrt(130)


def test_normals_are_normal_to_four_sigma():
    _check_normality(_normals(500, 500).astype(np.float64).ravel())


@pytest.mark.slow
def test_ten_million_normals_are_normal_to_four_sigma():
    _check_normality(_normals(1600, 1600).astype(np.float64).ravel())


@pytest.mark.parametrize("shift", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_neighbouring_addresses_are_uncorrelated(shift):
    values = _normals(500, 500).astype(np.float64)
    down, right = shift
    a = values[:, : 500 - down, : 500 - right]
    b = values[:, down:, right:]
    for first in range(4):
        for second in range(4):
            # a product of independent standard normals has variance 1
            assert abs((a[first] * b[second]).mean()) < 4.5 / math.sqrt(a[first].size)
            if first != second:
                assert abs((values[first] * values[second]).mean()) < 4.5 / math.sqrt(values[first].size)


def test_neighbouring_ticks_streams_and_tiles_are_uncorrelated():
    def drawn(stream: int, tick: int, block: int) -> np.ndarray:
        key = tile_key(1, block)[None]
        return CPU.crosspoints.normals(key, 0, 300, 300, *counter_high(stream, tick))[0, 0].astype(np.float64)

    base = drawn(Stream.STEP_NOISE, 5, 0)
    for other in (
        drawn(Stream.STEP_NOISE, 6, 0), drawn(Stream.WRITE_NOISE, 5, 0), drawn(Stream.STEP_NOISE, 5, 1),
        drawn(Stream.STEP_NOISE, 5 + (1 << 32), 0),
    ):  # fmt: skip
        assert abs((base * other).mean()) < 4.5 / math.sqrt(base.size)
