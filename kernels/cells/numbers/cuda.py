"""The numbers of cells as tensors on a CUDA card, which nobody waits for. Bits are those of ``host``.

Every product, sum and quotient is an operator of its own: torch fuses none, and takes a quotient by a number
of Python for a product with its inverse, so what is divided by is a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from ...card import card
from ...machine.cuda.clock import Clock, move_on
from ...machine.cuda.findings import Findings, note_update
from ...machine.cuda.kept import Kept
from ...machine.cuda.pool import Pool
from ...machine.programs import programs
from ...pulsed_update.cuda.exact import Outer, collect
from ...pulsed_update.cuda.trains import picked
from ...rng import Stream
from ...rng.cuda import counter_low, counter_top, philox4x32, unit_interval
from .draws import Keys, Purpose

Index = NDArray[np.int64]
Tensor = torch.Tensor

LOOKED_AT = 1024  # lines that a program draws for at a time


@triton.jit
def uniforms_kernel(
    out, keys, clock, count, lines, stride, advance, STREAM: tl.constexpr, PURPOSE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Program t count + n: the numbers of tile t at tick number n."""
    program = tl.program_id(0)
    t, n = program // count, program % count
    k0 = tl.load(keys + 2 * t).to(tl.uint32, bitcast=True)
    k1 = tl.load(keys + 2 * t + 1).to(tl.uint32, bitcast=True)
    tick = tl.load(clock) + n.to(tl.int64) * stride
    low, top = counter_low(tick), counter_top(STREAM, 0, tick)
    calls = (lines + 3) // 4
    for start in range(0, lines, BLOCK):
        line = start + tl.arange(0, BLOCK)
        call = (line % calls).to(tl.uint32)
        zero = tl.zeros_like(call)
        words = philox4x32(k0, k1, call, zero + PURPOSE, zero + low, zero + top)
        at = out + program.to(tl.int64) * lines + line
        tl.store(at, unit_interval(picked(words, line // calls)), line < lines)
    move_on(clock, advance, tl.num_programs(0))


class LineDraws:
    """See ``host``."""

    def __init__(self, keys_T2: Keys, stream: Stream, purpose: Purpose = Purpose.CHOICE) -> None:
        self.stream, self.purpose, self.tiles = int(stream), int(purpose), len(keys_T2)
        keys = np.ascontiguousarray(keys_T2).view(np.int32)
        self._keys = torch.from_numpy(keys.copy()).to(card())
        self._clock, self._pool = Clock(), Pool()

    def uniforms(self, first: int, count: int, stride: int = 1, lines: int = 1) -> Tensor:
        """[tiles, count, lines]; [tiles, count] for one line."""
        shape = (self.tiles, count) if lines == 1 else (self.tiles, count, lines)
        out = self._pool.empty(shape)
        if count:
            clock = self._clock.at(first, stride * count)
            block = min(max(triton.next_power_of_2(lines), 8), LOOKED_AT)
            uniforms_kernel[programs("drawn numbers", self.tiles * count)](
                out, self._keys, clock, count, lines, stride, stride * count, STREAM=self.stream,
                PURPOSE=self.purpose, BLOCK=block, enable_fp_fusion=False,
            )  # fmt: skip
        return out


class Turns:
    """Numbers in their order, counted on the card."""

    def __init__(self) -> None:
        self._now = torch.zeros(1, dtype=torch.int64, device=card())
        self._next = 0

    def take(self, first: int, count: int) -> Tensor:
        """first, first + 1, ..."""
        if first != self._next:
            self._now.fill_(first)
        turns_N = self._now + torch.arange(count, device=self._now.device)
        self._now.add_(count)
        self._next = first + count
        return turns_N


class Choices:
    """See ``host``."""

    def __init__(
        self, keys_T2: Keys, stream: Stream, size: int, run: int = 1, at_random: bool = False
    ) -> None:
        self.tiles, self.size, self.run = len(keys_T2), size, run
        self.draws = LineDraws(keys_T2, stream) if at_random else None
        self.turns = Turns()

    def take(self, first: int, count: int) -> Tensor:
        """Those of ``count`` runs [tiles, count run]."""
        if self.draws is None:
            chosen_N = self.turns.take(first, count * self.run) % self.size
            return chosen_N.expand(self.tiles, -1).contiguous()
        uniform_TN = self.draws.uniforms(first, count, self.run)
        start_TN = (uniform_TN * float(self.size)).to(torch.int64).clamp(max=self.size - 1)
        run = torch.arange(self.run, device=start_TN.device)
        return ((start_TN[:, :, None] + run) % self.size).reshape(self.tiles, -1).contiguous()


class Numbers:
    """What a cell does with numbers, by torch; see ``host``."""

    on_card = True
    LineDraws, Turns, Choices = LineDraws, Turns, Choices

    def __init__(self, findings: Any = None) -> None:
        self.findings = Findings() if findings is None else findings
        self._pool, self._kept = Pool(), Kept()

    def zeros(self, shape: tuple[int, ...], kind: Any = np.float32) -> Tensor:
        return torch.from_numpy(np.zeros(shape, kind)).to(card(), copy=True)

    def ones(self, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.ones(shape, np.float32)).to(card(), copy=True)

    def filled(self, shape: tuple[int, ...], value: float) -> Tensor:
        """float32."""
        return self._pool.empty(shape).fill_(value)

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """float32 with anything in it."""
        return self._pool.empty(shape)

    def placed(self, values: Any) -> Tensor:
        """Values where the cell's are."""
        return torch.from_numpy(values).to(card(), copy=True) if isinstance(values, np.ndarray) else values

    def copy(self, values: Tensor) -> Tensor:
        return values.clone()

    def no_flips(self, shape: tuple[int, int, int]) -> None:
        """None says it too."""
        return None

    def kept(self, values: Any) -> Tensor:
        """A small array that is the same again and again, on the card."""
        return self._kept.of(values)

    def only(self, condition: Tensor, values: Tensor) -> Tensor:
        """Values where it is so, else 0."""
        return torch.where(condition, values, 0.0)

    def unless_found(self, lines_TN: Tensor) -> Tensor:
        """Lines that a buffer is filled at; -1 once anything was found wrong."""
        return torch.where(self.findings.word[0] == 0, lines_TN, -1)

    def sorted(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The larger and the smaller of each pair."""
        return torch.maximum(a, b), torch.minimum(a, b)

    def largest(self, values: Tensor) -> Tensor:
        """Largest magnitude along the last axis; NaN where there is one."""
        return values.abs().amax(-1)

    def sqrt(self, values: Tensor) -> Tensor:
        return torch.sqrt(values)

    def bits(self, condition: Tensor) -> Tensor:
        """uint8, 1 where it is so."""
        return condition.to(torch.uint8)

    def each_tile(self, values_N: Tensor, tiles: int) -> Tensor:
        """The same for every tile [tiles, N]."""
        return values_N.expand(tiles, -1).contiguous()

    def of_tiles(self, values_XBL: Tensor, of_T: Index) -> Tensor:
        """The block of each tile [T, B, L]: no index has to come from the host."""
        return torch.stack([values_XBL[k] for k in of_T.tolist()])

    def columns(self, values_TB: Tensor, index_N: Index) -> Tensor:
        """Some columns [T, N]."""
        columns = [values_TB[:, k] for k in index_N.tolist()]
        return torch.stack(columns, 1) if columns else values_TB[:, :0]

    def add_up(self, weights: Sequence[float], arrays: Sequence[Tensor], out_TOI: Tensor) -> None:
        """out <- sum of weight * array, in order."""
        out_TOI.zero_()
        for weight, array in zip(weights, arrays, strict=True):
            if weight != 0.0:
                out_TOI.add_(array * float(np.float32(weight)))

    def subtract(self, a_TOI: Tensor, b_TOI: Tensor, out_TOI: Tensor) -> None:
        """out <- a - b."""
        torch.sub(a_TOI, b_TOI, out=out_TOI)

    def one_hot(self, lines_XN: Tensor, length: int) -> Tensor:
        """1 at each of the lines [X, N, length], float32."""
        every_L = torch.arange(length, device=lines_XN.device)
        return (lines_XN[:, :, None] == every_L).to(torch.float32).contiguous()

    def line(self, w_TOI: Tensor, line_T: Tensor, columns: bool) -> Tensor:
        """A line of each tile [T, M], as it is now."""
        tiles, rows, width = w_TOI.shape
        if columns:
            return w_TOI.gather(2, line_T[:, None, None].expand(tiles, rows, 1))[:, :, 0]
        return w_TOI.gather(1, line_T[:, None, None].expand(tiles, 1, width))[:, 0]

    def columns_mask(self, shape: tuple[int, int, int], column_T: Tensor, chosen_T: Tensor) -> Tensor:
        """Which crosspoints are of a column of a chosen tile [T, O, I]."""
        every_I = torch.arange(shape[2], device=column_T.device)
        mask_TI = (column_T[:, None] == every_I) & chosen_T[:, None]
        return mask_TI[:, None].expand(shape)

    def rows(self, first_T: Tensor, count: int, size: int) -> Tensor:
        """``count`` rows from each tile's first on [T, count]."""
        return (first_T[:, None] + torch.arange(count, device=first_T.device)) % size

    def take_steps(self, values_TOI: Tensor, row_TR: Tensor, step: Any) -> Tensor:
        """The whole steps of some rows [T, R, I], taken out; none once anything was found wrong."""
        at_TRI = row_TR[:, :, None].expand(-1, -1, values_TOI.shape[2])
        values_TRI = values_TOI.gather(1, at_TRI)
        step_1 = self.kept(np.array([step], np.float32))
        steps_TRI = torch.trunc(values_TRI / step_1) * (self.findings.word[0] == 0)
        values_TOI.scatter_(1, at_TRI, values_TRI - steps_TRI * step_1)
        return steps_TRI

    def quantised(self, values_TBL: Tensor, half: Any, uniform_TBL: Any) -> Tensor:
        """Values rounded to steps of max|value| / half of their vector."""
        step_TB1 = values_TBL.abs().amax(2, keepdim=True) / self.kept(np.array([half], np.float32))
        step_TB1 = torch.where(step_TB1 == 0.0, 1.0, step_TB1)
        level_TBL = values_TBL / step_TB1
        if uniform_TBL is not None:
            level_TBL = level_TBL + (uniform_TBL - 0.5)
        return torch.round(level_TBL).clamp(-float(half), float(half)) * step_TB1

    def check(self, x_XBI: Tensor, d_DBO: Tensor, place: int) -> None:
        """Note where x or d of an update is not finite, as the trains of an update do."""
        note_update(self.findings.word, x_XBI, d_DBO, place)

    def update_exactly(
        self, values_TOI: Tensor, bounds: None, x_XBI: Tensor, x_of_T: Index, d_DBO: Tensor, d_of_T: Index,
        rate: Any,
    ) -> None:  # fmt: skip
        """values <- values - rate d x for every vector, without bounds; nothing once anything was wrong."""
        outer = Outer(
            x_XBI, self.kept(x_of_T), d_DBO, self.kept(d_of_T), float(rate), *x_XBI.shape[1:2],
            *values_TOI.shape[1:],
        )  # fmt: skip
        collect(values_TOI, outer, self.findings.word)
