"""The digital gradient of a weight matrix, dL/dW = d^T x, of a fixed summation order.

A BLAS gives other bits with other numbers of threads, and is slow where few vectors meet a large matrix:
writing the matrix is then most of the work.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ...machine.jit import kernel
from ...machine.threads import PROCESSORS
from .product import View, transposed_product

ROWS_A_TASK = 32
SERIAL_WORK = 400_000  # multiply-adds that a second thread is not worth waking for


@numba.njit(error_model="numpy")
def gradient_rows(task, x_BI, d_OB, grad_OI):
    vectors, columns = x_BI.shape
    first = task * ROWS_A_TASK
    rows = min(ROWS_A_TASK, len(d_OB) - first)
    x, d = View(x_BI.reshape(-1), 0, columns), View(d_OB.reshape(-1), first * vectors, vectors)
    transposed_product(x, d, View(grad_OI.reshape(-1), first * columns, columns), columns, rows, vectors)


def _gradient(x_BI, d_OB, grad_OI):
    for task in numba.prange((len(d_OB) + ROWS_A_TASK - 1) // ROWS_A_TASK):
        gradient_rows(np.int64(task), x_BI, d_OB, grad_OI)


_serial, _threaded = kernel(_gradient), kernel(_gradient, parallel=True)


def weight_gradient(
    x_BI: NDArray[np.float32], d_BO: NDArray[np.float32], grad_OI: NDArray[np.float32]
) -> None:
    """Write dL/dW[out, in] of inputs x[B, in] and output gradients d[B, out]; all C-contiguous float32."""
    d_OB = np.ascontiguousarray(d_BO.T)
    with PROCESSORS.call(grad_OI.size * len(x_BI), SERIAL_WORK) as threads:
        (_threaded if threads > 1 else _serial)(x_BI, d_OB, grad_OI)
