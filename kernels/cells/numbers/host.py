"""The numbers of cells as arrays on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...rng import Stream
from .draws import Array, Keys, Purpose, line_uniforms

Index = NDArray[np.int64]


class LineDraws:
    """Uniform numbers of one stream and purpose, for each of a bank's tiles."""

    def __init__(self, keys_T2: Keys, stream: Stream, purpose: Purpose = Purpose.CHOICE) -> None:
        self.keys_T2, self.stream, self.purpose = keys_T2, stream, purpose

    def uniforms(self, first: int, count: int, stride: int = 1, lines: int = 1) -> Array:
        """Of the ticks first, first + stride, ...: [tiles, count, lines]; [tiles, count] for one line."""
        ticks_N = first + stride * np.arange(count)
        return line_uniforms(self.keys_T2, self.stream, ticks_N, self.purpose, lines)


class Turns:
    """Numbers in their order."""

    def take(self, first: int, count: int) -> Index:
        """first, first + 1, ..."""
        return first + np.arange(count)


class Choices:
    """Runs of ``run`` of ``size`` things: each starts where the last one ended, or anywhere."""

    def __init__(
        self, keys_T2: Keys, stream: Stream, size: int, run: int = 1, at_random: bool = False
    ) -> None:
        self.tiles, self.size, self.run = len(keys_T2), size, run
        self.draws = LineDraws(keys_T2, stream) if at_random else None

    def take(self, first: int, count: int) -> Index:
        """Those of ``count`` runs [tiles, count run]; ``first``: how many were chosen before, a tick."""
        if self.draws is None:
            return np.tile((first + np.arange(count * self.run)) % self.size, (self.tiles, 1))
        uniform_TN = self.draws.uniforms(first, count, self.run)
        start_TN = np.minimum((uniform_TN * np.float32(self.size)).astype(np.int64), self.size - 1)
        if self.run == 1:
            return start_TN
        chosen_TNn = (start_TN[:, :, None] + np.arange(self.run)) % self.size
        return np.ascontiguousarray(chosen_TNn.reshape(self.tiles, -1))


class Numbers:
    """What a cell does with numbers, by numpy; ``cuda`` has the same methods for tensors."""

    on_card = False
    LineDraws, Turns, Choices = LineDraws, Turns, Choices

    def __init__(self, findings: Any = None) -> None:
        """``findings``: where a card notes what is wrong; on the host nothing is noted."""

    def zeros(self, shape: tuple[int, ...], kind: Any = np.float32) -> Any:
        return np.zeros(shape, kind)

    def ones(self, shape: tuple[int, ...]) -> Any:
        return np.ones(shape, np.float32)

    def filled(self, shape: tuple[int, ...], value: float) -> Any:
        """float32."""
        return np.full(shape, value, np.float32)

    def empty(self, shape: tuple[int, ...]) -> Any:
        """float32 with anything in it."""
        return np.empty(shape, np.float32)

    def placed(self, values: Any) -> Any:
        """Values where the cell's are."""
        return values

    def kept(self, values: Any) -> Any:
        """A small array that is the same again and again, where the cell's numbers are."""
        return values

    def copy(self, values: Any) -> Any:
        return values.copy()

    def no_flips(self, shape: tuple[int, int, int]) -> Any:
        """What says that no chopper flips [tiles, sweeps, lines]."""
        return np.zeros(shape, np.uint8)

    def only(self, condition: Any, values: Any) -> Any:
        """Values where it is so, else 0."""
        return np.where(condition, values, np.float32(0.0))

    def unless_found(self, lines_TN: Any) -> Any:
        """Lines that a buffer is filled at; -1 on a card that has found something wrong."""
        return lines_TN

    def sorted(self, a: Any, b: Any) -> tuple[Any, Any]:
        """The larger and the smaller of each pair."""
        return np.maximum(a, b), np.minimum(a, b)

    def largest(self, values: Any) -> Any:
        """Largest magnitude along the last axis."""
        return np.abs(values).max(axis=-1)

    def sqrt(self, values: Any) -> Any:
        return np.sqrt(values)

    def bits(self, condition: Any) -> Any:
        """uint8, 1 where it is so."""
        return condition.astype(np.uint8)

    def each_tile(self, values_N: Any, tiles: int) -> Any:
        """The same for every tile [tiles, N]."""
        return np.tile(values_N, (tiles, 1))

    def of_tiles(self, values_XBL: Any, of_T: Index) -> Any:
        """The block of each tile [T, B, L]."""
        return values_XBL[of_T]

    def columns(self, values_TB: Any, index_N: Index) -> Any:
        """Some columns [T, N]."""
        return values_TB[:, index_N]

    def add_up(self, weights: Sequence[float], arrays: Sequence[Any], out_TOI: Any) -> None:
        """out <- sum of weight * array, in order; members of weight 0 are invisible."""
        out_TOI.fill(0.0)
        for weight, array in zip(weights, arrays, strict=True):
            if weight != 0.0:
                out_TOI += np.float32(weight) * array

    def subtract(self, a_TOI: Any, b_TOI: Any, out_TOI: Any) -> None:
        """out <- a - b."""
        np.subtract(a_TOI, b_TOI, out=out_TOI)

    def one_hot(self, lines_XN: Any, length: int) -> Any:
        """1 at each of the lines [X, N, length], float32."""
        one_hot_XNL = np.zeros((*lines_XN.shape, length), np.float32)
        np.put_along_axis(one_hot_XNL, lines_XN[:, :, None], 1.0, axis=2)
        return one_hot_XNL

    def line(self, w_TOI: Any, line_T: Any, columns: bool) -> Any:
        """A line of each tile [T, M], as it is now."""
        tiles = np.arange(len(w_TOI))
        return w_TOI[tiles, :, line_T] if columns else w_TOI[tiles, line_T]

    def columns_mask(self, shape: tuple[int, int, int], column_T: Any, chosen_T: Any) -> Any:
        """Which crosspoints are of a column of a chosen tile [T, O, I]; None: none."""
        if not chosen_T.any():
            return None
        mask_TOI = np.zeros(shape, np.bool_)
        mask_TOI[np.arange(shape[0]), :, column_T] = chosen_T[:, None]
        return mask_TOI

    def rows(self, first_T: Any, count: int, size: int) -> Any:
        """``count`` rows from each tile's first on, the first one behind the last [T, count]."""
        return (first_T[:, None] + np.arange(count)) % size

    def take_steps(self, values_TOI: Any, row_TR: Any, step: Any) -> Any:
        """The whole steps of some rows [T, R, I], taken out."""
        tile_T1 = np.arange(len(values_TOI))[:, None]
        values_TRI = values_TOI[tile_T1, row_TR]
        steps_TRI = np.trunc(values_TRI / step)
        values_TOI[tile_T1, row_TR] = values_TRI - steps_TRI * step
        return steps_TRI

    def quantised(self, values_TBL: Any, half: Any, uniform_TBL: Any) -> Any:
        """Values rounded to steps of max|value| / half of their vector, stochastically if drawn for."""
        step_TB1 = np.abs(values_TBL).max(axis=2, keepdims=True) / half
        step_TB1[step_TB1 == 0.0] = 1.0
        level_TBL = values_TBL / step_TB1
        if uniform_TBL is not None:
            level_TBL += uniform_TBL - np.float32(0.5)
        return np.clip(np.rint(level_TBL), -half, half) * step_TB1
