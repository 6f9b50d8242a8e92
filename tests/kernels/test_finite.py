"""One pass over the numbers finds what is not finite, or adds their magnitudes."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels.finite import add_magnitudes, all_finite

LARGEST = np.finfo(np.float32).max


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_one_that_is_not_finite_is_found_wherever_it_is(bad: float, size: int) -> None:
    for place in {0, size // 2, size - 1}:
        values = np.linspace(-1, 1, size).astype(np.float32)
        assert all_finite(values)
        values[place] = bad
        assert not all_finite(values)


def test_all_other_floats_are_finite() -> None:
    """Also those whose sum is not, which is why they are not added."""
    tiny = np.nextafter(np.float32(0), np.float32(1))
    assert all_finite(np.array([LARGEST, LARGEST, -LARGEST, tiny, 0.0, -0.0], np.float32))
    assert all_finite(np.zeros(0, np.float32))


@pytest.mark.parametrize(("vectors", "lines"), [(1, 1), (3, 7), (64, 33), (17, 9000)])
def test_magnitudes_are_added_as_numpy_adds_them(vectors: int, lines: int) -> None:
    """In float64, vector by vector, those of one call before they meet the total."""
    y_BL = np.random.default_rng(lines).standard_normal((2, vectors, lines)).astype(np.float32)
    total_L, expected_L = np.zeros(lines), np.zeros(lines)
    for each_BL in y_BL:
        add_magnitudes(each_BL, total_L)
        expected_L = expected_L + np.sum(np.abs(each_BL), axis=0, dtype=np.float64)
    np.testing.assert_array_equal(total_L, expected_L)
