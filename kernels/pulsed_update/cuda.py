"""The pulsed update for CUDA: one program a vector makes the trains, one program a row applies them.

The addresses of all draws and the order of all steps are those of ``naive`` and ``cpu``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import triton
import triton.language as tl

from ..rng import Stream
from ..rng.cuda import counter_low, counter_top, jitted, normal_pair, philox4x32, unit_interval
from ..rng.triton_math import rint
from . import formulas
from .rule import FINER, SECOND_PASS

PULSE_X, PULSE_D = tl.constexpr(int(Stream.PULSE_X)), tl.constexpr(int(Stream.PULSE_D))
ROUND_X, ROUND_D = tl.constexpr(int(Stream.ROUND_X)), tl.constexpr(int(Stream.ROUND_D))
STEP_NOISE, WRITE_NOISE = tl.constexpr(int(Stream.STEP_NOISE)), tl.constexpr(int(Stream.WRITE_NOISE))
_SECOND, _FINER = tl.constexpr(SECOND_PASS), tl.constexpr(FINER)

train_length = jitted(formulas.train_length)
train_scale = jitted(formulas.train_scale)
quantised = jitted(formulas.quantised)


@triton.jit
def largest(values, lines, BLOCK: tl.constexpr):
    """The largest magnitude of a vector, as float bits: NaN and infinity are larger than all numbers."""
    top = tl.zeros((), tl.int32)
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        bits = tl.load(values + line, line < lines, 0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
        top = tl.maximum(top, tl.max(bits, 0))
    return top


@triton.jit
def picked(words, number):
    """Word ``number`` (0..3) of each call."""
    w0, w1, w2, w3 = words
    return tl.where(number < 2, tl.where(number == 0, w0, w1), tl.where(number == 2, w2, w3))


@triton.jit
def line_halves(k0, k1, line, row, low, top):
    """16 random bits a line, as a number: line is half ``line % 8`` of call ``line // 8``."""
    call = (line // 8).to(tl.uint32)
    zero = tl.zeros_like(call)
    words = philox4x32(k0, k1, call, (zero + row).to(tl.uint32), zero + low, zero + top)
    word = picked(words, line % 8 // 2)
    return tl.where(line % 2 == 0, word & 0xFFFF, word >> 16).to(tl.float32)


@triton.jit
def line_codes(
    values, codes, lines, scale, step, length, k0, k1, tick, extra, slot_0: tl.constexpr, MODE: tl.constexpr,
    JITTER: tl.constexpr, STREAM: tl.constexpr, ROUND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Codes of one vector's lines: bit 31 the sign, the rest the train, count or level."""
    low, top = counter_low(tick), counter_top(STREAM, extra, tick)
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        here = line < lines
        value = tl.load(values + line, here, 0.0)
        call, number = (line // 4).to(tl.uint32), line % 4
        level = tl.abs(value) * scale
        offset = tl.zeros_like(level)
        if JITTER:
            zero = tl.zeros_like(call)
            words = philox4x32(k0, k1, call, zero, zero + low, zero + counter_top(ROUND, extra, tick))
            offset = unit_interval(picked(words, number)) - 0.5
        level = quantised(level, step, offset)
        if MODE <= 1:
            code = tl.zeros_like(line)
            slot = 0
            while slot < length:
                half = line_halves(k0, k1, line, slot + slot_0, low, top)
                below = level * 65536.0 - half
                fires = below >= 1.0
                undecided = (below > 0.0) & (below < 1.0)
                if tl.max(undecided.to(tl.int32), 0) > 0:
                    zero = tl.zeros_like(call)
                    row = (zero + slot + slot_0 + _FINER).to(tl.uint32)
                    words = philox4x32(k0, k1, call, row, zero + low, zero + top)
                    fires = fires | (undecided & (unit_interval(picked(words, number)) < below))
                code = code | (fires.to(tl.int32) << slot)
                slot += 1
        elif MODE == 2:
            size = tl.cast(length, tl.float32)
            code = tl.minimum(rint(level * size), size).to(tl.int32)
        else:
            code = tl.minimum(tl.maximum(level, 0.0), 1.0).to(tl.int32, bitcast=True)
        code = tl.where(length > 0, code, 0)
        sign = value.to(tl.int32, bitcast=True) & -2147483648
        tl.store(codes + line, code | sign, here)


@triton.jit
def train_kernel(
    x, x_of, d, d_of, active, keys, tick_of_first, x_codes, d_codes, d_second, lengths, vectors,
    columns, rows, rate, granularity, desired, grad_scale, x_step, d_step, extra, SCALING: tl.constexpr,
    MODE: tl.constexpr, JITTER: tl.constexpr, HAS_ACTIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Trains of vector b of tile t. The length is -1 or -2 where x or d is not finite."""
    t, b = tl.program_id(0), tl.program_id(1)
    tick = tl.load(tick_of_first) + b
    x_values = x + (tl.load(x_of + t) * vectors + b) * columns
    d_values = d + (tl.load(d_of + t) * vectors + b) * rows
    x_bits, d_bits = largest(x_values, columns, BLOCK), largest(d_values, rows, BLOCK)
    x_max = x_bits.to(tl.float32, bitcast=True)
    d_max = d_bits.to(tl.float32, bitcast=True) * grad_scale
    planned = train_length(x_max, d_max, rate, granularity, desired, SCALING)
    if HAS_ACTIVE:
        planned = tl.where(tl.load(active + t * vectors + b) == 0, 0.0, planned)
    of_d, of_x = train_scale(x_max, d_max, rate, granularity, desired, SCALING, planned)
    length = planned.to(tl.int32)
    length = tl.where(d_bits >= 0x7F800000, -2, length)
    length = tl.where(x_bits >= 0x7F800000, -1, length)
    at = (t * vectors + b).to(tl.int64)
    tl.store(lengths + at, length)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    line_codes(
        x_values, x_codes + at * columns, columns, of_x, x_step, length, k0, k1, tick, extra, 0, MODE, JITTER,
        PULSE_X, ROUND_X, BLOCK,
    )  # fmt: skip
    line_codes(
        d_values, d_codes + at * rows, rows, of_d, d_step, length, k0, k1, tick, extra, 0, MODE, JITTER,
        PULSE_D, ROUND_D, BLOCK,
    )  # fmt: skip
    if MODE == 1:
        line_codes(
            d_values, d_second + at * rows, rows, of_d, d_step, length, k0, k1, tick, extra, _SECOND, MODE,
            JITTER, PULSE_D, ROUND_D, BLOCK,
        )  # fmt: skip


@triton.jit
def bits_set(word):
    """The number of set bits of uint32 (Warren, Hacker's Delight, 5-1)."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return ((word * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def pulse_counts(x_code, d_code, d_second, length, MODE: tl.constexpr):
    """How many pulses the columns' codes and a row's code make."""
    x_level, d_level = x_code & 0x7FFFFFFF, d_code & 0x7FFFFFFF
    size = tl.cast(length, tl.float32)
    if MODE == 0:
        return bits_set((x_level & d_level).to(tl.uint32, bitcast=True))
    if MODE == 1:
        level = tl.where(x_code < 0, d_second & 0x7FFFFFFF, d_level)
        return bits_set((x_level & level).to(tl.uint32, bitcast=True))
    if MODE == 2:
        product = x_level.to(tl.float32) * d_level.to(tl.float32)
        return rint(tl.div_rn(product, tl.zeros_like(product) + size)).to(tl.int32)
    product = x_level.to(tl.float32, bitcast=True) * d_level.to(tl.float32, bitcast=True)
    return rint(size * product).to(tl.int32)


@triton.jit
def ordinal_noise(k0, k1, ordinal, row, tick, extra):
    """The standard normal of each ordinal of a row and vector."""
    call = (ordinal // 8).to(tl.uint32)
    zero = tl.zeros_like(call)
    low, top = zero + counter_low(tick), zero + counter_top(STEP_NOISE, extra, tick)
    words = philox4x32(k0, k1, call, zero + row, low, top)
    a, b = normal_pair(picked(words, ordinal % 8 // 2))
    return tl.where(ordinal % 2 == 0, a, b)


@triton.jit
def first_ordinals(number, negative):
    """Which noise of a row is each column's first: columns of positive inputs come before the others."""
    of_positive = tl.where(negative, 0, number)
    of_negative = number - of_positive
    after = tl.sum(of_positive, 0) + tl.cumsum(of_negative, 0) - of_negative
    return tl.where(negative, after, tl.cumsum(of_positive, 0) - of_positive)


@triton.jit
def step_kernel(
    w, p, c, seen, write_noise, keys, tick_of_first, x_codes, d_codes, d_second, lengths, pulses, vectors,
    columns, rows, neg_rate, extra, step: tl.constexpr, PARAMETERS: tl.constexpr, MODE: tl.constexpr,
    SIDE: tl.constexpr, NOISY: tl.constexpr, AGGREGATES: tl.constexpr, WRITE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """All coincidences of one row of one tile with the vectors of a batch, in order."""
    t, row = tl.program_id(0) // rows, tl.program_id(0) % rows
    column = tl.arange(0, BLOCK)
    here = column < columns
    at = tl.program_id(0).to(tl.int64) * columns + column
    w_I = tl.load(w + at, here, 0.0)
    p_PI = load_parameters(p + at * PARAMETERS, here, PARAMETERS)
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    tick_0 = tl.load(tick_of_first)
    row_word = tl.cast(row, tl.uint32)
    last = tl.full((BLOCK,), -1, tl.int32)
    total = tl.zeros((BLOCK,), tl.int32)
    for b in range(0, vectors):
        vector = (t * vectors + b).to(tl.int64)
        length = tl.load(lengths + vector)
        d_code = tl.load(d_codes + vector * rows + row)
        second = tl.load(d_second + vector * rows + row)
        if (length > 0) & (((d_code | second) & 0x7FFFFFFF) != 0):
            x_code = tl.load(x_codes + vector * columns + column, here, 0)
            count = tl.where(here, pulse_counts(x_code, d_code, second, length, MODE), 0)
            up = ((x_code < 0) != (d_code < 0)) != (neg_rate != 0)
            if SIDE == 1:
                count = tl.where(up, count, 0)
            if SIDE == 2:
                count = tl.where(up, 0, count)
                up = up | (column >= 0)
            number = tl.minimum(count, 1) if AGGREGATES else count
            first = first_ordinals(number, x_code < 0)
            most = tl.max(number, 0)
            repeat = 0
            while repeat < most:
                if NOISY:
                    xi = ordinal_noise(k0, k1, first + repeat, row_word, tick_0 + b, extra)
                else:
                    xi = tl.zeros_like(w_I)
                n = count.to(tl.float32) if AGGREGATES else tl.full((BLOCK,), 1.0, tl.float32)
                w_I = tl.where(number > repeat, step(w_I, up, n, xi, p_PI, c), w_I)
                repeat += 1
            last = tl.where(count > 0, b, last)
            total += count
    tl.store(w + at, w_I, here)
    tl.store(pulses + tl.program_id(0), tl.sum(total, 0))
    if WRITE:
        zero = tl.zeros((BLOCK,), tl.uint32)
        tick = tick_0 + last
        low = counter_low(tick)
        top = counter_top(WRITE_NOISE, extra, tick)
        word, _, _, _ = philox4x32(k0, k1, column.to(tl.uint32), zero + row_word, low, top)
        xi, _ = normal_pair(word)
        tl.store(seen + at, w_I + write_noise * xi, here & (last >= 0))


@triton.jit
def load_parameters(p, here, PARAMETERS: tl.constexpr):
    """The arrays that a step takes, as a tuple."""
    a, b = tl.load(p, here, 0.0), tl.load(p + 1, here, 0.0)
    c, d = tl.load(p + 2, here, 0.0), tl.load(p + 3, here, 0.0)
    if PARAMETERS == 4:
        return a, b, c, d
    e = tl.load(p + 4, here, 0.0)
    if PARAMETERS == 5:
        return a, b, c, d, e
    f = tl.load(p + 5, here, 0.0)
    if PARAMETERS == 6:
        return a, b, c, d, e, f
    g = tl.load(p + 6, here, 0.0)
    return a, b, c, d, e, f, g


@functools.cache
def stepper(formula: Callable[..., Any]) -> Any:
    """A device's formula for Triton."""
    return jitted(formula)


def run(device: Any, arguments: tuple[Any, ...]) -> int:
    """The update of ``cpu.run`` for torch tensors on one device: same arguments, same result."""
    import torch

    (
        w_TOI, p_TOIP, c, seen_TOI, write_noise, keys_T2, train_keys_T2, x_XBI, x_of_T, d_DBO, d_of_T,
        active_TB, rule, rate, granularity, tick, extra, side, noisy, aggregates, pulses_T,
    ) = arguments  # fmt: skip
    where = w_TOI.device
    tiles, rows, columns = w_TOI.shape
    vectors = x_XBI.shape[1]

    def there(array: Any) -> Any:
        """``array`` on the device; uint32 as the int32 of the same bits."""
        if isinstance(array, np.ndarray):
            array = torch.from_numpy(array.view(np.int32) if array.dtype == np.uint32 else array)
        return array.to(where)

    x_XBI, d_DBO, x_of, d_of = there(x_XBI), there(d_DBO), there(x_of_T), there(d_of_T)
    ticks = torch.tensor([tick], dtype=torch.int64, device=where)

    def codes(lines: int) -> Any:
        return torch.empty((tiles, vectors, lines), dtype=torch.int32, device=where)

    x_codes, d_codes = codes(columns), codes(rows)
    d_second = codes(rows) if rule.mode == 1 else d_codes
    lengths = torch.empty((tiles, vectors), dtype=torch.int32, device=where)
    settings = {"MODE": rule.mode, "BLOCK": min(1024, triton.next_power_of_2(max(rows, columns)))}
    active = there(active_TB) if active_TB.size else lengths
    train_kernel[(tiles, vectors)](
        x_XBI, x_of, d_DBO, d_of, active, there(train_keys_T2), ticks,
        x_codes, d_codes, d_second, lengths, vectors, columns, rows, float(abs(rate)), float(granularity),
        float(rule.desired), float(rule.grad_scale), float(rule.x_step), float(rule.d_step), extra,
        SCALING=rule.scaling, JITTER=bool(rule.jitter), HAS_ACTIVE=active_TB.size > 0, **settings,
    )  # fmt: skip
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 0:
        return -shortest
    if longest > 31:
        return 3
    pulses = torch.empty(tiles * rows, dtype=torch.int32, device=where)
    step_kernel[(tiles * rows,)](
        w_TOI, p_TOIP, tuple(float(k) for k in c), seen_TOI, float(write_noise), there(keys_T2), ticks,
        x_codes, d_codes, d_second, lengths, pulses, vectors, columns, rows, int(rate < 0), extra,
        step=stepper(type(device).step), PARAMETERS=p_TOIP.shape[3], SIDE=side, NOISY=bool(noisy),
        AGGREGATES=bool(aggregates), WRITE=bool(write_noise > 0),
        **{**settings, "BLOCK": triton.next_power_of_2(columns)},
    )  # fmt: skip
    pulses_T += pulses.reshape(tiles, rows).sum(dim=1).cpu().numpy()
    return 0
