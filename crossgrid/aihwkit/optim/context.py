"""The parameters of weights on tiles."""

from __future__ import annotations

from typing import Any

from crossgrid.emulator.analog_matrix.weights import AnalogContext as PulsedWeight
from crossgrid.emulator.analog_matrix.weights import TrainedWeight

from ..missing import absent


class OnTiles(type):
    """What makes ``isinstance(parameter, AnalogContext)`` true for every weight on a tile."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (PulsedWeight, TrainedWeight))


class AnalogContext(metaclass=OnTiles):
    """A weight on a tile, which is the parameter's ``analog_tile``; to be asked for with ``isinstance``."""


__getattr__ = absent(__name__)
