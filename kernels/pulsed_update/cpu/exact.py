"""The exact outer product, vector after vector, compiled: for digital weights and updates without pulses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ...machine.jit import kernel
from ...machine.threads import PROCESSORS

SERIAL_WORK = 100_000


def outer(w_TOI, p_TOIP, bounded, x_XBI, x_of_T, d_DBO, d_of_T, rate):  # type: ignore[no-untyped-def]
    """w <- w - rate d x for every vector, clipped to the bounds p[0], p[1] after each if ``bounded``."""
    tiles, rows, columns = w_TOI.shape
    for r in prange(tiles * rows):
        t = r // rows
        row = r - t * rows
        w_I, p_IP = w_TOI[t, row], p_TOIP[t % p_TOIP.shape[0], row % p_TOIP.shape[1]]
        for b in range(x_XBI.shape[1]):
            scale = rate * d_DBO[d_of_T[t], b, row]
            if scale == np.float32(0.0):
                continue
            x_I = x_XBI[x_of_T[t], b]
            for i in range(columns):
                w_I[i] -= scale * x_I[i]
            if bounded:
                for i in range(columns):
                    w_I[i] = min(max(w_I[i], p_IP[i, 0]), p_IP[i, 1])


_serial = kernel(outer)
_threaded = kernel(outer, parallel=True)
_NO_BOUNDS = np.zeros((1, 1, 1, 2), np.float32)


def update_exactly(
    w_TOI: Any, p_TOIP: Any, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, rate: Any
) -> None:
    """The exact update in place; ``p_TOIP`` None: no bounds."""
    bounded = p_TOIP is not None
    with PROCESSORS.call(w_TOI.size * x_XBI.shape[1], SERIAL_WORK) as threads:
        outer_product = _threaded if threads > 1 else _serial
        outer_product(w_TOI, p_TOIP if bounded else _NO_BOUNDS, bounded, x_XBI, x_of_T, d_DBO, d_of_T, rate)
