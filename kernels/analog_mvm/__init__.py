"""The analog matrix product: a tile's weights between its converters."""

from .nodal import share_networks
from .parameters import IOParameters
from .periphery import Periphery, ReadCounts, warm
from .sliced import SlicedIOParameters, periphery

__all__ = [
    "IOParameters", "Periphery", "ReadCounts", "SlicedIOParameters", "periphery", "share_networks", "warm",
]  # fmt: skip
