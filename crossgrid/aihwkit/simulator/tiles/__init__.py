"""Tiles: torch modules around one physical tile each."""

from ...missing import absent
from .classes import AnalogTile as AnalogTile
from .classes import FloatingPointTile as FloatingPointTile
from .classes import InferenceTile as InferenceTile
from .classes import TorchInferenceTile as TorchInferenceTile

InferenceTileWithPeriphery = InferenceTile

__getattr__ = absent(__name__)
