"""Pulsing an array while looking at single lines of it in between, in one compiled call.

c-TTv2 and AGAD read a line after every vector: a call of the pulsed update for each would cost many times
what it does. Crosspoints do not depend on one another, so each row goes through all vectors on its own, and
notes its part of a line when the line is looked at.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaExperimentalFeatureWarning
from numpy.typing import NDArray

from ..jit import named_copy, sources_hash
from ..pulsed_update import cpu as pulsed_update
from ..pulsed_update.cpu import CALLS as CALLS_AT_ONCE
from ..pulsed_update.cpu import CHUNK_LINES, SERIAL_WORK, applier, find_hits, pulse_row
from ..pulsed_update.cpu_trains import plan_kernel, train_kernel
from ..pulsed_update.rule import make_rule

if TYPE_CHECKING:
    from ..devices import DeviceArray
    from .transfer_cell import Pulses

_ALL_VECTORS = np.zeros((0, 0), np.uint8)


def _pulse_and_look(  # type: ignore[no-untyped-def]
    apply, w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, columns_TBI, trains_TBI, n_columns_TB,
    d_codes_TBO, d_second_TBO, lengths_TB, start, vectors, longest, mode, tick, noisy, aggregates, pulses_T,
    after_N, first_n, last_n, lines_TN, of_columns, looks_TNM,
):  # fmt: skip
    """Vectors start .. start + vectors and the looks first_n .. last_n that fall between them."""
    tiles, rows, columns = w_TOI.shape
    for t in range(tiles):
        room = CALLS_AT_ONCE + (columns * (1 if aggregates else longest)) // 4 + 1
        hits, n_hits = np.empty((1, vectors + 1), np.int32), np.empty(1, np.int32)
        codes_E = np.empty(4 * CALLS_AT_ONCE + columns + 1, np.int32)
        counts_E = np.empty(4 * CALLS_AT_ONCE + columns + 1, np.int32)
        c0, c2 = np.empty(room, np.uint32), np.empty(room, np.uint32)
        noise = np.zeros(4 * room, np.float32)
        segments = np.empty((CALLS_AT_ONCE, 5), np.int32)
        last = np.empty(columns if write_noise > 0 else 1, np.int32)
        w_E, p_PE = np.empty(columns, np.float32), np.empty((p_TOIP.shape[3], columns), np.float32)
        for row in range(rows):
            find_hits(d_codes_TBO[t], d_second_TBO[t], n_columns_TB[t], vectors, row, 1, hits, n_hits)
            h, n = 0, first_n
            while True:
                limit = after_N[n] - start if n < last_n else vectors
                first = h
                while h < n_hits[0] and hits[0, h] < limit:
                    h += 1
                if h > first:
                    pulses_T[t] += pulse_row(
                        apply, w_TOI[t, row], p_TOIP[t, row], c, seen_TOI[t, row], write_noise, keys_T2[t, 0],
                        keys_T2[t, 1], row, d_codes_TBO[t, :vectors, row], d_second_TBO[t, :vectors, row], 0,
                        n_columns_TB[t], columns_TBI[t], trains_TBI[t], lengths_TB[t, start:], mode, 0,
                        tick + start, 0, noisy, aggregates, hits[0, first:h], h - first, codes_E, counts_E,
                        c0, c2, noise, segments, last, w_E, p_PE,
                    )  # fmt: skip
                if n >= last_n:
                    break
                line = lines_TN[t, n]
                if of_columns:
                    looks_TNM[t, n, row] = seen_TOI[t, row, line]
                elif line == row:
                    looks_TNM[t, n, :] = seen_TOI[t, row]
                n += 1


_FLOATS, _TILES = types.float32[::1], types.float32[:, :, ::1]
_WORDS, _CODES, _COUNTS = types.uint32[:, :, ::1], types.int32[:, :, ::1], types.int32[:, ::1]
_N = types.int64
_SIGNATURE = types.void(
    types.FunctionType(pulsed_update._APPLY), _TILES, types.float32[:, :, :, ::1], _FLOATS, _TILES,
    types.float32, types.uint32[:, ::1], _CODES, _WORDS, _COUNTS, _WORDS, _WORDS, _COUNTS, _N, _N, _N, _N, _N,
    types.boolean, types.boolean, types.int64[::1], types.int64[::1], _N, _N, types.int64[:, ::1],
    types.boolean, _TILES,
)  # fmt: skip


@functools.cache
def _compiled() -> Callable[..., Any]:
    """``_pulse_and_look`` compiled; its name on disk also tells the code of the pulsed update in it."""
    tag = sources_hash(Path(pulsed_update.__file__).parent)
    compiler = numba.njit(_SIGNATURE, cache=True, error_model="numpy", nogil=True)
    with warnings.catch_warnings():  # numba still calls functions as arguments an experiment
        warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)
        return compiler(named_copy(_pulse_and_look, None, tag))


def pulse_and_look(
    member: DeviceArray, pulses: Pulses, after_N: NDArray[np.int64], lines_TN: NDArray[np.int64],
    of_columns: bool, looks_TNM: Any,
) -> NDArray[np.int64]:  # fmt: skip
    """Pulse all vectors; ``looks`` gets line lines_TN[t, n] as it is seen after after_N[n] >= 1 of them."""
    if member.kept_TOI.size * pulses.vectors.count >= SERIAL_WORK:
        return _run(member, pulses, after_N, lines_TN, of_columns, looks_TNM)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return _run(member, pulses, after_N, lines_TN, of_columns, looks_TNM)
    finally:
        numba.set_num_threads(threads)


def _run(
    member: DeviceArray, pulses: Pulses, after_N: NDArray[np.int64], lines_TN: NDArray[np.int64],
    of_columns: bool, looks_TNM: Any,
) -> NDArray[np.int64]:  # fmt: skip
    own, rule = pulses.vectors, make_rule(pulses.parameters)
    (tiles, rows, columns), vectors = member.shape, own.count
    lengths_TB, scales_2TB = np.empty((tiles, vectors), np.int32), np.empty((2, tiles, vectors), np.float32)
    inputs = (own.x_XBI, own.x_of_T, own.d_DBO, own.d_of_T)
    status, longest = plan_kernel()(
        *inputs, _ALL_VECTORS, rule, np.float32(pulses.rate), np.float32(pulses.granularity), lengths_TB,
        scales_2TB,
    )  # fmt: skip
    pulses_T = np.zeros(tiles, np.int64)
    member._check(status, pulses.rate, pulses.granularity)
    apply = applier(type(member.device).step, member.p_TOIP.shape[3], type(member.device).blockwise)
    size = min(vectors, max(CHUNK_LINES // (tiles * max(rows, columns)), 8))
    trains = [np.empty((tiles, size, n), np.uint32) for n in (columns, columns, rows)]
    second = np.empty_like(trains[2]) if rule.mode == 1 else trains[2]
    fire, n_columns = np.empty((tiles, size, columns), np.int32), np.empty((tiles, size), np.int32)
    start = 0
    while start < vectors:
        same_top = ((pulses.tick + start) | 0xFFFFFFFF) + 1 - pulses.tick
        stop = min(start + size, vectors, same_top)
        train_kernel()(
            *inputs, lengths_TB, scales_2TB, start, stop, rule, member.keys_T2, pulses.tick, 0, trains[0],
            fire, trains[1], n_columns, trains[2], second,
        )  # fmt: skip
        looks = np.searchsorted(after_N, [start, stop], side="right")
        _compiled()(
            apply, member.kept_TOI, member.p_TOIP, member.constants, member.seen_TOI, member.write_noise,
            member.keys_T2, fire, trains[1], n_columns, trains[2], second, lengths_TB, start, stop - start,
            longest, rule.mode, pulses.tick, member.noisy, member.device.aggregates, pulses_T, after_N,
            int(looks[0]), int(looks[1]), lines_TN, of_columns, looks_TNM,
        )  # fmt: skip
        start = stop
    return pulses_T
