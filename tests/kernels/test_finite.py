"""One pass over the numbers finds what is not finite."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels.finite import all_finite

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
