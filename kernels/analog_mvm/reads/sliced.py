"""The read of weights that are cut over several cells, by inputs that are sent in several passes.

Every slice of the weight is a column of cells of its own; every pass drives the lines with one digit of the
input. Each slice is converted in each pass, and the results are shifted and added (Shafiee et al.,
ISCA 2016, section V). So a conversion is the ordinary read (``cpu.attempt``, ``naive.attempt``), with
all its imperfections, of digits by digits; here is what comes before and after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...config import config, field
from ...errors import ConfigError
from ...rng import Stream
from .. import naive
from ..parameters import BoundManagementType, IOParameters, NoiseManagementType
from ..rows import Attempt, Rows
from ..settings import INPUT_NOISE, INPUT_ROUNDING, settings_of
from ..spread import Spread, derived_key, draw_spread, row_normals, row_uniforms
from .periphery import Array, Count, Periphery, on_host

Integers = NDArray[np.int32]


@config
class SlicedIOParameters(IOParameters):
    """A periphery that slices weights and streams inputs, as a chip's file describes it.

    Weights and inputs of magnitude 1 have the largest codes; what is beyond is clipped. Noises and
    ``out_bound`` are relative to what the largest digits of one weight and one input give.
    """

    weight_bits: int = field(8, at_least=2)
    """Bits of a weight's code, with its sign."""
    cell_bits: int = field(0, at_least=0)
    """Bits of one cell; 0: a cell is analog and holds the whole weight."""
    slices: int = field(1, at_least=1)
    """Number of cells that hold a weight, its lowest bits first."""
    offset: bool = field(False)
    """Whether cells hold the weight plus half its range, or else its signed magnitude."""
    input_bits: int = field(8, at_least=2)
    """Bits of an input's code, with its sign."""
    dac_bits: int = field(8, at_least=1)
    """Bits of an input that one pass sends."""
    phases: int = field(1, at_least=1)
    """Number of reads of a pass: 1; 2 with the signs of inputs apart; 4 with those of weights too."""
    rows_at_once: int = field(0, at_least=0)
    """Number of lines that one read drives; the others follow in reads of their own. 0: all together."""
    adc_step: float = field(1.0, above=0.0)
    """Distance between neighbouring codes of the ADC, in units of the product of a cell's and a pass's
    digits."""
    adc_limit: float = field(1.0, above=0.0)
    """Largest code of the ADC, in units of the product of digits."""
    reference_columns: int = field(0, at_least=0)
    """Number of columns that are converted with the weights' columns, to be subtracted."""

    def validate(self) -> None:
        IOParameters.validate(self)
        if self.nodal:
            raise ConfigError(
                f"ir_drop = {self.ir_drop!r} solves arrays of whole weights and inputs, not slices and "
                "passes as this chip's: set ir_drop to a number, or use a chip that does not slice"
            )

    @property
    def streamed(self) -> bool:
        return self.input_bits > self.dac_bits

    @property
    def passes(self) -> int:
        """Passes that an input takes, for each phase."""
        return -(-self.input_bits // self.dac_bits)

    @property
    def weight_levels(self) -> int:
        """Largest magnitude of a weight's code."""
        return int(2 ** (self.weight_bits - 1) - 1)

    @property
    def input_levels(self) -> int:
        """Largest magnitude of an input's code."""
        return int(2 ** (self.input_bits - 1) - 1)

    def row_groups(self, length: int) -> int:
        """Reads that drive ``length`` lines."""
        return -(-length // self.rows_at_once) if self.rows_at_once else 1

    @property
    def largest_digits(self) -> tuple[float, float]:
        """The largest digit of a cell and of a pass."""
        cell = 2**self.cell_bits - 1 if self.cell_bits else self.weight_levels
        return float(cell), float(2**self.dac_bits - 1 if self.streamed else self.input_levels)


def weight_digits(w_TOI: Array, io: SlicedIOParameters) -> tuple[Array, list[float]]:
    """What each column of cells holds, [V, T, O, I], and the weight of each in the sum.

    V is the number of slices; with four phases positive and negative weights are read apart: twice as many.
    """
    scaled = np.clip(w_TOI.astype(np.float64) * io.weight_levels, -io.weight_levels, io.weight_levels)
    if not io.cell_bits:
        parts, factors = scaled[None], [1.0]
    else:
        codes: Integers = np.rint(scaled).astype(np.int32)
        sign = np.int32(1) if io.offset else np.sign(codes)
        magnitude = codes + np.int32(2 ** (io.weight_bits - 1)) if io.offset else np.abs(codes)
        mask = np.int32(2**io.cell_bits - 1)
        shifts = [k * io.cell_bits for k in range(io.slices)]
        parts = np.stack([((magnitude >> np.int32(shift)) & mask) * sign for shift in shifts])
        factors = [float(2**shift) for shift in shifts]
    if io.phases == 4:
        parts = np.concatenate([np.maximum(parts, 0), np.maximum(-parts, 0)])
        factors = factors + [-factor for factor in factors]
    return parts.astype(np.float32), factors


def input_digits(codes_MI: Integers, io: SlicedIOParameters) -> tuple[list[Integers], list[float]]:
    """What the lines are driven with in each pass, [M, I], and the weight of each pass, lowest first.

    In one phase signs go as two's complement, whose top bit counts negatively: the digit of the last
    pass is signed. In several, magnitudes are sent, of positive inputs and of negative ones.
    """
    if io.phases == 1:
        halves = [(codes_MI, 1.0)]
    else:
        halves = [(np.maximum(codes_MI, 0), 1.0), (np.maximum(-codes_MI, 0), -1.0)]
    mask, digits, factors = np.int32(2**io.dac_bits - 1), [], []
    for half, sign in halves:
        for k in range(io.passes):
            rest = half >> np.int32(k * io.dac_bits)
            digits.append(rest if k == io.passes - 1 else rest & mask)
            factors.append(sign * float(2 ** (k * io.dac_bits)))
    return digits, factors


class _Columns(NamedTuple):
    """The array as one pass reads it: every slice of every tile is a tile of its own."""

    prepared: Any  # the kernels' settings
    spread: Spread
    keys_PV2: list[NDArray[np.uint32]]  # of each pass, group of lines by group: a key a slice and tile
    keys_TP2: NDArray[np.uint32]  # of the noise of inputs, which all slices share


class SlicedPeriphery(Periphery):
    """Reads tiles slice by slice and pass by pass; scaling and bound management as for any other read."""

    io: SlicedIOParameters

    def __init__(
        self,
        io: SlicedIOParameters,
        keys_T2: NDArray[np.uint32],
        out_size: int,
        in_size: int,
        direction: Literal["forward", "backward"] = "forward",
        backend: Backend = CPU,
    ) -> None:
        super().__init__(io, keys_T2, out_size, in_size, direction, backend)
        self._attempt, self._own_scales, self._passed = self._attempt_slices, False, naive.passed
        self._whole = None
        column_io = self._column_io()
        settings = settings_of(column_io, self.settings.transposed, self.settings.stream, self.length)
        settings = settings._replace(out_step=np.float32(io.adc_step), out_bound=np.float32(io.adc_limit))
        # slices and, with four phases, signs of weights
        variants = io.slices * (2 if io.phases == 4 else 1)
        reads = io.passes * (1 if io.phases == 1 else 2)
        self._columns = _Columns(
            self._kernels.prepare(settings),
            self._column_spread(column_io, variants),
            [self._keys(variants, number) for number in range(reads * io.row_groups(self.length))],
            np.stack([[derived_key(key, number, 0, 2) for number in range(reads)] for key in self.keys_T2]),
        )

    @property
    def conversions_a_vector(self) -> int:
        io = self.io
        reads = io.passes * io.phases * io.row_groups(self.length)
        return (self.lines * io.slices + io.reference_columns) * reads

    @property
    def has_bound(self) -> bool:  # type: ignore[override]
        """Results are sums of many conversions, each with its own bound: none of them stands for the sum."""
        return False

    def _column_io(self) -> IOParameters:
        """The periphery of one conversion, with weights and inputs in digits.

        Numbers are digits times what they are for weights and inputs of at most 1, so noises and slopes are
        scaled. The input's own conversion and noise are done before (``_codes``, ``_drive``).
        """
        io = self.io
        cell, line = io.largest_digits
        unit = cell * line
        additive = io.w_noise_type.name == "ADDITIVE_CONSTANT"
        alike = {each.name: getattr(io, each.name) for each in dataclasses.fields(IOParameters)}
        scaled = {
            "inp_bound": 0.0, "inp_res": 0.0, "inp_noise": 0.0, "inp_sto_round": False,
            "out_bound": io.adc_limit, "out_res": min(io.adc_step / (2.0 * io.adc_limit), 1.0),
            "out_scale": 1.0, "out_noise": io.out_noise * unit,
            "bound_management": BoundManagementType.NONE, "noise_management": NoiseManagementType.NONE,
            "w_noise": io.w_noise * (cell if additive else cell**0.5),
            "ir_drop_g_ratio": io.ir_drop_g_ratio * unit, "v_offset_w_min": io.v_offset_w_min * cell,
            "r_series": io.r_series / unit, "nm_thres": 0.0,
        }  # fmt: skip
        return IOParameters(**{**alike, **scaled})

    def _column_spread(self, column_io: IOParameters, variants: int) -> Spread:
        """What differs from column to column. The slices of an output are neighbours on the tile; in the
        transposed read all slices of a tile share the converters of its rows."""
        _, out_size, in_size = self.shape
        slices = self.io.slices
        backward = self.settings.transposed
        population = Stream.BACKWARD_POPULATION if backward else Stream.FORWARD_POPULATION
        lines = in_size if backward else out_size * slices
        drawn = draw_spread(column_io, self.keys_T2, population, lines, out_size * slices, in_size)

        def by_slice(values: NDArray[np.float32], split: bool) -> NDArray[np.float32]:
            if not values.size:
                return values
            parts = [values[:, k::slices] if split else values for k in range(slices)]
            return np.ascontiguousarray(np.concatenate(parts * (variants // slices)))

        return Spread(
            by_slice(drawn.out_noise_TL, not backward),
            by_slice(drawn.curvature_TL, not backward),
            np.tile(drawn.slope_T, variants),
            by_slice(drawn.offset_TL, not backward),
            by_slice(drawn.read_factor_TOI, True),
        )

    def _keys(self, variants: int, number: int) -> NDArray[np.uint32]:
        """A key for every slice of every tile in pass ``number``: conversions share no noise."""
        return np.stack([derived_key(key, number, v, 1) for v in range(variants) for key in self.keys_T2])

    def _attempt_slices(
        self,
        w_TOI: Array,
        x_RI: Array,
        scale_M: Array,
        rows: Rows,
        factor: float,
        tick: int,
        number: int,
        _threads: int,
    ) -> Attempt:
        """One attempt at ``rows``, as ``naive.attempt``.

        Digits are cut and results shifted and added in numpy; a card only reads the columns.
        """
        io = self.io
        w_TOI, x_RI = on_host(w_TOI), on_host(x_RI)
        scale_M = on_host(scale_M) * np.float32(factor)
        codes_MI = self._codes(x_RI, scale_M, rows, tick, number)
        parts_VTOI, part_factors = weight_digits(w_TOI, io)
        count = len(rows.vector_N)
        total_NL = np.zeros((count, self.lines))
        hits_N, clips_N = np.zeros(count, bool), np.zeros(count, np.int64)
        stacked_TOI, stacked_rows = parts_VTOI.reshape(-1, *w_TOI.shape[1:]), _stacked(rows, len(parts_VTOI))
        ones_M = np.ones(len(codes_MI), np.float32)
        threads = self._kernels.watched(len(stacked_rows.vector_N), self.lines, self.length)
        stacked, spread = self._kernels.passed(stacked_rows), self._kernels.passed(self._columns.spread)
        for keys_V2, (driven_MI, weight) in zip(
            self._columns.keys_PV2, self._reads(codes_MI, rows, tick, number), strict=True
        ):
            with threads as many:
                y_KL, hits_K, clips_K, *_ = self._kernels.attempt(
                    self._columns.prepared, spread, keys_V2, stacked_TOI, driven_MI, ones_M, stacked, 1.0,
                    tick, number, many,
                )  # fmt: skip
            y_VNL = on_host(y_KL).reshape(len(part_factors), count, self.lines)
            for part_factor, y_NL in zip(part_factors, y_VNL, strict=True):
                total_NL += (weight * part_factor) * y_NL.astype(np.float64)
            hits_N |= hits_K.reshape(-1, count).any(axis=0)
            clips_N += clips_K.reshape(-1, count).sum(axis=0)
        at_N = rows.input_first_T.repeat(np.diff(rows.first_T1)) + np.arange(count)
        at_N -= rows.first_T1[:-1].repeat(np.diff(rows.first_T1))
        if io.offset:  # what the offset adds is known exactly: the sum of the inputs' codes
            total_NL -= 2.0 ** (io.weight_bits - 1) * codes_MI.sum(axis=1, dtype=np.int64)[at_N, None]
        unit = self._input_bound / (io.input_levels * io.weight_levels)
        gain_N = scale_M[at_N].astype(np.float64) * (unit * io.out_scale)
        silent_N = gain_N == 0
        hits_N[silent_N], clips_N[silent_N] = False, 0
        y_NL = (total_NL * gain_N[:, None]).astype(np.float32)
        return self._kernels.ready(y_NL), hits_N, clips_N, int(clips_N.sum()), None, scale_M, True

    @property
    def _input_bound(self) -> float:
        return self.io.inp_bound if self.io.inp_bound > 0 else 1.0

    def _codes(self, x_RI: Array, scale_M: Array, rows: Rows, tick: int, number: int) -> Integers:
        """The inputs' codes [M, I]: scaled, clipped to the range and rounded, half to even or at random."""
        levels = self.io.input_levels
        x_MI, scale_M1 = x_RI[rows.source_M], scale_M[:, None]
        u_MI = np.divide(x_MI, scale_M1, out=np.zeros_like(x_MI), where=scale_M1 > 0)
        fine_MI = u_MI.astype(np.float64) * (levels / self._input_bound)
        if self.settings.inp_random:
            drawn = self._rows_drawn(self.keys_T2, rows, tick, number)
            fine_MI += row_uniforms(*drawn, INPUT_ROUNDING, self.length) - 0.5
        codes: Integers = np.clip(np.rint(fine_MI), -levels, levels).astype(np.int32)
        return codes

    def _reads(self, codes_MI: Integers, rows: Rows, tick: int, number: int) -> Iterator[tuple[Array, float]]:
        """What each read drives the lines with [M, I], and its weight in the sum: the passes of the first
        lines that are driven together, then those of the next; all others are at rest."""
        passes = [
            (self._driven(digits_MI, k, rows, tick, number), factor)
            for k, (digits_MI, factor) in enumerate(zip(*input_digits(codes_MI, self.io), strict=True))
        ]
        groups = self.io.row_groups(self.length)
        if groups == 1:
            yield from passes
            return
        for group in range(groups):
            lines = slice(group * self.io.rows_at_once, (group + 1) * self.io.rows_at_once)
            for driven_MI, factor in passes:
                some_MI = np.zeros_like(driven_MI)
                some_MI[:, lines] = driven_MI[:, lines]
                yield some_MI, factor

    def _driven(self, digits_MI: Integers, k: int, rows: Rows, tick: int, number: int) -> Array:
        """The lines in pass ``k``: its digits, with the noise of the DAC."""
        driven = digits_MI.astype(np.float32)
        if self.io.inp_noise > 0:
            drawn = self._rows_drawn(self._columns.keys_TP2[:, k], rows, tick, number)
            normals = row_normals(*drawn, INPUT_NOISE, self.length)
            driven += np.float32(self.io.inp_noise * self.io.largest_digits[1]) * normals
        return driven

    def _rows_drawn(
        self, keys_T2: NDArray[np.uint32], rows: Rows, tick: int, number: int
    ) -> tuple[NDArray[np.uint32], Count, Count, int, int]:
        """What addresses the draws of input rows."""
        return keys_T2, rows.tile_M, tick + rows.input_vector_M, self.settings.stream, number


def _stacked(rows: Rows, variants: int) -> Rows:
    """The rows of a stack that holds every tile once a variant; all variants read the same input rows."""
    count, inputs = len(rows.vector_N), len(rows.source_M)
    firsts = [rows.first_T1[:-1] + v * count for v in range(variants)]
    first_T1 = np.append(np.concatenate(firsts), variants * count)
    zeros = np.zeros(inputs, np.int64)
    return Rows(
        first_T1, np.tile(rows.vector_N, variants), np.tile(rows.input_first_T, variants),
        np.arange(inputs), zeros, zeros, True,
    )  # fmt: skip
