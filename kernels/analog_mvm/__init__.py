"""The analog matrix product: a tile's weights between its converters."""

from .parameters import IOParameters
from .periphery import Periphery, ReadCounts, warm
from .sliced import SlicedIOParameters, periphery

__all__ = ["IOParameters", "Periphery", "ReadCounts", "SlicedIOParameters", "periphery", "warm"]
