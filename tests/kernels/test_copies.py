"""A part of a matrix is copied whole, whoever copies it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from crossgrid.kernels.machine import copies
from crossgrid.kernels.machine.copies import copy_into, row_copier
from crossgrid.kernels.machine.threads import Call

PARTS = {
    "columns side by side": lambda whole: whole[1:8, 100:700],
    "every second column": lambda whole: whole[1:8, 100:700:2],
    "columns backward": lambda whole: whole[1:8, 700:100:-1],
    "rows backward": lambda whole: whole[8:1:-1, 100:700],
    "transposed": lambda whole: whole[1:8, 100:700].T,
    "one row": lambda whole: whole[1:2, 100:700],
    "none": lambda whole: whole[1:8, 100:100],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_copy_has_the_parts_numbers(
    name: str, dtype: type, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its layout and type, also where nobody may write to it; what is around it stays."""

    def call(work: float, worth: float) -> Call:
        return contextlib.nullcontext(threads if work else 1)

    monkeypatch.setattr(copies.PROCESSORS, "call", call)
    whole = np.random.default_rng(7).standard_normal((10, 1200)).astype(dtype)
    whole.flags.writeable = False
    part = PARTS[name](whole)
    found = np.full((part.shape[0] + 2, part.shape[1]), 5.0, np.float32)
    copy_into(part, found[1:-1])
    np.testing.assert_array_equal(found[1:-1], part.astype(np.float32))
    assert (found[[0, -1]] == 5.0).all()


def test_one_kernel_copies_all_layouts() -> None:
    """To compile another one takes seconds, and saves a millisecond."""
    assert len(row_copier().signatures) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(4, 5), (3, 6), (2, 5)])
def test_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 5\) cannot be written"):
        copy_into(np.zeros((3, 5), np.float32), np.zeros(shape, np.float32))
