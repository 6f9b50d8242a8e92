"""Copies of parts of matrices by all threads: one alone takes what a processor's memory gives to one."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange, types
from numpy.typing import NDArray

from .jit import kernel
from .threads import PROCESSORS

SERIAL_WORK = 1 << 17  # values below which a second thread costs more than it saves

#: rows or columns side by side, strided or read-only: one kernel copies them all
ANY_LAYOUT = types.void(types.Array(types.float32, 2, "A", readonly=True), types.float32[:, :])


def _copy_rows(from_OI, to_OI):
    for row in prange(len(from_OI)):
        to_OI[row] = from_OI[row]


@functools.cache
def row_copier() -> Callable[[NDArray[np.float32], NDArray[np.float32]], Any]:
    """``_copy_rows``, compiled."""
    return kernel(_copy_rows, ANY_LAYOUT, parallel=True)


def copy_into(from_OI: NDArray[np.float32], to_OI: NDArray[np.float32]) -> None:
    """Write a matrix, or a part of a larger one, over another of its shape.

    Raises:
        ValueError: it has another shape.
    """
    if from_OI.shape != to_OI.shape:
        raise ValueError(f"a matrix of shape {from_OI.shape} cannot be written over one of {to_OI.shape}")
    apart = not from_OI.flags.c_contiguous and from_OI.dtype == to_OI.dtype == np.float32
    with PROCESSORS.call(from_OI.size if apart else 0, SERIAL_WORK) as threads:
        if threads > 1:
            row_copier()(from_OI, to_OI)
        else:
            to_OI[...] = from_OI
