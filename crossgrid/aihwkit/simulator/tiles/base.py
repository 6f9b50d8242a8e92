"""What tiles have in common, and the names in their state."""

from __future__ import annotations

from ...missing import absent
from .module import TileModule
from .simulator import SimulatorView

BaseTile = SimulatorTileWrapper = TileModuleBase = TileModule
SimulatorTile = SimulatorView


class AnalogTileStateNames:
    """The names in a tile's ``state_dict``: the weight is under torch's name, the rest are bytes."""

    WEIGHTS = "weight"
    CONTEXT = "weight"
    ANALOG_STATE_NAME = "analog_tile.state"


__getattr__ = absent(__name__)
