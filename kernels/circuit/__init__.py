"""The circuit of a tile: wires and devices as a resistive network, solved exactly or handed to SPICE."""

from .ladder import Ladders, ladders
from .network import CrossbarCircuit, Network, tile_networks
from .nodal import NodalTile
from .spice import NetlistExporter

__all__ = [
    "CrossbarCircuit",
    "Ladders",
    "NetlistExporter",
    "Network",
    "NodalTile",
    "ladders",
    "tile_networks",
]
