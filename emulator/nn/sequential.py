"""AnalogSequential: torch's Sequential under the name that the field uses."""

from __future__ import annotations

from torch import nn


class AnalogSequential(nn.Sequential):
    """A sequence of analog and digital layers."""
