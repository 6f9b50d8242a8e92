"""aihwkit's place of ``FloatingPointTile``."""

from ...missing import absent
from .classes import FloatingPointTile as FloatingPointTile

__getattr__ = absent(__name__)
