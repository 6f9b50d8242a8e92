"""Inputs as pulses: what may be chosen of a read in time, the passes that inputs are sent in, durations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...config import config, field
from ...errors import ConfigError
from ...inference.noise.converters import BaseConductanceConverter, SinglePairConductanceConverter
from ..parameters import AnalogMVType, IOParameters, WeightNoiseType
from .periphery import Array

ALMOST = 1e-3  # of a step: a pulse that is longer than whole steps by less has not begun another
MODES = (AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)


@config
class TimedIOParameters(IOParameters):
    """A periphery whose inputs are durations of pulses and whose wires have a resistance."""

    ir_drop: str | float = field(1.0, at_least=0.0)
    """Factor of the wires' resistance; 0: ideal wires, exact durations and no ticks of the ADC."""
    ir_drop_rs: float = field(0.15, at_least=0.0)
    """Resistance of a line between two crossings in Ω."""
    ir_drop_segments: int = field(8, at_least=1)
    """Number of pieces that a line is cut into, whose devices count as one."""
    ir_drop_time_step_resolution_scale: float = field(1.0, above=0.0)
    """Number of steps of time for a step of the DAC."""
    ir_drop_v_read: float = field(0.4005, above=0.0)
    """Voltage that the ADC holds a line at, in units of 1 V."""
    split_mode_bit_shift: int = field(3, at_least=1)
    """Number of low bits that are sent in a pass of their own."""
    apply_xdep_pcm_read_noise: bool = field(False)
    """Whether a device's noise depends on how long it is read."""
    xdep_pcm_read_noise_scale: float = field(1.0, at_least=0.0)
    """Factor of that noise."""
    adc_quantization: bool = field(True)
    """Whether the charge of a line is counted in whole ticks of the ADC."""
    adc_frequency: float = field(6.24, above=0.0)
    """Number of the ADC's ticks for a charge of 100 µA ns."""
    ir_drop_integration_sum: bool = field(False)
    """Whether charge is the sum over the steps of time, or else by the trapezoidal rule."""
    ir_drop_rows: int = field(0, at_least=0)
    """Number of crossings of a line, whose middle the inputs take; 0: as many as there are inputs."""
    ir_drop_converter: BaseConductanceConverter = field(factory=SinglePairConductanceConverter)
    """Which pairs of conductances a weight is."""

    def validate(self) -> None:
        name = type(self).__name__
        if self.perfect:
            return
        if isinstance(self.ir_drop, str):
            raise ConfigError(f"{name}.ir_drop = {self.ir_drop!r} must be a number, the factor of ir_drop_rs")
        if self.mv_type not in MODES:
            raise ConfigError(
                f"{name}.mv_type = {self.mv_type.name} is not read in time; take ONE_PASS, "
                "SPLIT_MODE or BIT_WISE"
            )
        if self.inp_bound != 1.0 or self.inp_res <= 0.0:
            raise ConfigError(
                f"{name}.inp_bound = {self.inp_bound:g} must be 1 and inp_res = {self.inp_res:g} above 0: a "
                "full input is as many steps long as the DAC has levels"
            )
        for each, plain in _UNTIMED.items():
            if getattr(self, each) != plain:
                raise ConfigError(
                    f"{name}.{each} = {getattr(self, each)} has no part in a read in time; leave it out"
                )
        if self.ir_drop_converter.conductances() % 2:
            raise ConfigError(
                f"{name}.ir_drop_converter is a {type(self.ir_drop_converter).__name__}; lines are of pairs: "
                "take a converter with pairs of devices"
            )
        passes_of(self)

    @property
    def levels(self) -> float:
        """Steps of a full input."""
        return 0.5 * (self.inp_res if self.inp_res > 1 else 1.0 / self.inp_res)


_UNTIMED: dict[str, Any] = {
    "w_noise": 0.0, "w_noise_type": WeightNoiseType.NONE, "out_nonlinearity": 0.0, "slope_calibration": 0.0,
    "v_offset_std": 0.0, "r_series": 0.0, "w_read_asymmetry_dtod": 0.0,
}  # fmt: skip


class Pass(NamedTuple):
    """One part of the inputs: code // divisor % modulus, which counts ``divisor`` in the sum."""

    divisor: int
    modulus: int
    longest: float  # input in steps of the DAC
    samples: int  # of time

    @property
    def sample(self) -> float:
        """Steps of the DAC from one sample to the next."""
        return self.longest / (self.samples - 1) if self.samples > 1 else 1.0

    @property
    def steps(self) -> float:
        """How long a line is integrated, in steps of the DAC."""
        return self.samples * self.sample


def passes_of(io: TimedIOParameters) -> list[Pass]:
    """The passes of an input, its lowest bits first.

    Raises:
        ConfigError: the DAC has no whole number of bits, or not enough.
    """
    scale, count = io.ir_drop_time_step_resolution_scale, 2.0 * io.levels + 2.0
    if io.mv_type is AnalogMVType.ONE_PASS:
        return [Pass(1, 0, io.levels, max(int(count / 2 * scale), 1))]
    bits, shift = round(math.log2(count)), io.split_mode_bit_shift
    if abs(2**bits - count) > 1e-3:
        raise ConfigError(
            f"{type(io).__name__}.inp_res = {io.inp_res:g} must be 2^bits - 2 steps, such as 254, for inputs "
            f"in parts ({io.mv_type.name})"
        )
    if io.mv_type is AnalogMVType.BIT_WISE:
        return [Pass(2**k, 2, 1.0, 2) for k in range(bits - 1)]
    if shift >= bits:
        raise ConfigError(
            f"{type(io).__name__}.split_mode_bit_shift = {shift} must be below the {bits} bits of inp_res"
        )
    low, high = 2**shift, 2 ** (bits - 1 - shift)
    return [
        Pass(1, low, low - 1.0, max(int(low * scale), 1)),
        Pass(low, 0, high - 1.0, max(int(high * scale), 1)),
    ]


def durations(steps: Array, one: Pass, trapezoid: bool) -> Array:
    """How long inputs of magnitude ``steps`` are integrated, in steps of the DAC.

    The current is sampled ``samples`` times from 0 to ``longest``; a pulse of s steps is on at times below s.
    By the trapezoidal rule, whose first sample counts one and a half times and whose last one half, a pulse
    is half a sample longer than by the sum.
    """
    on = np.minimum(np.ceil(steps / one.sample - ALMOST), one.samples)
    if trapezoid and one.samples > 1:
        on = on + 0.5 * (steps > 0) - 0.5 * (steps > one.longest + ALMOST)
    counted: Array = on * one.sample
    return counted
