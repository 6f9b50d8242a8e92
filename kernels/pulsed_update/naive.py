"""The pulsed update in numpy: the readable reference, one vector after another, whole tiles at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..devices.base import parameters_type
from ..rng import Stream, counter_high
from ..rng.formulas import normal_pair, unit_interval
from ..rng.naive import philox4x32
from . import formulas
from .arguments import Looks, Pulsing, Side, Status, Update, Vectors
from .rule import FINER, SECOND_PASS, Rule

Array = NDArray[np.float32]
Words = NDArray[np.uint32]
f32 = np.float32


def line_words(key_2: Words, lines: int, row: int, stream: Stream, tick: int, extra: int) -> Words:
    """One word a line: line is word ``line % 4`` of call ``line // 4``."""
    calls = (lines + 3) // 4
    low, high = counter_high(stream, tick, extra)
    call = np.arange(calls)
    counter = np.stack([call, np.full(calls, row), np.full(calls, low), np.full(calls, high)])
    return philox4x32(key_2, counter.astype(np.uint32)).T.reshape(-1)[:lines]


def line_halves(key_2: Words, lines: int, row: int, stream: Stream, tick: int, extra: int) -> Array:
    """16 bits a line, as a number: line is half ``line % 8`` of call ``line // 8``, low halves first."""
    words = line_words(key_2, (lines + 7) // 8 * 4, row, stream, tick, extra)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=-1)
    return halves.reshape(-1)[:lines].astype(f32)


def line_levels(
    values_L: Array, scale: Any, step: Any, jitter: int, key_2: Words, stream: Stream, tick: int, extra: int
) -> Array:
    """The scaled, rounded magnitudes of one vector's lines."""
    levels = np.abs(values_L) * scale
    if step <= 0:
        return levels
    offset = f32(0.0)
    if jitter:
        offset = unit_interval(line_words(key_2, values_L.size, 0, stream, tick, extra)) - f32(0.5)
    return formulas.quantised(levels, step, offset)


def random_train(
    levels_L: Array, length: int, slot_0: int, key_2: Words, stream: Stream, tick: int, extra: int
) -> NDArray[np.bool_]:
    """Whether each line fires in each slot, [slots, lines].

    16 bits of each line, as a number in [0, 1), are compared with its level; where they are the level's own
    first 16 bits, a further draw decides, so that the probability is exact.
    """
    train_KL = np.empty((length, levels_L.size), np.bool_)
    for slot in range(length):
        halves_L = line_halves(key_2, levels_L.size, slot_0 + slot, stream, tick, extra)
        finer_L = line_words(key_2, levels_L.size, slot_0 + slot + FINER, stream, tick, extra)
        margin_L = formulas.train_margin(levels_L, halves_L)
        train_KL[slot] = formulas.fires(margin_L, unit_interval(finer_L))
    return train_KL


def coincidences(
    x_I: Array,
    d_O: Array,
    length: int,
    scales: tuple[Any, Any],
    rule: Rule,
    key_2: Words,
    tick: int,
    extra: int,
) -> NDArray[np.int64]:
    """How many pulses every crosspoint gets from one vector, [O, I]."""
    of_d, of_x = scales
    x_level = line_levels(x_I, of_x, rule.x_step, rule.jitter, key_2, Stream.ROUND_X, tick, extra)
    d_level = line_levels(d_O, of_d, rule.d_step, rule.jitter, key_2, Stream.ROUND_D, tick, extra)
    size = f32(length)
    if rule.mode == 2:
        n_I, n_O = (np.minimum(np.rint(size * level), size) for level in (x_level, d_level))
        return np.rint(np.outer(n_O, n_I) / size).astype(np.int64)
    if rule.mode == 3:
        x_hat, d_hat = (np.clip(level, f32(0.0), f32(1.0)) for level in (x_level, d_level))
        return np.rint(size * np.outer(d_hat, x_hat)).astype(np.int64)
    a_KI = random_train(x_level, length, 0, key_2, Stream.PULSE_X, tick, extra)
    b_KO = random_train(d_level, length, 0, key_2, Stream.PULSE_D, tick, extra)
    counts = np.einsum("ko,ki->oi", b_KO.astype(np.int64), a_KI.astype(np.int64))
    if rule.mode == 1:
        second_KO = random_train(d_level, length, SECOND_PASS, key_2, Stream.PULSE_D, tick, extra)
        negative = np.einsum("ko,ki->oi", second_KO.astype(np.int64), a_KI.astype(np.int64))
        counts = np.where(np.signbit(x_I)[None, :], negative, counts)
    return counts


def step_noise(numbers_OI: NDArray[np.int64], key_2: Words, tick: int, extra: int) -> list[Array]:
    """Standard normals of each row's ordinals: eight a call, as many as ``numbers_OI`` asks for."""
    rows = []
    for row, numbers in enumerate(numbers_OI):
        total = int(numbers.sum())
        calls = max((total + 7) // 8, 1)
        low, high = counter_high(Stream.STEP_NOISE, tick, extra)
        call = np.arange(calls)
        counter = np.stack([call, np.full(calls, row), np.full(calls, low), np.full(calls, high)])
        words = philox4x32(key_2, counter.astype(np.uint32))
        eight = [normal for word in words for normal in normal_pair(word)]
        rows.append(np.stack(eight, axis=1).reshape(-1))
    return rows


class Tile(NamedTuple):
    """The devices of one tile."""

    kind: Any  # the device's class, which steps
    w_OI: Array
    p_OIP: Array
    c: Array
    seen_OI: Array
    write_noise: Any
    key_2: Words
    train_key_2: Words


def step_crosspoints(
    tile: Tile, counts_OI: NDArray[np.int64], up_OI: NDArray[np.bool_], negative_I: NDArray[np.bool_],
    tick: int, extra: int, aggregates: bool,
) -> None:  # fmt: skip
    """Take ``counts_OI`` steps at each crosspoint, in place.

    A row's noises are numbered along the columns of positive inputs first, then along those of negative ones.
    """
    numbers = np.minimum(counts_OI, 1) if aggregates else counts_OI
    order = np.argsort(negative_I, kind="stable")
    first_OI = np.empty_like(numbers)
    first_OI[:, order] = np.cumsum(numbers[:, order], axis=1) - numbers[:, order]
    noise, w_OI = step_noise(numbers, tile.key_2, tick, extra), tile.w_OI
    for repeat in range(int(numbers.max(initial=0))):
        row, column = np.nonzero(numbers > repeat)
        xi = np.array([noise[r][first_OI[r, i] + repeat] for r, i in zip(row, column, strict=True)], f32)
        n = counts_OI[row, column].astype(f32) if aggregates else np.ones(row.size, f32)
        p = parameters_type(tile.kind)(*np.moveaxis(tile.p_OIP[row, column], -1, 0))
        w_OI[row, column] = tile.kind.step(w_OI[row, column], up_OI[row, column], n, xi, p, tuple(tile.c))


def see_pulsed(tile: Tile, pulsed_OI: NDArray[np.bool_], tick: int, extra: int) -> None:
    """Redraw the weight that is seen of each crosspoint that was pulsed."""
    row, column = np.nonzero(pulsed_OI)
    low, high = counter_high(Stream.WRITE_NOISE, tick, extra)
    counter = np.stack([column, row, np.full(row.size, low), np.full(row.size, high)]).astype(np.uint32)
    xi = normal_pair(philox4x32(tile.key_2, counter)[0])[0]
    tile.seen_OI[row, column] = tile.w_OI[row, column] + tile.write_noise * xi


def pulse_vector(tile: Tile, x_I: Array, d_O: Array, pulsing: Pulsing, number: int) -> int:
    """Pulse vector ``number`` into one tile, in place; returns the number of pulses."""
    rule, extra = pulsing.rule, pulsing.extra
    x_max, d_max = np.abs(x_I).max(), np.abs(d_O).max() * rule.grad_scale
    plan = (x_max, d_max, f32(abs(pulsing.rate)), pulsing.granularity, rule.desired, rule.scaling)
    length = formulas.train_length(*plan)
    slots = int(formulas.part_length(length, f32(number % rule.parts), rule.parts))
    if slots == 0:
        return 0
    scales, tick = formulas.train_scale(*plan, length), pulsing.tick + number
    counts = coincidences(x_I, d_O, slots, scales, rule, tile.train_key_2, tick, extra)
    up = np.signbit(d_O)[:, None] ^ np.signbit(x_I)[None, :] ^ bool(pulsing.rate < 0)
    if pulsing.side == Side.UP:
        counts = np.where(up, counts, 0)
    elif pulsing.side == Side.DOWN_AS_UP:
        counts, up = np.where(up, 0, counts), np.ones_like(up)
    step_crosspoints(tile, counts, up, np.signbit(x_I), tick, extra, pulsing.aggregates)
    if tile.write_noise > 0:
        see_pulsed(tile, counts > 0, tick, extra)
    return int(counts.sum())


def run(device: Any, order: Update, looks: Looks | None = None) -> Status:
    """The update of ``cpu.update``, in numpy."""
    assert looks is None
    devices, vectors, pulsing = order.devices, order.vectors, order.pulsing
    if not np.isfinite(vectors.x_XBI).all():
        return Status.BAD_X
    if not np.isfinite(vectors.d_DBO).all():
        return Status.BAD_D
    if _longest(vectors, pulsing) > pulsing.rule.longest:
        return Status.TOO_LONG
    for t in range(len(devices.w_TOI)):
        tile = Tile(
            type(device), devices.w_TOI[t], devices.p_TOIP[t], devices.c, devices.seen_TOI[t],
            devices.write_noise, devices.keys_T2[t], order.train_keys_T2[t],
        )  # fmt: skip
        for b in range(vectors.batch):
            if order.active_TB.size == 0 or order.active_TB[t, b]:
                x_I, d_O = vectors.x_XBI[vectors.x_of_T[t], b], vectors.d_DBO[vectors.d_of_T[t], b]
                order.pulses_T[t] += pulse_vector(tile, x_I, d_O, pulsing, b)
    return Status.DONE


def _longest(vectors: Vectors, pulsing: Pulsing) -> float:
    rule = pulsing.rule
    x_max, d_max = np.abs(vectors.x_XBI).max(), np.abs(vectors.d_DBO).max() * rule.grad_scale
    rate = f32(abs(pulsing.rate))
    return float(formulas.train_length(x_max, d_max, rate, pulsing.granularity, rule.desired, rule.scaling))


def update_exactly(
    w_TOI: Any, p_TOIP: Any, x_XBI: Any, x_of_T: Any, d_DBO: Any, d_of_T: Any, rate: Any
) -> None:
    """w <- w - rate d x for every vector; clipped to the bounds p[0], p[1] after each, if there are any."""
    for t in range(w_TOI.shape[0]):
        for x_I, d_O in zip(x_XBI[x_of_T[t]], d_DBO[d_of_T[t]], strict=True):
            w_TOI[t] -= (rate * d_O)[:, None] * x_I[None, :]
            if p_TOIP is not None:
                np.clip(w_TOI[t], p_TOIP[t, ..., 0], p_TOIP[t, ..., 1], out=w_TOI[t])
