"""Analog-to-digital conversion: its codes, and what one conversion stands for."""

from __future__ import annotations

import math

from .dac import input_levels
from .spec import Chip


def weight_levels(chip: Chip) -> int:
    """Largest magnitude of the integer that a weight becomes."""
    return int(2 ** (chip.crossbar.weight_bits - 1) - 1)


def full_scale(chip: Chip) -> float:
    """Largest magnitude of a column's sum in digits: every row of a read has the largest digits."""
    return chip.rows_at_once * unit(chip)


def unit(chip: Chip) -> float:
    """Digits of a column's sum that the largest digit of a weight and of an input make."""
    return _largest_cell(chip) * _largest_input(chip)


def step(chip: Chip) -> float:
    """Difference of two neighbouring codes, in digits of a column's sum.

    Converters of a range that is given divide twice that range (both signs) by 2^bits - 2, or that range by
    2^bits - 1 where no sum is negative. Those without
    divide the range of possible sums; where that is finer than one, all sums are exact integers.
    ``saved_bits`` are what the encoding of weights spares (Shafiee et al., ISCA 2016, section V: columns
    whose sum could be too large are stored inverted).
    """
    assert chip.adc is not None
    if chip.adc.bound is not None:
        if has_sign(chip):
            return 2.0 * chip.adc.bound * unit(chip) / max(2**chip.adc.bits - 2, 1)
        return chip.adc.bound * unit(chip) / (2**chip.adc.bits - 1)
    bits = chip.adc.bits + chip.adc.saved_bits
    if has_sign(chip):
        return max(2.0 * full_scale(chip) / max(2**bits - 2, 1), 1.0)
    return max(full_scale(chip) / (2**bits - 1), 1.0)


def limit(chip: Chip) -> float:
    """The largest code, in digits."""
    assert chip.adc is not None
    return full_scale(chip) if chip.adc.bound is None else chip.adc.bound * unit(chip)


def has_sign(chip: Chip) -> bool:
    """Whether a column's sum can be negative: cells or lines carry a sign that has no phase of its own.

    A streamed input's top bit is subtracted after conversion, so it carries none.
    """
    phases = chip.crossbar.phases
    streamed = chip.dac is not None and (chip.dac.input_bits or chip.dac.bits) > chip.dac.bits
    weights = chip.crossbar.sign != "offset" and phases < 4
    return weights or (phases == 1 and not streamed)


def lossless_bits(chip: Chip) -> int:
    """Bits that a conversion needs to lose nothing: the logarithm of the number of possible sums."""
    return math.ceil(math.log2(full_scale(chip) + 1.0)) + has_sign(chip)


#: a sum of trained weights and rectified inputs beside the root of its rows: spreads of a quarter and a half
TYPICAL_SUM = 0.125


def coarse(apart: float, rows: int, digits: bool = False) -> bool:
    """Whether codes ``apart`` lose what a column of ``rows`` sums.

    Sums of digits are whole numbers, of which none may fall between codes. Of analog cells a sum is never
    exact (``apart`` is then in units of the largest weight times the largest input), but steps wider than a
    typical sum leave nothing of it.
    """
    return apart > (1.0 if digits else TYPICAL_SUM * math.sqrt(rows))


def shortfall(chip: Chip) -> str:
    """What the converters of a chip lose (``coarse``), in a line; "" where their bits are enough."""
    if chip.ideal or chip.adc is None or chip.dac is None:
        return ""
    rows, apart = chip.rows_at_once, step(chip)
    digits = chip.crossbar.bits_per_cell is not None
    if not coarse(apart if digits else apart / unit(chip), rows, digits):
        return ""
    if digits:
        most = limit(chip) if chip.adc.bound is not None else full_scale(chip)
        needed = math.ceil(math.log2(most + 1.0)) + has_sign(chip) - chip.adc.saved_bits
        return (
            f"adc.bits = {chip.adc.bits}: sums of {rows} rows need {needed} bits, codes are {apart:.3g} "
            "counts apart; give more bits, fewer crossbar.rows_at_once, or an adc.bound that fits the sums"
        )
    return (
        f"adc.bits = {chip.adc.bits}: codes are {apart / unit(chip):.3g} apart, a typical sum of {rows} rows "
        f"is {TYPICAL_SUM * math.sqrt(rows):.3g}; give more bits or a smaller adc.bound"
    )


def conversions(chip: Chip, out_size: int, in_size: int | None = None) -> int:
    """Conversions for one vector through ``out_size`` outputs and ``in_size`` rows (all) of a tile."""
    return (out_size * chip.slices + chip.crossbar.offset_columns) * chip.passes * row_groups(chip, in_size)


def row_groups(chip: Chip, in_size: int | None = None) -> int:
    """Reads that drive ``in_size`` rows (all of a tile's), ``rows_at_once`` at a time."""
    return -(-(in_size or chip.tile_in) // chip.rows_at_once)


def lines(chip: Chip) -> int:
    """Lines of a whole tile that a pass converts."""
    return chip.tile_out * chip.slices + chip.crossbar.offset_columns


def converters(chip: Chip) -> int:
    """Converters of a tile: as many as its lines need with ``adc.columns`` lines each."""
    return 0 if chip.adc is None else -(-lines(chip) // chip.adc.columns)


def conversion_ns(chip: Chip) -> float:
    """Time of one conversion at the chip's resolution.

    A successive approximation decides a bit a cycle, a flash all at once, a counter passes every level
    (Razavi, Principles of Data Conversion System Design, 1995, chapter 6).
    """
    if chip.adc is None:
        return 0.0
    time, bits, published = chip.adc.time_ns, chip.adc.bits, chip.adc.time_ns.at_bits
    if published is None or chip.adc.kind == "flash":
        return time.value
    if chip.adc.kind == "sar":
        return time.value * bits / published
    return time.value * 2.0 ** (bits - published)


def _largest_cell(chip: Chip) -> float:
    bits = chip.crossbar.bits_per_cell
    return float(weight_levels(chip)) if bits is None else float(2**bits - 1)


def _largest_input(chip: Chip) -> float:
    assert chip.dac is not None
    streamed = (chip.dac.input_bits or chip.dac.bits) > chip.dac.bits
    return float(2**chip.dac.bits - 1) if streamed else float(input_levels(chip.dac))
