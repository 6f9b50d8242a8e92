"""The pulsed update on the CPU: a chunk of vectors after the other, rows in parallel.

The trains of a chunk's vectors come first (``trains``, drawn by ``codes``): for each vector the columns that
fire, those of positive inputs and those of negative ones apart, and a code for each row. Then blocks of rows
take what coincides (``rows``).
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
from ...machine.threads import PROCESSORS
from ..arguments import Devices, Looks, Pulsing, Update, Vectors, no_looks
from ..rule import Rule
from .exact import update_exactly
from .plan import DONE, Plan, plan_all
from .rows import Chunk, find_firing, pulse_rows
from .steps import applier, applier_at
from .trains import empty_trains, make_chunk

__all__ = ["run", "update_exactly"]

CHUNK_LINES = 1 << 18  # lines whose trains are kept at a time, to stay in the cache
SERIAL_WORK = 500_000  # crosspoints times vectors that one thread does before another has begun
TASKS_A_THREAD = 4  # parts that the rows are cut into


@numba.njit(error_model="numpy")
def step_task(task, block, blocks, apply, may_turn, devices, trains, lengths_TB, firing, chunk, looks):
    """``pulse_rows`` for one of the ``blocks`` blocks of rows of a tile."""
    t = task // blocks
    first = (task - t * blocks) * block
    rows = min(block, devices.w_TOI.shape[1] - first)
    return pulse_rows(apply, may_turn, devices, trains, lengths_TB, firing, t, first, rows, chunk, looks)


@numba.njit(error_model="numpy", parallel=True)
def step_in_parallel(
    block, blocks, apply, may_turn, devices, trains, lengths_TB, firing, chunk, looks, pulses_K
):
    for task in prange(len(pulses_K)):
        pulses_K[task] = step_task(
            np.int64(task), block, blocks, apply, may_turn, devices, trains, lengths_TB, firing, chunk,
            looks,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def step_chunk(apply, may_turn, devices, trains, lengths_TB, vectors, chunk, looks, pulses_T, tasks):
    """Apply the coincidences of a chunk of vectors to all rows of all tiles."""
    tiles, rows = devices.w_TOI.shape[:2]
    block = max(1, min((rows * tiles + tasks - 1) // tasks, rows))
    blocks = (rows + block - 1) // block
    pulses_K = np.zeros(tiles * blocks, np.int64)
    firing = find_firing(trains.n_columns_TB2, vectors)
    if tasks > 1:
        step_in_parallel(
            block, blocks, apply, may_turn, devices, trains, lengths_TB, firing, chunk, looks, pulses_K
        )
    else:
        for task in range(tiles * blocks):
            pulses_K[task] = step_task(
                task, block, blocks, apply, may_turn, devices, trains, lengths_TB, firing, chunk, looks
            )
    for task in range(tiles * blocks):
        pulses_T[task // blocks] += pulses_K[task]


def update(applier_address, may_turn, order, looks, threads):
    """Pulse all vectors of ``order`` into every tile; adds to its pulses, returns DONE or what is wrong.

    ``order`` and ``looks`` are an ``Update`` and ``Looks`` as plain tuples (``as_tuples``): numba looks a
    named one's class up anew in every call, which takes three times as long as all their arrays.
    Rows are cut into parts where there are several ``threads``.
    """
    tasks = TASKS_A_THREAD * threads if threads > 1 else 1
    apply = applier_at(applier_address)
    of_devices, of_vectors, of_pulses, train_keys_T2, active_TB, pulses_T = order
    devices, vectors, looks = Devices(*of_devices), Vectors(*of_vectors), Looks(*looks)
    of_rule, rate, granularity, tick, extra, side, noisy, aggregates = of_pulses
    rule = Rule(*of_rule)
    pulsing = Pulsing(rule, rate, granularity, tick, extra, side, noisy, aggregates)
    tiles, rows, columns = devices.w_TOI.shape
    batch = vectors.x_XBI.shape[1]
    plan = Plan(np.empty((tiles, batch), np.int32), np.empty((2, tiles, batch), np.float32))
    status, longest = plan_all(vectors, active_TB, pulsing, plan, tasks > 1)
    if status != DONE:
        return status
    widest = max(rows, columns)
    size = min(batch, max(CHUNK_LINES // (tiles * widest), widest // 16, 8))
    trains = empty_trains(tiles, size, rows, columns, rule.mode, longest)
    start, n = np.int64(0), 0  # a plain 0 would be a type of its own in the first round of the loop
    while start < batch:
        same_top = ((tick + start) | 0xFFFFFFFF) + 1 - tick
        stop = min(start + size, batch, same_top)
        make_chunk(vectors, plan, start, stop, rule, train_keys_T2, tick, extra, trains, tasks)
        first = n
        while n < looks.after_N.size and looks.after_N[n] <= stop:
            n += 1
        chunk = Chunk(
            rule.mode, longest, int(pulsing.rate < 0), pulsing.side, tick + start, extra, pulsing.noisy,
            pulsing.aggregates,
        )  # fmt: skip
        looks_of_chunk = Looks(
            looks.after_N[first:n] - start, looks.lines_TN[:, first:n], looks.of_columns,
            looks.lines_TNM[:, first:n],
        )  # fmt: skip
        step_chunk(
            apply, may_turn, devices, trains, plan.lengths_TB[:, start:stop], stop - start, chunk,
            looks_of_chunk, pulses_T, tasks,
        )  # fmt: skip
        start = stop
    return DONE


@functools.cache
def update_kernel() -> Callable[..., Any]:
    """``update``, compiled."""
    return kernel(update)


def run(device: Any, order: Update, looks: Looks | None = None) -> int:
    """The update with as many threads as it is worth; adds to its pulses, returns a ``Status``."""
    kind: Any = type(device)
    devices = order.devices
    apply = applier(kind)
    if looks is None:
        looks = no_looks(len(devices.w_TOI))
    work = devices.w_TOI.size * order.vectors.batch
    arguments = apply.address, kind.blockwise, as_tuples(order), tuple(looks)
    if threads := PROCESSORS.unwatched(work, SERIAL_WORK):
        return update_kernel()(*arguments, threads)
    with PROCESSORS.call(work, SERIAL_WORK) as threads:
        return update_kernel()(*arguments, threads)


def as_tuples(order: Update) -> tuple[Any, ...]:
    """An order whose parts have no names, which the compiled kernel takes."""
    devices, vectors, (rule, *how), *rest = order
    return tuple(devices), tuple(vectors), (tuple(rule), *how), *rest
