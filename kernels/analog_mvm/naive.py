"""The read of a tile in numpy, one vector at a time: the reference that the fast backends are held to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..machine.ready import ready
from ..rng.formulas import unit_interval
from . import formulas
from .rows import Attempt, Rows
from .settings import (
    ADDITIVE_NOISE,
    ANALOG_SUM,
    DIGITAL_SUM,
    INPUT_NOISE,
    INPUT_ROUNDING,
    NO_WEIGHT_NOISE,
    ONE_PASS,
    OUTPUT_NOISE,
    OUTPUT_ROUNDING,
    SCALE_ABS_MAX,
    SCALE_AVERAGE,
    SCALE_CONSTANT,
    SCALE_MAX,
    SCALE_NP_SUM,
    SECOND_PASS,
    WEIGHT_NOISE,
    Settings,
)
from .spread import Spread, line_normals, line_words

__all__ = ["at_bound", "attempt", "passed", "prepare", "ready", "scales", "threads", "watched"]

Array = NDArray[np.float32]


def prepare(settings: Settings) -> Settings:
    """Settings as the other functions take them: as they are."""
    return settings


def passed(named: Any) -> Any:
    """A named tuple as ``attempt`` takes it: as it is."""
    return named


def threads(vectors: int, lines: int, length: int) -> int:
    """How many threads an attempt at so many vectors takes; 0: as many as ``watched`` says while it runs."""
    return 1


def watched(vectors: int, lines: int, length: int) -> AbstractContextManager[int]:
    """While an attempt runs: its threads. Numpy takes its own."""
    return nullcontext(1)


def scales(prepared: Settings, scaling: int, x_RI: Array) -> tuple[Array, bool]:
    """The scale of every vector (its largest magnitude for SCALE_AVERAGE); whether all is finite."""
    settings = prepared
    limit = settings.largest_scale
    alpha = np.ones(len(x_RI), np.float32)
    if scaling == SCALE_CONSTANT:
        alpha[:] = limit
    elif scaling == SCALE_MAX:
        alpha = np.minimum(x_RI.max(axis=1), limit)
    elif scaling in (SCALE_ABS_MAX, SCALE_AVERAGE, SCALE_NP_SUM):
        alpha = np.minimum(np.abs(x_RI).max(axis=1), limit)
    if scaling == SCALE_NP_SUM:
        positive = np.maximum(x_RI, 0).cumsum(axis=1, dtype=np.float32)[:, -1]
        negative = np.maximum(-x_RI, 0).cumsum(axis=1, dtype=np.float32)[:, -1]
        one_sign = np.maximum(positive, negative)
        factors = settings.np_sum_finest, settings.np_sum_factor
        alpha = formulas.number_sum_scale(alpha, one_sign, *factors)
    alpha = np.where(alpha > 0, alpha, np.float32(settings.unscaled_if_zero))
    return alpha.astype(np.float32), bool(np.isfinite(x_RI).all())


def at_bound(y_TBL: Array, limit_M: Array, first_T: NDArray[np.int64]) -> tuple[int, Array]:
    """How many results are of their vector's limit or larger, and which; none of a vector of limit 0.

    Tile t's vectors have the limits limit_M[first_T[t]], ...
    """
    limit_TB1 = limit_M[first_T[:, None] + np.arange(y_TBL.shape[1])][:, :, None]
    mask_TBL = (np.abs(y_TBL) >= limit_TB1) & (limit_TB1 > 0)
    return int(mask_TBL.sum()), mask_TBL.view(np.uint8)


def attempt(
    prepared: Settings,
    spread: Spread,
    keys_T2: NDArray[np.uint32],
    w_TOI: Array,
    x_RI: Array,
    scale_M: Array,
    rows: Rows,
    factor: float,
    tick: int,
    number: int,
    threads: int = 1,
) -> Attempt:
    """Read ``rows`` once, with the scales of the inputs, or ``rows.NOT_SCALED``: their own ``scales`` then.

    Gives y_NL, whether a row hit the ADC's bound, how many of its values did, and of all; how many results
    may stand at the bound, at least those that do (None where nobody counted); the scales, and whether all
    inputs are finite, if it looked at them: where they are not, nothing is read.
    """
    settings, finite = prepared, True
    if not len(scale_M):
        scale_R, finite = scales(settings, settings.scaling, x_RI)
        scale_M = scale_R[rows.source_M] if finite else np.zeros(len(rows.source_M), np.float32)
    tiles, lines = len(w_TOI), w_TOI.shape[2 if settings.transposed else 1]
    y_NL = np.zeros((len(rows.vector_N), lines), np.float32)
    hits_N = np.zeros(len(y_NL), bool)
    clips_N = np.zeros(len(y_NL), np.int64)
    for t in range(tiles):
        w = w_TOI[t].T if settings.transposed else w_TOI[t]
        f_OI = spread.read_factor_TOI[t] if len(spread.read_factor_TOI) else None
        w_negative = w if f_OI is None else w * (f_OI.T if settings.transposed else f_OI)
        for n in range(rows.first_T1[t], rows.first_T1[t + 1]):
            at = rows.input_first_T[t] + n - rows.first_T1[t]
            scale = np.float32(scale_M[at] * np.float32(factor))
            if scale == 0:
                continue
            read = _Read(settings, spread, keys_T2[t], t, tick + int(rows.vector_N[n]), number)
            u = read.converted_input(x_RI[rows.source_M[at]], scale)
            y, hits_N[n], clips_N[n] = read.output(w, w_negative, u)
            y_NL[n] = y * np.float32(scale * settings.out_scale)
    return y_NL, hits_N, clips_N, int(clips_N.sum()), None, scale_M, finite


class _Read:
    """One read of one vector by one tile."""

    def __init__(
        self, settings: Settings, spread: Spread, key: NDArray[np.uint32], t: int, tick: int, number: int
    ) -> None:
        self.settings, self.spread, self.t = settings, spread, t
        self.key, self.tick, self.number = key, tick, number

    def normals(self, purpose: int, lines: int) -> Array:
        return line_normals(self.key, self.settings.stream, purpose, lines, self.tick, self.number)

    def uniforms(self, purpose: int, lines: int) -> Array:
        low, high = self.tick, self.number
        words = line_words(self.key, self.settings.stream, purpose, lines, low, high)
        return unit_interval(words.T.reshape(-1)[:lines])

    def converted_input(self, x: Array, scale: np.float32) -> Array:
        """Scaling, DAC, input noise and asymmetry."""
        s = self.settings
        u = x / scale
        if s.inp_random:
            u = formulas.quantised_at_random(u, s.inp_step, self.uniforms(INPUT_ROUNDING, len(u)))
        else:
            u = formulas.quantised(u, s.inp_step)
        u = formulas.clipped(u, s.inp_bound)
        if s.inp_noise > 0:
            u = u + s.inp_noise * self.normals(INPUT_NOISE, len(u))
        return formulas.at_input(u, s).astype(np.float32)

    def output(self, w: Array, w_negative: Array, u: Array) -> tuple[Array, bool, int]:
        """The product in one or two passes, and the ADC."""
        if self.settings.passes == ONE_PASS:
            return self.converted_output(self.line_signal(w, u, 0), 0)
        low = self.line_signal(w_negative, np.minimum(u, 0), 0)
        high = self.line_signal(w, np.maximum(u, 0), SECOND_PASS)
        if self.settings.passes == ANALOG_SUM:
            return self.converted_output(low + high, 0)
        assert self.settings.passes == DIGITAL_SUM
        y_low, hit_low, clips_low = self.converted_output(low, 0)
        y_high, hit_high, clips_high = self.converted_output(high, SECOND_PASS)
        return y_low + y_high, hit_low or hit_high, clips_low + clips_high

    def line_signal(self, w: Array, u: Array, draw: int) -> Array:
        """The product with the array's own imperfections: wires, offset, series resistance, read noise."""
        s = self.settings
        y = w @ u
        if s.ir_drop > 0:
            current = np.abs(w) @ np.abs(u)
            weighted = w @ (u * distance_profile(len(u)))
            y = y - formulas.wire_drop(current, weighted, s.ir_drop, s.length_by_g_ratio)
        if s.has_offset:
            y_ref = -s.v_offset_w_min * u.sum(dtype=np.float32)
            y = formulas.offset_and_series(y, y_ref, self.spread.offset_TL[self.t], s.r_series)
        if s.weight_noise_type != NO_WEIGHT_NOISE:
            additive = s.weight_noise_type == ADDITIVE_NOISE
            power = (u * u).sum(dtype=np.float32) if additive else np.abs(w) @ (u * u)
            y = y + s.w_noise * np.sqrt(power) * self.normals(WEIGHT_NOISE + draw, len(y))
        return y

    def converted_output(self, y: Array, draw: int) -> tuple[Array, bool, int]:
        """Non-linearity, asymmetry, output noise and ADC; whether its bound was hit, and how often."""
        s = self.settings
        if s.nonlinear:
            y = formulas.saturated(y, self.spread.curvature_TL[self.t], self.spread.slope_T[self.t])
        y = formulas.at_output(y, s)
        if s.out_noise > 0:
            std = self.spread.out_noise_TL[self.t] if s.has_out_spread else s.out_noise
            y = y + std * self.normals(OUTPUT_NOISE + draw, len(y))
        if s.out_random:
            y = formulas.quantised_at_random(y, s.out_step, self.uniforms(OUTPUT_ROUNDING + draw, len(y)))
        else:
            y = formulas.quantised(y, s.out_step)
        high, low = y > s.out_bound, y < -s.out_bound
        hit = bool(high.any() or (s.bm_test_negative_bound and low.any()))
        return formulas.clipped(y, s.out_bound).astype(np.float32), hit, int(high.sum() + low.sum())


def distance_profile(length: int) -> Array:
    """1 - (1 - j / n)^2: how much of the wire an input's current passes."""
    j = np.arange(length)
    return (1.0 - (1.0 - j / length) ** 2).astype(np.float32)
