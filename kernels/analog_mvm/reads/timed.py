"""The read of pulses of different lengths through the wires of output lines: time-dependent IR drop.

An input is a pulse as long as its code, so the voltages on a line change from step to step of the DAC while
it is integrated. But the resistances do not (``kernels.circuit.ladder``): the current in every step is one
matrix times the signs of the inputs that are still on, and a constant. The charge, its sum over the steps,
is then that matrix times the inputs' durations, and the whole time-dependent read is

    q_i = sum_j a_ij sign(x_j) t(|x_j|) - I0_i T,    y_i = trunc(q_i / tick) tick / (0.2 V * g_1 * L)

with t the steps that an input is on, T all steps, L those of a full input, I0 the current at rest and g_1
the conductance of a weight of 1. Lines have their ADCs at alternate ends. An input may be sent in two parts
(its low bits, then the others) or bit by bit; each part is a read of its own with its own conversion, and
parts are added in digital.

Source: Rasch et al.'s aihwkit 1.1.0 (tiles/analog_mvm_irdrop_t.py), which integrates by steps; its noise of
read pulses is a fit to measured phase-change memory.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...circuit import Ladders, ladders
from ...circuit.ladder import READ_VOLTS
from ...errors import ConfigError
from .. import formulas, naive
from ..parameters import AnalogMVType, IOParameters
from ..rows import Attempt, Rows
from ..settings import INPUT_NOISE, INPUT_ROUNDING, OUTPUT_NOISE, OUTPUT_ROUNDING, WEIGHT_NOISE
from ..spread import derived_key, row_normals, row_uniforms
from .periphery import Array, Count, Periphery, on_host
from .pulses import ALMOST, Pass, TimedIOParameters, durations, passes_of

LEVEL = 0.4  # V, of inputs at rest
#: read noise of a device over log10(steps), highest power first: relative to its conductance, and in S
SLOPE = (0.00021926, -0.00187352, 0.00655714, -0.0146159, 0.02578764)
OFFSET = (1.11906167e-09, -9.08576764e-09, 3.07015063e-08, -6.77079241e-08, 1.17763144e-07)


class Lines(NamedTuple):
    """One tile: for each pair of devices of a crosspoint its ladders and its factor in the weight."""

    of_pairs: list[tuple[float, Ladders, NDArray[np.float64]]]  # also g+ - g- in µS, for noise
    us_per_weight: float


def lines_of(w_OI: Array, io: TimedIOParameters) -> Lines:
    """The lines of a tile with weights ``w_OI``, in the middle of ``ir_drop_rows`` crossings."""
    inputs = w_OI.shape[1]
    before = (_rows(io, inputs) - inputs) // 2
    padded_OI = np.pad(w_OI, ((0, 0), (before, _rows(io, inputs) - inputs - before)))
    scale = io.ir_drop_converter.scale_of(padded_OI)
    g = [each.astype(np.float64) for each in io.ir_drop_converter.convert_to_conductances(padded_OI, scale)]
    factors, own, pairs = getattr(io.ir_drop_converter, "f_lst", [1.0]), slice(before, before + inputs), []
    for factor, plus_OI, minus_OI in zip(factors, g[::2], g[1::2], strict=True):
        found = _both_ends(plus_OI, minus_OI, io)
        kept = Ladders(found.ua_OI[:, own], found.per_us_OI[:, own], found.siemens_O)
        pairs.append((float(factor), kept, np.abs(plus_OI - minus_OI)[:, own]))
    return Lines(pairs, float(scale.ratio_us))


def _rows(io: TimedIOParameters, inputs: int) -> int:
    rows = max(io.ir_drop_rows, inputs)
    if rows % io.ir_drop_segments:
        raise ConfigError(
            f"{type(io).__name__}.ir_drop_segments = {io.ir_drop_segments} must divide the {rows} crossings "
            "of a line: set ir_drop_segments, or the rows of a tile (mapping.max_input_size)"
        )
    return rows


def _both_ends(plus_OI: Any, minus_OI: Any, io: TimedIOParameters) -> Ladders:
    """Even lines have their ADC at the last input, odd ones at the first."""
    wire = float(io.ir_drop) * io.ir_drop_rs
    one = ladders(plus_OI, minus_OI, io.ir_drop_segments, wire)
    other = ladders(plus_OI[:, ::-1], minus_OI[:, ::-1], io.ir_drop_segments, wire)
    odd_O = np.arange(len(plus_OI)) % 2 == 1
    return Ladders(
        np.where(odd_O[:, None], other.ua_OI[:, ::-1], one.ua_OI),
        np.where(odd_O[:, None], other.per_us_OI[:, ::-1], one.per_us_OI),
        np.where(odd_O, other.siemens_O, one.siemens_O),
    )


class TimedPeriphery(Periphery):
    """Reads tiles pulse by pulse; scaling and bound management as for any other read."""

    io: TimedIOParameters

    def __init__(
        self,
        io: TimedIOParameters,
        keys_T2: NDArray[np.uint32],
        out_size: int,
        in_size: int,
        direction: Literal["forward", "backward"] = "forward",
        backend: Backend = CPU,
    ) -> None:
        if backend.on_card or direction == "backward":
            raise ConfigError(
                f"{type(io).__name__} reads forward, on processors: use device='cpu' and another backward"
            )
        plain = {each.name: getattr(io, each.name) for each in dataclasses.fields(IOParameters)}
        plain.update(ir_drop=0.0, mv_type=AnalogMVType.ONE_PASS)
        super().__init__(IOParameters(**plain), keys_T2, out_size, in_size, direction, backend)
        self.timed, self.passes = io, passes_of(io)
        _rows(io, in_size)
        self._attempt, self._own_scales, self._passed = self._attempt_in_time, False, naive.passed
        self._seen_TOI = np.full(self.shape, np.nan, np.float32)  # NaN, which equals nothing
        self._lines: list[Lines | None] = [None] * len(self.keys_T2)

    @property
    def conversions_a_vector(self) -> int:
        return self.lines * len(self.passes) * (self.timed.ir_drop_converter.conductances() // 2)

    @property
    def has_bound(self) -> bool:  # type: ignore[override]
        """A sum of several conversions has no one bound."""
        return len(self.passes) == 1 and bool(np.isfinite(self.settings.out_bound))

    def lines_of_tile(self, t: int, w_OI: Array) -> Lines:
        """Its lines, joined anew where its weights have changed."""
        kept = self._lines[t]
        if kept is None or not np.array_equal(w_OI, self._seen_TOI[t]):
            kept = self._lines[t] = lines_of(w_OI, self.timed)
            self._seen_TOI[t] = w_OI
        return kept

    def _attempt_in_time(
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
        """One attempt at ``rows``, as ``naive.attempt``."""
        w_TOI, scale_M = on_host(w_TOI), on_host(scale_M) * np.float32(factor)
        steps_MI = self._steps(on_host(x_RI), scale_M, rows, tick, number)
        y_NL = np.zeros((len(rows.vector_N), self.lines))
        hits_N, clips_N = np.zeros(len(y_NL), bool), np.zeros(len(y_NL), np.int64)
        for t in range(len(w_TOI)):
            mine = slice(rows.first_T1[t], rows.first_T1[t + 1])
            when_B = tick + rows.vector_N[mine]
            at = slice(rows.input_first_T[t], rows.input_first_T[t] + len(when_B))
            lines, gain_B = self.lines_of_tile(t, w_TOI[t]), scale_M[at]
            for k, one in enumerate(self.passes):
                drawn = _Draws(derived_key(self.keys_T2[t], k, 0, 3), when_B, self.settings.stream, number)
                product_BL = self._product(lines, steps_MI[at], one, drawn)
                read_BL, high_BL, low_BL = self._converted(product_BL, t, drawn)
                y_NL[mine] += one.divisor * read_BL
                over_BL = high_BL | low_BL if self.settings.bm_test_negative_bound else high_BL
                hits_N[mine] |= over_BL.any(axis=1) & (gain_B > 0)
                clips_N[mine] += (high_BL | low_BL).sum(axis=1) * (gain_B > 0)
            y_NL[mine] *= gain_B[:, None] * self.io.out_scale
        y_NL = y_NL.astype(np.float32)
        return self._kernels.ready(y_NL), hits_N, clips_N, int(clips_N.sum()), None, scale_M, True

    def _steps(self, x_RI: Array, scale_M: Array, rows: Rows, tick: int, number: int) -> Array:
        """The inputs after the DAC, its noise and asymmetry, in steps [M, I]."""
        s, scale_M1 = self.settings, scale_M[:, None]
        x_MI = x_RI[rows.source_M]
        u_MI = np.divide(x_MI, scale_M1, out=np.zeros_like(x_MI), where=scale_M1 > 0)
        drawn = self.keys_T2, rows.tile_M, tick + rows.input_vector_M, s.stream, number
        if s.inp_random:
            uniform_MI = row_uniforms(*drawn, INPUT_ROUNDING, self.length)
            u_MI = formulas.quantised_at_random(u_MI, s.inp_step, uniform_MI)
        else:
            u_MI = formulas.quantised(u_MI, s.inp_step)
        u_MI = formulas.clipped(u_MI, s.inp_bound)
        if s.inp_noise > 0:
            u_MI = u_MI + s.inp_noise * row_normals(*drawn, INPUT_NOISE, self.length)
        steps_MI: Array = formulas.at_input(u_MI, s) * np.float32(self.timed.levels)
        return steps_MI

    def _product(self, lines: Lines, steps_BI: Array, one: Pass, drawn: _Draws) -> NDArray[np.float64]:
        """What one pass makes of the inputs, in units of weight times scaled input [B, out]."""
        io, size_BI = self.timed, np.abs(steps_BI)
        size_BI = np.where(np.abs(size_BI - np.rint(size_BI)) < ALMOST, np.rint(size_BI), size_BI)
        if one.divisor > 1:
            size_BI = np.floor(size_BI / one.divisor)
        if one.modulus:
            size_BI = size_BI % one.modulus
        ideal = io.ir_drop == 0.0
        on_BI = size_BI if ideal else durations(size_BI, one, not io.ir_drop_integration_sum)
        signed_BI = (np.sign(steps_BI) * on_BI).astype(np.float64)
        q_BL = np.zeros((len(size_BI), self.lines))  # µA steps
        for n, (factor, ladder, g_OI) in enumerate(lines.of_pairs):
            pair_BL = signed_BI @ ladder.ua_OI.T
            if io.apply_xdep_pcm_read_noise:
                spread_BL = read_noise(on_BI.astype(np.float64), size_BI.mean(axis=1), ladder.per_us_OI, g_OI)
                noise_BL = drawn.normals(WEIGHT_NOISE + 16 * n, self.lines)
                pair_BL += io.xdep_pcm_read_noise_scale * spread_BL * noise_BL
            if not ideal:
                pair_BL += (LEVEL - io.ir_drop_v_read) * 1e6 * ladder.siemens_O * one.steps
                if io.adc_quantization:
                    pair_BL = np.trunc(pair_BL / 100.0 * io.adc_frequency) * 100.0 / io.adc_frequency
            q_BL += factor * pair_BL
        return q_BL / (READ_VOLTS * lines.us_per_weight * io.levels)

    def _converted(self, y_BL: NDArray[np.float64], t: int, drawn: _Draws) -> tuple[Array, Any, Any]:
        """Asymmetry, output noise and ADC; and which results are above and below its range."""
        s = self.settings
        y = formulas.at_output(y_BL.astype(np.float32), s)
        if s.out_noise > 0:
            std = self.spread.out_noise_TL[t] if s.has_out_spread else s.out_noise
            y = y + std * drawn.normals(OUTPUT_NOISE, self.lines)
        if s.out_random:
            y = formulas.quantised_at_random(y, s.out_step, drawn.uniforms(OUTPUT_ROUNDING, self.lines))
        else:
            y = formulas.quantised(y, s.out_step)
        return formulas.clipped(y, s.out_bound), y > s.out_bound, y < -s.out_bound


def read_noise(
    on_BI: NDArray[np.float64], mean_B: Array, per_us_OI: NDArray[np.float64], g_OI: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Standard deviation of a line's charge from the noise of its devices, in µA steps [B, out].

    A device of conductance g that is read with pulses of t steps in the mean has a spread of slope(t) g +
    offset(t), both polynomials in log10 t; each device's counts as long as it is read. To first order in it.
    """
    at_B = np.log10(np.maximum(mean_B.astype(np.float64), 1e-9))
    slope_B1, offset_B1 = (np.polyval(each, at_B)[:, None] for each in (SLOPE, [1e6 * c for c in OFFSET]))
    power_BI = on_BI**2
    parts = [power_BI @ (per_us_OI**2 * g_OI**n).T for n in range(3)]
    variance = slope_B1**2 * parts[2] + 2 * slope_B1 * offset_B1 * parts[1] + offset_B1**2 * parts[0]
    spread: NDArray[np.float64] = np.sqrt(np.maximum(variance, 0.0))
    return spread


class _Draws(NamedTuple):
    """The random numbers of one pass of one tile."""

    key: NDArray[np.uint32]
    when_B: Count
    stream: int
    number: int

    def normals(self, purpose: int, lines: int) -> Array:
        """[B, lines]."""
        tile_B = np.zeros(len(self.when_B), np.int64)
        return row_normals(self.key[None], tile_B, self.when_B, self.stream, self.number, purpose, lines)

    def uniforms(self, purpose: int, lines: int) -> Array:
        """[B, lines]."""
        tile_B = np.zeros(len(self.when_B), np.int64)
        return row_uniforms(self.key[None], tile_B, self.when_B, self.stream, self.number, purpose, lines)
