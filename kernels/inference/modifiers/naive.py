"""Weight modifiers in numpy: the readable reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...rng import Stream, counter_high
from ..draws import naive as draws
from . import formulas
from .plan import Extra, Kind, Plan, Slot, byte_normals

Array = NDArray[np.float32]
empty_like = np.empty_like


def modify(
    out_TOI: Array, w_TOI: Array, keys_T2: NDArray[np.uint32], tick: int, plan: Plan, w_max_T: Array
) -> None:
    """Write the weights as the mini-batch at ``tick`` sees them."""
    for out_OI, w_OI, key, w_max in zip(out_TOI, w_TOI, keys_T2, w_max_T, strict=True):
        out_OI[...] = modified_tile(w_OI, Numbers(key, tick, w_OI.shape), plan, w_max)
        if plan.keep_last:
            out_OI[:, -1] = w_OI[:, -1]


def largest_magnitude(w_TOI: Array, columns: int) -> Array:
    """max |w| of the first ``columns`` columns of each tile [T]; NaN or infinity if one of them is."""
    return np.max(np.abs(w_TOI[:, :, :columns]), axis=(1, 2), initial=0.0)


class Numbers:
    """The random numbers [out, in] of one tile at one tick."""

    def __init__(self, key: NDArray[np.uint32], tick: int, shape: tuple[int, ...]) -> None:
        self.key, self.tick, self.shape = key, tick, shape

    def words(self, extra: int, counters: int) -> NDArray[np.uint32]:
        low, high = counter_high(Stream.MODIFIER, self.tick, extra)
        return draws.row_words(self.shape[0], counters, self.key[0], self.key[1], np.uint32(0), low, high)

    def normal(self, extra: int) -> Array:
        """Fast normals: see ``formulas``. A counter serves 16 columns, one byte of its words each."""
        table = byte_normals()
        planes: list[Array] = []
        for word in self.words(extra, -(-self.shape[1] // 16)):
            values = [table[(word >> np.uint32(8 * byte)) & np.uint32(0xFF)] for byte in range(4)]
            planes += formulas.rotated(*values)
        return np.concatenate(planes, axis=1)[:, : self.shape[1]]

    def uniform(self, extra: int) -> Array:
        out_OI = np.empty(self.shape, np.float32)
        low, high = counter_high(Stream.MODIFIER, self.tick, extra)
        draws.uniforms(out_OI, self.key[0], self.key[1], np.uint32(0), low, high)
        return out_OI


def modified_tile(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    """One tile's modified weights [out, in]."""
    out = RULES[plan.kind](w, numbers, plan, w_max)
    if plan.values[Slot.P_DROP] > 0.0:
        out = np.where(numbers.uniform(Extra.DROP) < plan.values[Slot.P_DROP], np.float32(0.0), out)
    return out


def _jitter(numbers: Numbers, plan: Plan) -> Array | np.float32:
    return numbers.uniform(Extra.ROUND) - np.float32(0.5) if plan.stochastic else np.float32(0.0)


def _keep(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return w


def _add_normal(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return w + plan.values[Slot.STD] * w_max * numbers.normal(Extra.NORMAL)


def _mult_normal(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return w + plan.values[Slot.STD] * w_max * w * numbers.normal(Extra.NORMAL)


def _discretize(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return formulas.discretized(w, w_max, plan.values[Slot.RES], _jitter(numbers, plan))


def _discretize_add_normal(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return _add_normal(_discretize(w, numbers, plan, w_max), numbers, plan, w_max)


def _dorefa(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    return formulas.dorefa(w, w_max, plan.values[Slot.CLIP], plan.values[Slot.RES], _jitter(numbers, plan))


def _poly(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    sigma = plan.values[Slot.STD] * formulas.polynomial(np.abs(w) / w_max, *plan.values[Slot.COEFF :])
    return w + w_max * sigma * numbers.normal(Extra.NORMAL)


def _prog_noise(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    sigma = plan.values[Slot.STD] / plan.values[Slot.G_MAX]
    sigma = sigma * formulas.polynomial(np.abs(w) / w_max, *plan.values[Slot.COEFF :])
    return formulas.reflected(w, w + w_max * sigma * numbers.normal(Extra.NORMAL))


def _pcm_noise(w: Array, numbers: Numbers, plan: Plan, w_max: np.float32) -> Array:
    v = plan.values
    target = formulas.pcm_target(w, w_max, v[Slot.G_MAX], v[Slot.THRESHOLD])
    g = target
    if v[Slot.P_RESET] + v[Slot.P_GMAX] + v[Slot.P_RANDOM] > 0.0:
        draws = (Extra.FAIL_RESET, Extra.FAIL_GMAX, Extra.FAIL_RANDOM, Extra.FAIL_SIDE, Extra.FAIL_LEVEL)
        reset, gmax, random, side, level = (numbers.uniform(extra) for extra in draws)
        g = formulas.pcm_failed(
            g,
            v[Slot.G_MAX],
            reset,
            gmax,
            random,
            v[Slot.P_RESET],
            v[Slot.P_GMAX],
            v[Slot.P_RANDOM],
            side,
            level,
        )
    xi = [numbers.normal(e) for e in (Extra.NORMAL, Extra.NORMAL_DRIFT, Extra.NORMAL_READ)]
    noisy = formulas.pcm_noisy(g, v[Slot.G_MAX], v[Slot.STD], v[Slot.LOG_AGE], v[Slot.SPREAD], *xi)
    return formulas.reflected(target, noisy / v[Slot.G_MAX] * w_max)


RULES: dict[Kind, Callable[[Array, Numbers, Plan, np.float32], Array]] = {
    Kind.KEEP: _keep,
    Kind.ADD_NORMAL: _add_normal,
    Kind.MULT_NORMAL: _mult_normal,
    Kind.DISCRETIZE: _discretize,
    Kind.DISCRETIZE_ADD_NORMAL: _discretize_add_normal,
    Kind.DOREFA: _dorefa,
    Kind.POLY: _poly,
    Kind.PROG_NOISE: _prog_noise,
    Kind.PCM_NOISE: _pcm_noise,
}
