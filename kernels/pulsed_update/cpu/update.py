"""The pulsed update on the CPU: a chunk of vectors after the other, rows in parallel.

The trains of a chunk's vectors come first (``trains``): for each vector the columns that fire, those of
positive inputs and those of negative ones apart, and a code for each row. Then blocks of rows take what
coincides (``rows``).
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange

from ...machine.jit import kernel
from ..rule import Looks
from .plan import OK, Inputs, plan
from .rows import Devices, Pulsing, pulse_rows
from .steps import applier, applier_at
from .trains import empty_trains, make_chunk

CHUNK_LINES = 1 << 18  # lines whose trains are kept at a time, to stay in the cache
SERIAL_WORK = 500_000  # crosspoints times vectors that one thread does before another has begun
TASKS_A_THREAD = 4  # parts that the rows are cut into


@numba.njit(error_model="numpy")
def step_task(task, block, blocks, apply, may_turn, devices, trains, lengths_TB, vectors, pulsing, looks):
    """``pulse_rows`` for one of the ``blocks`` blocks of rows of a tile."""
    t = task // blocks
    first = (task - t * blocks) * block
    rows = min(block, devices.w_TOI.shape[1] - first)
    return pulse_rows(apply, may_turn, devices, trains, lengths_TB, vectors, t, first, rows, pulsing, looks)


@numba.njit(error_model="numpy", parallel=True)
def step_in_parallel(
    block, blocks, apply, may_turn, devices, trains, lengths_TB, vectors, pulsing, looks, pulses_K
):
    for task in prange(len(pulses_K)):
        pulses_K[task] = step_task(
            np.int64(task), block, blocks, apply, may_turn, devices, trains, lengths_TB, vectors, pulsing,
            looks,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def step_chunk(apply, may_turn, devices, trains, lengths_TB, vectors, pulsing, looks, pulses_T, tasks):
    """Apply the coincidences of a chunk of vectors to all rows of all tiles."""
    tiles, rows = devices.w_TOI.shape[:2]
    block = max(1, min((rows * tiles + tasks - 1) // tasks, rows))
    blocks = (rows + block - 1) // block
    pulses_K = np.zeros(tiles * blocks, np.int64)
    if tasks > 1:
        step_in_parallel(
            block, blocks, apply, may_turn, devices, trains, lengths_TB, vectors, pulsing, looks, pulses_K
        )
    else:
        for task in range(tiles * blocks):
            pulses_K[task] = step_task(
                task, block, blocks, apply, may_turn, devices, trains, lengths_TB, vectors, pulsing, looks
            )
    for task in range(tiles * blocks):
        pulses_T[task // blocks] += pulses_K[task]


def update(
    applier_address, may_turn, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, train_keys_T2, x_XBI, x_of_T,
    d_DBO, d_of_T, active_TB, rule, rate, granularity, tick, extra, side, noisy, aggregates, pulses_T, tasks,
    after_N, lines_TN, of_columns, looks_TNM,
):  # fmt: skip
    """Pulse all vectors in order into every tile; adds to ``pulses_T`` and returns OK or what is wrong.

    ``tasks``: how many parts to cut rows into, in threads of their own if there are several.
    """
    apply = applier_at(applier_address)
    devices = Devices(w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2)
    inputs = Inputs(x_XBI, x_of_T, d_DBO, d_of_T)
    tiles, rows, columns = w_TOI.shape
    vectors = x_XBI.shape[1]
    lengths_TB, scales_2TB = np.empty((tiles, vectors), np.int32), np.empty((2, tiles, vectors), np.float32)
    status, longest = plan(inputs, active_TB, rule, abs(rate), granularity, lengths_TB, scales_2TB, tasks > 1)
    if status != OK:
        return status
    widest = max(rows, columns)
    size = min(vectors, max(CHUNK_LINES // (tiles * widest), widest // 16, 8))
    trains = empty_trains(tiles, size, rows, columns, rule.mode, longest)
    start, n = np.int64(0), 0  # a plain 0 would be a type of its own in the first round of the loop
    while start < vectors:
        same_top = ((tick + start) | 0xFFFFFFFF) + 1 - tick
        stop = min(start + size, vectors, same_top)
        make_chunk(
            inputs, lengths_TB, scales_2TB, start, stop, rule, train_keys_T2, tick, extra, trains, tasks > 1
        )
        first = n
        while n < after_N.size and after_N[n] <= stop:
            n += 1
        pulsing = Pulsing(rule.mode, longest, int(rate < 0), side, tick + start, extra, noisy, aggregates)
        looks = Looks(after_N[first:n] - start, lines_TN[:, first:n], of_columns, looks_TNM[:, first:n])
        step_chunk(
            apply, may_turn, devices, trains, lengths_TB[:, start:stop], stop - start, pulsing, looks,
            pulses_T, tasks,
        )  # fmt: skip
        start = stop
    return OK


@functools.cache
def update_kernel() -> Callable[..., Any]:
    """``update``, compiled."""
    return kernel(update)


def run(device: Any, arguments: tuple[Any, ...], looks: Looks) -> int:
    """The update with as many threads as it is worth; adds to ``pulses_T``, returns OK or what is wrong."""
    w_TOI, p_TOIP = arguments[0], arguments[1]
    apply = applier(type(device).step, p_TOIP.shape[3], type(device).blockwise)
    threads = numba.get_num_threads() if w_TOI.size * arguments[7].shape[1] >= SERIAL_WORK else 1
    return update_kernel()(
        apply.address,
        type(device).blockwise,
        *arguments,
        TASKS_A_THREAD * threads if threads > 1 else 1,
        *looks,
    )
