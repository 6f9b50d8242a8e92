"""AnalogSequential: torch's Sequential that also programs and ages its analog layers."""

from __future__ import annotations

from torch import nn

from .analog_model import AnalogModel


class AnalogSequential(AnalogModel, nn.Sequential):
    """A sequence of analog and digital layers."""
