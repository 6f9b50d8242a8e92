"""Digital-to-analog conversion of inputs: their codes, and how many lines are driven.

A signed input in [-bound, bound] becomes an integer of ``input_bits`` bits. A chip that streams sends
``bits`` of it a pass, lowest first.
"""

from __future__ import annotations

from .spec import Chip, Dac


def input_levels(dac: Dac) -> int:
    """Largest magnitude of the integer that an input becomes."""
    return int(2 ** ((dac.input_bits or dac.bits) - 1) - 1)


def conversions(chip: Chip, in_size: int) -> int:
    """Input lines driven for one vector of ``in_size`` inputs."""
    return in_size * chip.passes


def pass_ns(chip: Chip) -> float:
    """Time of one pass at the chip's resolution: pulses last as many steps as there are levels."""
    if chip.dac is None:
        return 0.0
    time, published = chip.dac.time_ns, chip.dac.time_ns.at_bits
    if published is None or chip.dac.kind != "pulse-width":
        return time.value
    return time.value * _steps(chip.dac, chip.dac.bits) / _steps(chip.dac, published)


def _steps(dac: Dac, bits: int) -> int:
    """Steps of the longest pulse: of a magnitude, or of a streamed digit, which has no sign."""
    streamed = (dac.input_bits or dac.bits) > dac.bits
    return max(2 ** (bits if streamed else bits - 1) - 1, 1)
