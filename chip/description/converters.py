"""A chip's converters as the emulated numbers go through them: from its description to the read's parameters.

A chip whose cells hold whole weights and whose inputs take one pass converts each output once, in the
terms of ``IOParameters``. Any other is read slice by slice and pass by pass (``SlicedIOParameters``).
Noises stay what the configuration says: a chip's file describes none.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from crossgrid.kernels.analog_mvm import IOParameters, SlicedIOParameters

from . import adc
from .spec import Chip


def converted_by(chip: Chip, io: IOParameters) -> IOParameters:
    """``io`` with the chip's converters in place of its own; a copy of it for an ideal chip."""
    if chip.ideal or chip.dac is None or chip.adc is None:
        return copy.deepcopy(io)
    bits = chip.dac.input_bits or chip.dac.bits
    if not chip.sliced:
        bound = float(chip.tile_in) if chip.adc.bound is None else chip.adc.bound
        return dataclasses.replace(
            io, inp_bound=chip.dac.bound, inp_res=symmetric_resolution(bits), out_bound=bound,
            out_res=symmetric_resolution(chip.adc.bits), lines_per_adc=chip.adc.columns,
        )  # fmt: skip
    kept = {spec.name: getattr(io, spec.name) for spec in dataclasses.fields(IOParameters)}
    converters: dict[str, Any] = {
        "inp_bound": chip.dac.bound, "inp_res": symmetric_resolution(bits),
        "out_bound": chip.adc.bound or 0.0, "out_res": 0.0, "lines_per_adc": chip.adc.columns,
        "weight_bits": chip.crossbar.weight_bits, "cell_bits": chip.crossbar.bits_per_cell or 0,
        "slices": chip.slices, "offset": chip.crossbar.sign == "offset",
        "input_bits": bits, "dac_bits": chip.dac.bits, "phases": chip.crossbar.phases,
        "rows_at_once": chip.rows_at_once if chip.rows_at_once < chip.tile_in else 0,
        "adc_step": adc.step(chip), "adc_limit": adc.limit(chip),
        "reference_columns": chip.crossbar.offset_columns,
    }  # fmt: skip
    return SlicedIOParameters(**{**kept, **converters})


def symmetric_resolution(bits: int) -> float:
    """Step over half range of a symmetric quantiser that has a zero: 1 / (2^bits - 2); 7 bits: 1/126."""
    return 1.0 / max(2**bits - 2, 1)
