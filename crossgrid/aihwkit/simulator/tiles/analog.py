"""aihwkit's place of ``AnalogTile``."""

from ...missing import absent
from .classes import AnalogTile as AnalogTile

__getattr__ = absent(__name__)
