"""Phase-change memory for numba: pairs of devices are programmed and age in one pass, a row at a time.

The same draws, the same arithmetic and so the same bits as ``PCMLikeNoiseModel`` evaluated by numpy, whose
exponential and logarithm these are (``rng/numpy_alike.py``).
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numba
import numpy as np

from ...machine.intrinsics import wide_vectors
from ...machine.jit import kernel
from ...machine.threads import PROCESSORS
from ...rng import numpy_alike
from ...rng.cpu import compiled
from ..draws.cpu import row_normals
from . import formulas

ROWS_A_TASK = 16
SERIAL_BELOW = 1 << 14  # crosspoints: fewer cost less than waking the threads
PROGRAMMING, EXPONENT, READ = range(3)  # what a conductance's normals are drawn for

of_numpy = functools.partial(compiled, m=numpy_alike)
programmed, log_relative = of_numpy(formulas.programmed), of_numpy(formulas.log_relative)
drift_exponent, drifted = of_numpy(formulas.drift_exponent), of_numpy(formulas.drifted)
read_noise, read = of_numpy(formulas.read_noise), of_numpy(formulas.read)

inline = numba.njit(error_model="numpy")


class Law(NamedTuple):
    """A model and its pairs of devices; conductances in µS."""

    g_max: np.float32  # that fits are relative to
    largest: np.float32  # of a target, above ``g_min``
    g_min: np.float32
    programming: np.float32  # factor of its noise
    exponents: np.float32  # factor of them
    log_age: np.float32  # -ln(t / t_0)
    spread: np.float32  # of the 1/f noise
    aged: bool  # or else as right after programming


class Place(NamedTuple):
    """Where a row's normals have their addresses: words 2 and 3 for each purpose and device, [3, 2, 2]."""

    k0: Any
    k1: Any
    row: Any
    words_322: Any


class Rooms(NamedTuple):
    """Memory for one row: words, normals, and what is worked out of them; the first three [8 counters]."""

    words: Any
    normals: Any
    x: Any
    std: Any
    target: Any
    g_2I: Any


@inline
def draw(place, rooms, purpose, device):
    low, high = place.words_322[purpose, device, 0], place.words_322[purpose, device, 1]
    row_normals(rooms.normals, rooms.words, place.k0, place.k1, place.row, low, high)


@inline
def program_row(law, std_P, place, rooms, device, g_I):
    """``g_I`` of the targets; ``std_P`` are coefficients of the noise, in ascending powers of x."""
    target_I, x, std, normals = rooms.target, rooms.x, rooms.std, rooms.normals
    draw(place, rooms, PROGRAMMING, device)
    for j in range(len(g_I)):
        x[j], std[j] = target_I[j] / law.g_max, std_P[len(std_P) - 1]
    for p in range(len(std_P) - 2, -1, -1):
        for j in range(len(g_I)):
            std[j] = std[j] * x[j] + std_P[p]
    for j in range(len(g_I)):
        g_I[j] = programmed(target_I[j], std[j], law.programming, normals[j])


@inline
def age_row(law, place, rooms, device, g_I):
    """Drift and the noise of a read."""
    target_I, exponent, normals = rooms.target, rooms.x, rooms.normals
    draw(place, rooms, EXPONENT, device)
    for j in range(len(g_I)):
        exponent[j] = drift_exponent(log_relative(target_I[j], law.g_max), law.exponents, normals[j])
    draw(place, rooms, READ, device)
    for j in range(len(g_I)):
        strength = read_noise(log_relative(g_I[j], law.g_max))
        g_I[j] = read(drifted(g_I[j], exponent[j], law.log_age), strength, law.spread, normals[j])


@inline
def leave_row(w_I, ratio_us, law, std_P, place, rooms):
    """Put in place of targets ``w_I`` what is left of them."""
    for device in range(2):
        target_I, g_I = rooms.target, rooms.g_2I[device]
        sign = np.float32(1 - 2 * device)
        for j in range(len(w_I)):
            g = w_I[j] * ratio_us * sign
            target_I[j] = min(max(g, np.float32(0)), law.largest) + law.g_min
        program_row(law, std_P, place, rooms, device, g_I)
        if law.aged:
            age_row(law, place, rooms, device, g_I)
    for j in range(len(w_I)):
        w_I[j] = (rooms.g_2I[0, j] - rooms.g_2I[1, j]) / ratio_us


@inline
def leave_rows(task, w_TOI, ratio_T, keys_T2, law, std_P, words_322):
    """``leave_row`` for one task's rows."""
    _, rows, columns = w_TOI.shape
    tasks = (rows + ROWS_A_TASK - 1) // ROWS_A_TASK
    t, first = task // tasks, task % tasks * ROWS_A_TASK
    room = (columns + 7) // 8 * 8
    rooms = Rooms(
        np.empty(room // 2, np.uint32), np.empty(room, np.float32), np.empty(room, np.float32),
        np.empty(room, np.float32), np.empty(columns, np.float32), np.empty((2, columns), np.float32),
    )  # fmt: skip
    for row in range(first, min(first + ROWS_A_TASK, rows)):
        place = Place(keys_T2[t, 0], keys_T2[t, 1], np.uint32(row), words_322)
        leave_row(w_TOI[t, row], ratio_T[t], law, std_P, place, rooms)


def _leave(w_TOI, ratio_T, keys_T2, law, std_P, words_322):
    tasks = len(w_TOI) * ((w_TOI.shape[1] + ROWS_A_TASK - 1) // ROWS_A_TASK)
    for task in numba.prange(tasks):
        wide_vectors()
        leave_rows(np.int64(task), w_TOI, ratio_T, keys_T2, law, std_P, words_322)


_serial, _threaded = kernel(_leave), kernel(_leave, parallel=True)


def leave(w_TOI, ratio_T, keys_T2, law, std_P, words_322):
    """Put in place of targets w[tiles, out, in] the weights that programming and ``law.aged`` leave.

    ``ratio_T`` is µS for a weight of 1, ``words_322`` words 2 and 3 of the draws' addresses.
    """
    with PROCESSORS.call(w_TOI.size, SERIAL_BELOW) as threads:
        (_threaded if threads > 1 else _serial)(w_TOI, ratio_T, keys_T2, law, std_P, words_322)
