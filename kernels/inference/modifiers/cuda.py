"""Weight modifiers for Triton: one pass over the crosspoints, a row of a tile a program.

Takes torch tensors on the card; words and normals are those of the other backends, bit by bit.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

from ...machine.programs import programs
from ...rng import Stream
from ...rng import formulas as rng_formulas
from ...rng.cuda import jitted, philox4x32
from . import formulas
from .plan import Extra, Kind, Plan, Slot, byte_normals

unit_interval = jitted(rng_formulas.unit_interval)
natural_log = jitted(rng_formulas.natural_log)
rotated = jitted(formulas.rotated)
round_half_away = jitted(formulas.round_half_away)
discretized = jitted(formulas.discretized)
tanh = jitted(formulas.tanh)
dorefa = jitted(formulas.dorefa)
polynomial = jitted(formulas.polynomial)
reflected = jitted(formulas.reflected)
pcm_target = jitted(formulas.pcm_target)
pcm_failed = jitted(formulas.pcm_failed)
pcm_noisy = jitted(formulas.pcm_noisy)

empty_like = torch.empty_like
BLOCK = 512
KEEP, ADD_NORMAL, MULT_NORMAL = (tl.constexpr(int(k)) for k in (Kind.KEEP, Kind.ADD_NORMAL, Kind.MULT_NORMAL))
DISCRETIZE, DISCRETIZE_ADD_NORMAL = (
    tl.constexpr(int(k)) for k in (Kind.DISCRETIZE, Kind.DISCRETIZE_ADD_NORMAL)
)
DOREFA, POLY, PROG_NOISE, PCM_NOISE = (
    tl.constexpr(int(k)) for k in (Kind.DOREFA, Kind.POLY, Kind.PROG_NOISE, Kind.PCM_NOISE)
)
STD, RES, CLIP, P_DROP, G_MAX, THRESHOLD = (
    tl.constexpr(int(s)) for s in (Slot.STD, Slot.RES, Slot.CLIP, Slot.P_DROP, Slot.G_MAX, Slot.THRESHOLD)
)
P_RESET, P_GMAX, P_RANDOM, LOG_AGE, SPREAD, COEFF = (
    tl.constexpr(int(s))
    for s in (Slot.P_RESET, Slot.P_GMAX, Slot.P_RANDOM, Slot.LOG_AGE, Slot.SPREAD, Slot.COEFF)
)
NORMAL, NORMAL_DRIFT, NORMAL_READ, ROUND, DROP = (
    tl.constexpr(int(e))
    for e in (Extra.NORMAL, Extra.NORMAL_DRIFT, Extra.NORMAL_READ, Extra.ROUND, Extra.DROP)
)
FAIL_RESET, FAIL_GMAX, FAIL_RANDOM, FAIL_SIDE, FAIL_LEVEL = (
    tl.constexpr(int(e))
    for e in (Extra.FAIL_RESET, Extra.FAIL_GMAX, Extra.FAIL_RANDOM, Extra.FAIL_SIDE, Extra.FAIL_LEVEL)
)
STREAM = tl.constexpr(int(Stream.MODIFIER) << 24)


@triton.jit
def chosen(k, a, b, c, d):
    """Element k of (a, b, c, d)."""
    return tl.where(k < 2, tl.where(k == 0, a, b), tl.where(k == 2, c, d))


@triton.jit
def column_words(column, counters, k0, k1, row, low, high, extra: tl.constexpr):
    """The words of the counters of these columns."""
    c0 = (column % counters).to(tl.uint32)
    zero = tl.zeros_like(c0)
    last = high | tl.cast(STREAM | (extra << 16), tl.uint32)
    return philox4x32(k0, k1, c0, zero + row, zero + low, zero + last)


@triton.jit
def uniforms(column, columns, k0, k1, row, low, high, extra: tl.constexpr):
    counters = (columns + 3) // 4
    w0, w1, w2, w3 = column_words(column, counters, k0, k1, row, low, high, extra)
    return unit_interval(chosen(column // counters, w0, w1, w2, w3))


@triton.jit
def normals(table, column, columns, k0, k1, row, low, high, extra: tl.constexpr):
    counters = (columns + 15) // 16
    w0, w1, w2, w3 = column_words(column, counters, k0, k1, row, low, high, extra)
    plane = column // counters
    word = chosen(plane // 4, w0, w1, w2, w3)
    a = tl.load(table + (word & 255).to(tl.int32))
    b = tl.load(table + ((word >> 8) & 255).to(tl.int32))
    c = tl.load(table + ((word >> 16) & 255).to(tl.int32))
    d = tl.load(table + (word >> 24).to(tl.int32))
    a, b, c, d = rotated(a, b, c, d)
    return chosen(plane % 4, a, b, c, d)


@triton.jit
def jitters(column, columns, k0, k1, row, low, high, stochastic: tl.constexpr):
    if stochastic:
        return uniforms(column, columns, k0, k1, row, low, high, ROUND) - 0.5
    else:
        return tl.zeros_like(column).to(tl.float32)


@triton.jit
def poly_noise(w, w_max, scale, values, xi):
    """``w`` with noise whose strength is a polynomial of |w|."""
    sigma = scale * polynomial(
        tl.div_rn(tl.abs(w), tl.zeros_like(w) + w_max), tl.load(values + COEFF), tl.load(values + COEFF + 1),
        tl.load(values + COEFF + 2), tl.load(values + COEFF + 3), tl.load(values + COEFF + 4),
        tl.load(values + COEFF + 5),
    )  # fmt: skip
    return w + w_max * sigma * xi


@triton.jit
def pcm(w, w_max, values, table, column, columns, k0, k1, row, low, high):
    g_max = tl.load(values + G_MAX)
    target = pcm_target(w, w_max, g_max, tl.load(values + THRESHOLD))
    g = pcm_failed(
        target, g_max,
        uniforms(column, columns, k0, k1, row, low, high, FAIL_RESET),
        uniforms(column, columns, k0, k1, row, low, high, FAIL_GMAX),
        uniforms(column, columns, k0, k1, row, low, high, FAIL_RANDOM),
        tl.load(values + P_RESET), tl.load(values + P_GMAX), tl.load(values + P_RANDOM),
        uniforms(column, columns, k0, k1, row, low, high, FAIL_SIDE),
        uniforms(column, columns, k0, k1, row, low, high, FAIL_LEVEL),
    )  # fmt: skip
    noisy = pcm_noisy(
        g, g_max, tl.load(values + STD), tl.load(values + LOG_AGE), tl.load(values + SPREAD),
        normals(table, column, columns, k0, k1, row, low, high, NORMAL),
        normals(table, column, columns, k0, k1, row, low, high, NORMAL_DRIFT),
        normals(table, column, columns, k0, k1, row, low, high, NORMAL_READ),
    )  # fmt: skip
    return reflected(target, tl.div_rn(noisy, tl.zeros_like(noisy) + g_max) * w_max)


class How(NamedTuple):
    """What a kernel is compiled for."""

    kind: int
    stochastic: bool
    dropping: bool
    keep_last: bool


@triton.jit
def modify_kernel(
    out, weights, keys, w_maxima, values, table, rows, columns, low, high, HOW: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Program (r, b): columns of block b of row r, counted through all tiles."""
    r = tl.program_id(0).to(tl.int64)
    tile = r // rows
    row = (r % rows).to(tl.uint32)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < columns
    w = tl.load(weights + r * columns + column, mask=inside, other=0.0)
    k0 = tl.load(keys + 2 * tile).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * tile + 1).to(tl.uint32, bitcast=True)
    low = tl.cast(low, tl.uint32)
    high = tl.cast(high, tl.uint32)
    w_max = tl.load(w_maxima + tile)
    strength = tl.load(values + STD) * w_max
    if HOW.kind == ADD_NORMAL:
        y = w + strength * normals(table, column, columns, k0, k1, row, low, high, NORMAL)
    elif HOW.kind == MULT_NORMAL:
        y = w + strength * w * normals(table, column, columns, k0, k1, row, low, high, NORMAL)
    elif HOW.kind == DISCRETIZE:
        jitter = jitters(column, columns, k0, k1, row, low, high, HOW.stochastic)
        y = discretized(w, w_max, tl.load(values + RES), jitter)
    elif HOW.kind == DISCRETIZE_ADD_NORMAL:
        jitter = jitters(column, columns, k0, k1, row, low, high, HOW.stochastic)
        y = discretized(w, w_max, tl.load(values + RES), jitter)
        y += strength * normals(table, column, columns, k0, k1, row, low, high, NORMAL)
    elif HOW.kind == DOREFA:
        jitter = jitters(column, columns, k0, k1, row, low, high, HOW.stochastic)
        y = dorefa(w, w_max, tl.load(values + CLIP), tl.load(values + RES), jitter)
    elif HOW.kind == POLY:
        xi = normals(table, column, columns, k0, k1, row, low, high, NORMAL)
        y = poly_noise(w, w_max, tl.load(values + STD), values, xi)
    elif HOW.kind == PROG_NOISE:
        xi = normals(table, column, columns, k0, k1, row, low, high, NORMAL)
        scale = tl.div_rn(tl.load(values + STD), tl.load(values + G_MAX))
        y = reflected(w, poly_noise(w, w_max, scale, values, xi))
    elif HOW.kind == PCM_NOISE:
        y = pcm(w, w_max, values, table, column, columns, k0, k1, row, low, high)
    else:
        y = w
    if HOW.dropping:
        u = uniforms(column, columns, k0, k1, row, low, high, DROP)
        y = tl.where(u < tl.load(values + P_DROP), 0.0, y)
    if HOW.keep_last:
        y = tl.where(column == columns - 1, w, y)
    tl.store(out + r * columns + column, y, mask=inside)


@functools.cache
def _table(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(byte_normals()).to(device)


@functools.lru_cache(maxsize=1024)  # of the layers of a large network
def _kept(numbers: bytes, kind: str, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(numbers, kind).copy()).to(device)


def _on_card(array: Any, device: torch.device) -> torch.Tensor:
    """A small array that is the same again and again, on the card; keys as the int32 of the same bits."""
    if isinstance(array, torch.Tensor):
        return array
    kind = np.dtype(np.int32) if array.dtype == np.uint32 else array.dtype
    return _kept(array.tobytes(), kind.str, device)


def largest_magnitude(w_TOI: torch.Tensor, columns: int) -> torch.Tensor:
    """max |w| of the first ``columns`` columns of each tile [T]; NaN or infinity if one of them is."""
    if columns == 0:
        return torch.zeros(len(w_TOI), device=w_TOI.device)
    return w_TOI[:, :, :columns].abs().amax(dim=(1, 2))


def modify(out_TOI: Any, w_TOI: Any, keys_T2: Any, tick: int, plan: Plan, w_max_T: Any) -> None:
    """Write the weights as the mini-batch at ``tick`` sees them; weights are tensors on one card.

    Products and sums are not fused: they round as on CPUs.
    """
    tiles, rows, columns = w_TOI.shape
    device = w_TOI.device
    low = (tick & 0xFFFFFFFF) - (1 << 32 if tick & 0x80000000 else 0)
    grid = programs("modified weights", tiles * rows, triton.cdiv(columns, BLOCK))
    modify_kernel[grid](
        out_TOI, w_TOI, _on_card(keys_T2, device), _on_card(w_max_T, device), _on_card(plan.values, device),
        _table(device), rows, columns, low, tick >> 32,
        How(int(plan.kind), plan.stochastic, bool(plan.values[Slot.P_DROP] > 0.0), plan.keep_last), BLOCK,
        enable_fp_fusion=False,
    )  # fmt: skip
