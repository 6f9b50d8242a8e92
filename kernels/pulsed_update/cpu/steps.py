"""One step of a device at every coincidence of a segment: compiled once for each device.

All coincidences of one row, vector and sign of the input step in one direction, so that there is no decision
inside the loop of a segment. Of arrays, but for the constants ``c``, the functions behind ``apply_segments``
take pointers.
"""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from ...devices.base import parameters_type
from ...machine.bind import rebind, with_float32_literals
from ...machine.intrinsics import gather_four, numbers
from ...machine.jit import at_address, callback, code_hash, data_of, named_copy
from ...rng import numba_math

ROW, VECTOR, HALF, UP, FIRST, COUNT, NOISE = range(7)  # what a segment is
SINGLE = -1  # FIRST of a segment whose columns all get one pulse: its events are the vector's columns
PLACE, DRAW, TURN, ORDER = range(4)  # what ``step_in_turns`` notes of an event
LANES, FEW = 32, 8  # crosspoints that are stepped at a time; so few that they are not worth it
PARAMETERS = 0  # bound to the number of a device's parameters

inline = numba.njit(error_model="numpy", forceinline=True)


class Segments(NamedTuple):
    """Segments and their noise; the columns of those with events of their own, and how often each steps."""

    segments: Any  # [segments, 7]
    events_E: Any
    counts_E: Any
    noise_E: Any


class Lanes(NamedTuple):
    """Room for steps of crosspoints side by side."""

    w_E: Any
    p_PE: Any
    events_4E: Any  # of ``step_in_turns``, as are the next two
    starts_E: Any
    turns_RI: Any


class Memory(NamedTuple):
    """What steps read and write, as pointers: a tile's devices, and ``Lanes`` of distance ``apart``."""

    w: Any
    p: Any
    c: Any
    noise: Any
    w_E: Any
    p_E: Any
    apart: Any


def step(w, up, n, xi, p, c):
    """Bound to a device's formula by ``applier``."""
    raise NotImplementedError


def parameters(p, first, apart):
    """Bound by ``applier`` to ``numbers`` of as many as the device has."""
    raise NotImplementedError


def apply_segments(w_OI, p_OIP, c, columns_B2I, collected, n_segments, aggregates, in_turns, lanes):
    """Step the crosspoints of all segments, in order; see ``step_in_turns``."""
    width, room, segments = w_OI.shape[1], columns_B2I.shape[2], collected.segments
    memory = Memory(
        data_of(w_OI), data_of(p_OIP), c, data_of(collected.noise_E), data_of(lanes.w_E), data_of(lanes.p_PE),
        lanes.p_PE.shape[1],
    )  # fmt: skip
    columns = data_of(columns_B2I)
    events, counts = data_of(collected.events_E), data_of(collected.counts_E)
    if in_turns:
        step_in_turns(memory, columns, width, room, segments, n_segments, lanes)
        return
    for s in range(n_segments):
        row, first, count = segments[s, ROW] * width, segments[s, FIRST], segments[s, COUNT]
        k = segments[s, NOISE]
        if first == SINGLE:
            first = (2 * segments[s, VECTOR] + segments[s, HALF]) * room
            if segments[s, UP]:
                step_once(memory, row, columns, first, count, True, k)
            else:
                step_once(memory, row, columns, first, count, False, k)
        elif segments[s, UP]:
            step_counted(memory, row, events, counts, first, count, True, k, aggregates)
        else:
            step_counted(memory, row, events, counts, first, count, False, k, aggregates)


def step_counted(memory, row, events, counts, first, count, up, k, aggregates):
    """Step the crosspoints of events first.., each as often as it counts."""
    w, p, c, noise = memory.w, memory.p, memory.c, memory.noise
    for e in range(first, first + count):
        place = row + events[e]
        repeats = np.int32(1) if aggregates else counts[e]
        n = np.float32(counts[e]) if aggregates else np.float32(1.0)
        value, own = w[place], parameters(p, place * PARAMETERS, 1)
        for _ in range(repeats):
            value = step(value, up, n, noise[k], own, c)
            k += 1
        w[place] = value


def step_once(memory, row, columns, first, count, up, k):
    """Bound to ``step_each`` or ``step_gathered``."""
    raise NotImplementedError


def step_each(memory, row, columns, first, count, up, k):
    """Step the crosspoints of a vector's columns, which are all different, once each."""
    w, p, c, noise = memory.w, memory.p, memory.c, memory.noise
    for e in range(count):
        place = row + columns[first + e]
        own, xi = parameters(p, place * PARAMETERS, 1), noise[k + e]
        w[place] = step(w[place], up, np.float32(1.0), xi, own, c)


def step_gathered(memory, row, columns, first, count, up, k):
    """``step_each`` for steps that are worth vectorising: gather, step whole lanes, full or not, scatter."""
    w, c, noise, w_E, p_E, apart = memory.w, memory.c, memory.noise, memory.w_E, memory.p_E, memory.apart
    if count < FEW:
        step_each(memory, row, columns, first, count, up, k)
    else:
        gather(memory, row, columns, first, count)
        for e in range((count + LANES - 1) // LANES * LANES):
            xi = noise[k + e]
            w_E[e] = step(w_E[e], up, np.float32(1.0), xi, parameters(p_E, e, apart), c)
        for e in range(count):
            w[row + columns[first + e]] = w_E[e]


def gather(memory, row, places, first, count):
    """Weights and parameters of the crosspoints ``row`` + places[first..], side by side."""
    w, p, w_E, p_E, apart = memory.w, memory.p, memory.w_E, memory.p_E, memory.apart
    whole = count // 4 * 4
    for e in range(0, whole, 4):
        at = first + e
        gather_four(
            p, (row + places[at]) * PARAMETERS, (row + places[at + 1]) * PARAMETERS,
            (row + places[at + 2]) * PARAMETERS, (row + places[at + 3]) * PARAMETERS, p_E, e, apart,
        )  # fmt: skip
    for e in range(whole, count):
        place = row + places[first + e]
        for n in range(4):
            p_E[n * apart + e] = p[place * PARAMETERS + n]
    for e in range(count):
        place = row + places[first + e]
        w_E[e] = w[place]
        for n in range(4, PARAMETERS):
            p_E[n * apart + e] = p[place * PARAMETERS + n]


def step_in_turns(memory, columns, width, room, segments, n_segments, lanes):
    """Step the crosspoints of segments without events of their own, the n-th pulses of all of them together.

    Pulses of one crosspoint follow each other, those of different ones need not: where each vector reaches
    few columns, this fills the lanes. ``starts_E`` and ``turns_RI``, one counter a crosspoint of the rows
    from the first segment's on, are zero before and after.
    """
    events_4E, starts_E, turns_RI = lanes.events_4E, lanes.starts_E, lanes.turns_RI
    n, last, origin = 0, 0, segments[0, ROW] * width
    for s in range(n_segments):
        up, k, row = segments[s, UP], segments[s, NOISE], segments[s, ROW] * width
        first = (2 * segments[s, VECTOR] + segments[s, HALF]) * room
        for e in range(segments[s, COUNT]):
            place = row + columns[first + e]
            near = place - origin
            turn = 2 * turns_RI[near] + up
            turns_RI[near] += 1
            starts_E[turn + 1] += 1
            last = max(last, turn)
            events_4E[PLACE, n], events_4E[DRAW, n], events_4E[TURN, n] = place, k + e, turn
            n += 1
    for turn in range(last):
        starts_E[turn + 1] += starts_E[turn]
    for e in range(n):
        turn = events_4E[TURN, e]
        events_4E[ORDER, starts_E[turn]] = e
        starts_E[turn] += 1
        turns_RI[events_4E[PLACE, e] - origin] = 0
    begin = 0
    for turn in range(last + 1):
        end = starts_E[turn]
        if turn & 1:
            step_listed(memory, begin, end, True, events_4E)
        else:
            step_listed(memory, begin, end, False, events_4E)
        begin = end
    starts_E[: last + 2] = 0


def step_never(memory, columns, width, room, segments, n_segments, lanes):
    """In place of ``step_in_turns`` for devices whose steps are not worth it, which halves their code."""


def step_listed(memory, begin, end, up, events_4E):
    """Step the crosspoints of the events number begin..end in their order, all different, once each."""
    w, p, c, noise, w_E, p_E, apart = memory
    count = end - begin
    if count < FEW:
        for i in range(begin, end):
            e = events_4E[ORDER, i]
            place, xi = events_4E[PLACE, e], noise[events_4E[DRAW, e]]
            own = parameters(p, place * PARAMETERS, 1)
            w[place] = step(w[place], up, np.float32(1.0), xi, own, c)
    else:
        for i in range(count):
            e = events_4E[ORDER, begin + i]
            events_4E[TURN, i] = events_4E[PLACE, e]
            p_E[PARAMETERS * apart + i] = noise[events_4E[DRAW, e]]
        gather(memory, 0, data_of(events_4E[TURN]), 0, count)
        for i in range((count + LANES - 1) // LANES * LANES):
            xi = p_E[PARAMETERS * apart + i]
            w_E[i] = step(w_E[i], up, np.float32(1.0), xi, parameters(p_E, i, apart), c)
        for i in range(count):
            w[events_4E[TURN, i]] = w_E[i]


_FLOATS, _INTS, _INT_ROWS = types.float32[::1], types.int32[::1], types.int32[:, ::1]
_SEGMENTS = types.NamedTuple([_INT_ROWS, _INTS, _INTS, _FLOATS], Segments)
_LANES = types.NamedTuple([_FLOATS, types.float32[:, ::1], _INT_ROWS, _INTS, _INTS], Lanes)
_APPLY = types.void(
    types.float32[:, ::1], types.float32[:, :, ::1], _FLOATS, types.int32[:, :, ::1], _SEGMENTS, types.int64,
    types.boolean, types.boolean, _LANES,
)  # fmt: skip
applier_at = at_address(_APPLY)


@functools.cache
def applier(kind: Any) -> Any:
    """``apply_segments`` for devices of one kind; see ``applier_at``."""
    bound, count = with_float32_literals(rebind(kind.step, numba_math)), len(kind.parameters)
    tag = f"{code_hash(bound)} {kind.parameters} {kind.blockwise}"
    own = {"step": inline(bound), "parameters": numbers(parameters_type(kind)), "PARAMETERS": count}
    in_turns = (step_listed, step_in_turns) if kind.blockwise else ()
    for function in (step_counted, step_each, gather, step_gathered, *in_turns):
        own[function.__name__] = inline(named_copy(function, own, tag))
    own.setdefault("step_in_turns", inline(step_never))
    own["step_once"] = own["step_gathered" if kind.blockwise else "step_each"]
    return callback(apply_segments, _APPLY, own, tag)
