"""The analog matrix product: a tile's weights between its converters."""

from .parameters import IOParameters
from .periphery import Periphery, ReadCounts, warm

__all__ = ["IOParameters", "Periphery", "ReadCounts", "warm"]
