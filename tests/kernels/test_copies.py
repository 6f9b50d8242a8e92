"""A part of a matrix is copied whole, whoever copies it."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels.machine.copies import SERIAL_WORK, copy_into


@pytest.mark.parametrize("rows", [1, 7, 600])  # the last for all threads
@pytest.mark.parametrize("step", [1, 2, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_has_the_parts_numbers(rows: int, step: int, dtype: type) -> None:
    """Small or large, of columns side by side or apart, of another type too; what is around it stays."""
    whole = np.random.default_rng(rows).standard_normal((rows + 2, 1200)).astype(dtype)
    part = whole[1 : rows + 1, 100:700][:, ::step]
    assert part.size < SERIAL_WORK or rows == 600
    found = np.full((rows + 2, part.shape[1]), 5.0, np.float32)
    copy_into(part, found[1 : rows + 1])
    np.testing.assert_array_equal(found[1 : rows + 1], part.astype(np.float32))
    assert (found[[0, -1]] == 5.0).all()
