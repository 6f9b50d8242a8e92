"""The analog matrix product: a tile's weights between its converters."""

from .parameters import IOParameters
from .reads.make import periphery
from .reads.nodal import share_networks
from .reads.periphery import Periphery, ReadCounts, warm
from .reads.pulses import TimedIOParameters
from .reads.sliced import SlicedIOParameters

__all__ = [
    "IOParameters", "Periphery", "ReadCounts", "SlicedIOParameters", "TimedIOParameters", "periphery",
    "share_networks", "warm",
]  # fmt: skip
