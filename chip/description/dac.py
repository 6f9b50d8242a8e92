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
