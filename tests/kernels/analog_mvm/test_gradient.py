"""dL/dW = d^T x: exact on small integers, the same bits for any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from crossgrid.kernels.analog_mvm.cpu.gradient import SERIAL_WORK, weight_gradient

SHAPES = [(1, 1, 1), (5, 33, 27), (3, 65, 130), (70, 7, 9), (16, 200, 301)]


@pytest.mark.parametrize(("batch", "out_size", "in_size"), SHAPES)
def test_it_is_the_sum_of_outer_products(batch: int, out_size: int, in_size: int) -> None:
    rng = np.random.default_rng(1)
    # small integers: every sum is exact in float32
    x_BI = rng.integers(-8, 9, (batch, in_size)).astype(np.float32)
    d_BO = rng.integers(-8, 9, (batch, out_size)).astype(np.float32)
    grad_OI = np.full((out_size, in_size), np.nan, np.float32)
    weight_gradient(x_BI, d_BO, grad_OI)
    np.testing.assert_array_equal(grad_OI, np.einsum("bo,bi->oi", d_BO, x_BI))


def test_threads_do_not_change_a_bit() -> None:
    rng = np.random.default_rng(2)
    x_BI, d_BO = (rng.standard_normal((16, n)).astype(np.float32) for n in (301, 200))
    assert SERIAL_WORK < 16 * 301 * 200
    grads = []
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        try:
            grads.append(np.empty((200, 301), np.float32))
            weight_gradient(x_BI, d_BO, grads[-1])
        finally:
            numba.set_num_threads(before)
    np.testing.assert_array_equal(*grads)
