"""Analog-to-digital conversion: what it does to a column's sum, and what one conversion stands for."""

from __future__ import annotations

import math
import typing

import numpy as np

if typing.TYPE_CHECKING:
    from .spec import Chip


def full_scale(chip: Chip) -> float:
    """Largest sum of a column in digits: every row driven by the largest digit on the largest digit.

    Without slices or passes digits are whole weights and inputs.
    """
    return chip.tile_in * _largest_cell(chip) * _largest_input(chip)


def step(chip: Chip) -> float:
    """Difference of two neighbouring codes, in digits of a column's sum.

    Converters of a range that is given divide twice that range (both signs) by 2^bits - 2. Those without
    divide the largest sum by 2^bits - 1; where that is finer than one, all sums are exact integers.
    ``saved_bits`` are what the encoding of weights spares (Shafiee et al., ISCA 2016, section V: columns
    whose sum could be too large are stored inverted).
    """
    assert chip.adc is not None
    if chip.adc.bound is not None:
        return 2.0 * chip.adc.bound * _unit(chip) / max(2**chip.adc.bits - 2, 1)
    return max(full_scale(chip) / (2 ** (chip.adc.bits + chip.adc.saved_bits) - 1), 1.0)


def lossless_bits(chip: Chip) -> int:
    """Bits that a conversion needs to lose nothing: the logarithm of the number of possible sums."""
    return math.ceil(math.log2(full_scale(chip) + 1.0))


def converted(sums: np.ndarray, chip: Chip) -> np.ndarray:
    """A column's sums, in digits, after conversion: rounded to steps (half to even) and clipped."""
    assert chip.adc is not None
    delta = step(chip)
    limit = full_scale(chip) if chip.adc.bound is None else chip.adc.bound * _unit(chip)
    return np.clip(np.rint(sums / delta) * delta, -limit, limit)


def equivalent_output(chip: Chip) -> tuple[float, float]:
    """Bound and resolution of one quantiser that stands for the chip's conversions of a whole product.

    In units of weights of at most 1 and inputs of at most 1. With one conversion a product it is that
    one. With several, a conversion errs uniformly with variance step^2 / 12, and errors add with the
    squared weights of their slice and pass; the quantiser given has the same variance in the sum.
    Resolution -1: no loss.
    """
    from .dac import input_levels
    from .slicing import weight_levels

    assert chip.dac is not None
    assert chip.adc is not None
    bound = chip.adc.bound if chip.adc.bound is not None else float(chip.tile_in)
    passes = math.ceil((chip.dac.input_bits or chip.dac.bits) / chip.dac.bits)
    if passes == 1 and chip.crossbar.bits_per_cell is None:
        return bound, 1.0 / max(2**chip.adc.bits - 2, 1)
    delta = step(chip)
    if delta <= 1.0:
        return bound, -1.0
    slice_base, pass_base = 2.0 ** (chip.crossbar.bits_per_cell or 0), 2.0**chip.dac.bits
    squared = sum(slice_base ** (2 * k) for k in range(chip.slices)) * sum(
        pass_base ** (2 * k) for k in range(passes)
    )
    total = delta * math.sqrt(squared) / (weight_levels(chip) * input_levels(chip.dac))
    return bound, total / (2.0 * bound)


def conversions(chip: Chip, out_size: int) -> int:
    """Conversions for one vector through ``out_size`` outputs of a tile."""
    return (out_size * chip.slices + chip.crossbar.offset_columns) * chip.passes


def _largest_cell(chip: Chip) -> float:
    from .slicing import weight_levels

    bits = chip.crossbar.bits_per_cell
    return float(weight_levels(chip)) if bits is None else float(2**bits - 1)


def _largest_input(chip: Chip) -> float:
    from .dac import input_levels

    assert chip.dac is not None
    streamed = (chip.dac.input_bits or chip.dac.bits) > chip.dac.bits
    return float(2**chip.dac.bits - 1) if streamed else float(input_levels(chip.dac))


def _unit(chip: Chip) -> float:
    """Digits of a column's sum that a product of weight 1 and input 1 makes."""
    return _largest_cell(chip) * _largest_input(chip)
