"""aihwkit's place of ``InferenceTile``."""

from ...missing import absent
from .classes import InferenceTile as InferenceTile

InferenceTileWithPeriphery = InferenceTile

__getattr__ = absent(__name__)
