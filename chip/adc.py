"""Analog-to-digital converters: what they do to numbers."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from .spec import Chip


def equivalent_output(chip: Chip) -> tuple[float, float]:
    """Bound and resolution of one quantiser that stands for the chip's conversions of a whole product."""
    from .spec import symmetric_resolution

    assert chip.adc is not None
    bound = chip.adc.bound if chip.adc.bound is not None else float(chip.tile_in)
    return bound, symmetric_resolution(chip.adc.bits)
