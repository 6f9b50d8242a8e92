"""Copies of parts of matrices by all threads: one alone takes what a processor's memory gives to one."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .jit import kernel
from .threads import PROCESSORS

SERIAL_WORK = 1 << 17  # values below which a second thread costs more than it saves


def _copy_rows(from_OI, to_OI):
    for row in prange(len(from_OI)):
        to_OI[row] = from_OI[row]


_COPY = kernel(_copy_rows, parallel=True)


def copy_into(from_OI: NDArray[np.float32], to_OI: NDArray[np.float32]) -> None:
    """Write a matrix, or a part of a larger one, over another.

    One whose rows follow one another is left to numpy: the kernel would be compiled once more for it.
    """
    apart = not from_OI.flags.c_contiguous and from_OI.dtype == to_OI.dtype
    with PROCESSORS.call(from_OI.size if apart else 0, SERIAL_WORK) as threads:
        if threads > 1:
            _COPY(from_OI, to_OI)
        else:
            to_OI[...] = from_OI
