"""One step of a device at every coincidence of a segment: compiled once for each device.

All coincidences of one row, vector and sign of the input step in one direction, so that there is no decision
inside the loop of a segment.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from ..bind import rebind, with_float32_literals
from ..jit import at_address, callback, code_hash, named_copy
from ..rng import numba_math

ROW, VECTOR, HALF, UP, FIRST, COUNT, NOISE = range(7)  # what a segment is
SINGLE = -1  # FIRST of a segment whose columns all get one pulse: its events are the vector's columns
PLACE, IN_ROW, COLUMN, DRAW, TURN, ORDER = range(6)  # what ``step_in_turns`` notes of an event
LANES, FEW = 32, 8  # crosspoints that are stepped at a time; so few that they are not worth it
PARAMETERS = 0  # bound to the number of a device's parameters

inline = numba.njit(error_model="numpy", forceinline=True)


def step(w, up, n, xi, p, c):
    """Bound to a device's formula by ``applier``."""
    raise NotImplementedError


def parameters(p_OIP, row, column):
    """Bound by ``applier`` to the function that reads as many numbers as the device has."""
    raise NotImplementedError


@inline
def four(p_OIP, row, i):
    return p_OIP[row, i, 0], p_OIP[row, i, 1], p_OIP[row, i, 2], p_OIP[row, i, 3]


@inline
def five(p_OIP, row, i):
    return (*four(p_OIP, row, i), p_OIP[row, i, 4])


@inline
def six(p_OIP, row, i):
    return (*five(p_OIP, row, i), p_OIP[row, i, 5])


@inline
def seven(p_OIP, row, i):
    return (*six(p_OIP, row, i), p_OIP[row, i, 6])


READERS = {4: four, 5: five, 6: six, 7: seven}


def apply_segments(
    w_OI, p_OIP, c, columns_B2I, events_E, counts_E, segments, n_segments, noise, aggregates, w_E, p_PE,
    in_turns, events_6E, starts_E, turns_RI,
):  # fmt: skip
    """Step the crosspoints of all segments, in order; see ``step_in_turns``."""
    if in_turns:
        step_in_turns(
            w_OI, p_OIP, c, columns_B2I, segments, n_segments, noise, w_E, p_PE, events_6E, starts_E, turns_RI
        )
        return
    for s in range(n_segments):
        row, first, count = np.uint64(segments[s, ROW]), segments[s, FIRST], segments[s, COUNT]
        k = segments[s, NOISE]
        if first == SINGLE:
            b, half = segments[s, VECTOR], segments[s, HALF]
            if segments[s, UP]:
                step_once(w_OI, p_OIP, c, row, columns_B2I, b, half, count, True, noise, k, w_E, p_PE)
            else:
                step_once(w_OI, p_OIP, c, row, columns_B2I, b, half, count, False, noise, k, w_E, p_PE)
        elif segments[s, UP]:
            step_counted(w_OI, p_OIP, c, row, events_E, counts_E, first, count, True, noise, k, aggregates)
        else:
            step_counted(w_OI, p_OIP, c, row, events_E, counts_E, first, count, False, noise, k, aggregates)


def step_counted(w_OI, p_OIP, c, row, events_E, counts_E, first, count, up, noise, k, aggregates):
    """Step the crosspoints of events first.., each as often as it counts."""
    for e in range(first, first + count):
        column = np.uint64(events_E[e])
        repeats = np.int32(1) if aggregates else counts_E[e]
        n = np.float32(counts_E[e]) if aggregates else np.float32(1.0)
        w, p = w_OI[row, column], parameters(p_OIP, row, column)
        for _ in range(repeats):
            w = step(w, up, n, noise[k], p, c)
            k += 1
        w_OI[row, column] = w


def step_once(w_OI, p_OIP, c, row, columns_B2I, b, half, count, up, noise, k, w_E, p_PE):
    """Bound to ``step_each`` or ``step_gathered``."""
    raise NotImplementedError


def step_each(w_OI, p_OIP, c, row, columns_B2I, b, half, count, up, noise, k, w_E, p_PE):
    """Step the crosspoints of a vector's columns, which are all different, once each."""
    for e in range(count):
        column = np.uint64(columns_B2I[b, half, e])
        p = parameters(p_OIP, row, column)
        w_OI[row, column] = step(w_OI[row, column], up, np.float32(1.0), noise[k + e], p, c)


def step_gathered(w_OI, p_OIP, c, row, columns_B2I, b, half, count, up, noise, k, w_E, p_PE):
    """``step_each`` for steps that are worth vectorising: gather, step whole lanes, full or not, scatter."""
    if count < FEW:
        step_each(w_OI, p_OIP, c, row, columns_B2I, b, half, count, up, noise, k, w_E, p_PE)
        return
    for e in range(count):
        column = np.uint64(columns_B2I[b, half, e])
        w_E[e] = w_OI[row, column]
        for n in range(PARAMETERS):
            p_PE[n, e] = p_OIP[row, column, n]
    for e in range((count + LANES - 1) // LANES * LANES):
        w_E[e] = step(w_E[e], up, np.float32(1.0), noise[k + e], p_PE[:, e], c)
    for e in range(count):
        w_OI[row, np.uint64(columns_B2I[b, half, e])] = w_E[e]


def step_in_turns(
    w_OI, p_OIP, c, columns_B2I, segments, n_segments, noise, w_E, p_PE, events_6E, starts_E, turns_RI
):  # fmt: skip
    """Step the crosspoints of segments without events of their own, the n-th pulses of all of them together.

    Pulses of one crosspoint follow each other, those of different ones need not: where each vector reaches
    few columns, this fills the lanes. ``starts_E`` and ``turns_RI``, one counter a crosspoint of the rows
    from the first segment's on, are zero before and after.
    """
    n, last, first_row = 0, 0, segments[0, ROW]
    for s in range(n_segments):
        b, half, up, k = segments[s, VECTOR], segments[s, HALF], segments[s, UP], segments[s, NOISE]
        row = segments[s, ROW]
        for e in range(segments[s, COUNT]):
            column = columns_B2I[b, half, e]
            place = np.uint64((row - first_row) * w_OI.shape[1] + column)
            turn = 2 * turns_RI[place] + up
            turns_RI[place] += 1
            starts_E[turn + 1] += 1
            last = max(last, turn)
            events_6E[PLACE, n], events_6E[IN_ROW, n], events_6E[COLUMN, n] = place, row, column
            events_6E[DRAW, n], events_6E[TURN, n] = k + e, turn
            n += 1
    for turn in range(last):
        starts_E[turn + 1] += starts_E[turn]
    for e in range(n):
        turn = events_6E[TURN, e]
        events_6E[ORDER, starts_E[turn]] = e
        starts_E[turn] += 1
        turns_RI[events_6E[PLACE, e]] = 0
    begin = 0
    for turn in range(last + 1):
        end = starts_E[turn]
        if turn & 1:
            step_listed(w_OI, p_OIP, c, begin, end, True, noise, w_E, p_PE, events_6E)
        else:
            step_listed(w_OI, p_OIP, c, begin, end, False, noise, w_E, p_PE, events_6E)
        begin = end
    starts_E[: last + 2] = 0


def step_never(
    w_OI, p_OIP, c, columns_B2I, segments, n_segments, noise, w_E, p_PE, events_6E, starts_E, turns_RI
):  # fmt: skip
    """In place of ``step_in_turns`` for devices whose steps are not worth it, which halves their code."""


def step_listed(w_OI, p_OIP, c, begin, end, up, noise, w_E, p_PE, events_6E):
    """Step the crosspoints of the events number begin..end in their order, all different, once each."""
    if end - begin < FEW:
        for i in range(begin, end):
            e = events_6E[ORDER, i]
            row, column = np.uint64(events_6E[IN_ROW, e]), np.uint64(events_6E[COLUMN, e])
            p = parameters(p_OIP, row, column)
            w_OI[row, column] = step(w_OI[row, column], up, np.float32(1.0), noise[events_6E[DRAW, e]], p, c)
        return
    count = end - begin
    for i in range(count):
        e = events_6E[ORDER, begin + i]
        row, column = np.uint64(events_6E[IN_ROW, e]), np.uint64(events_6E[COLUMN, e])
        w_E[i] = w_OI[row, column]
        for n in range(PARAMETERS):
            p_PE[n, i] = p_OIP[row, column, n]
        p_PE[PARAMETERS, i] = noise[events_6E[DRAW, e]]
    for i in range((count + LANES - 1) // LANES * LANES):
        w_E[i] = step(w_E[i], up, np.float32(1.0), p_PE[PARAMETERS, i], p_PE[:, i], c)
    for i in range(count):
        e = events_6E[ORDER, begin + i]
        w_OI[np.uint64(events_6E[IN_ROW, e]), np.uint64(events_6E[COLUMN, e])] = w_E[i]


_FLOATS, _INTS, _INT_ROWS = types.float32[::1], types.int32[::1], types.int32[:, ::1]
_APPLY = types.void(
    types.float32[:, ::1], types.float32[:, :, ::1], _FLOATS, types.int32[:, :, ::1], _INTS, _INTS, _INT_ROWS,
    types.int64, _FLOATS, types.boolean, _FLOATS, types.float32[:, ::1], types.boolean, _INT_ROWS, _INTS,
    _INTS,
)  # fmt: skip
applier_at = at_address(_APPLY)


@functools.cache
def applier(formula: Callable[..., Any], count: int, blockwise: bool) -> Any:
    """``apply_segments`` for devices of ``count`` parameters that step by ``formula``; see ``applier_at``."""
    bound = with_float32_literals(rebind(formula, numba_math))
    tag = f"{code_hash(bound)} {count} {blockwise}"
    own = {"step": inline(bound), "parameters": READERS[count], "PARAMETERS": count}
    in_turns = (step_listed, step_in_turns) if blockwise else ()
    for function in (step_counted, step_each, step_gathered, *in_turns):
        own[function.__name__] = inline(named_copy(function, own, tag))
    own.setdefault("step_in_turns", inline(step_never))
    own["step_once"] = own["step_gathered" if blockwise else "step_each"]
    return callback(apply_segments, _APPLY, own, tag)
