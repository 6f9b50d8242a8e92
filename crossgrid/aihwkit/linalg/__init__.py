"""Linear algebra on tiles."""

from ..missing import absent
from .matrix import AnalogMatrix as AnalogMatrix

__getattr__ = absent(__name__)
