"""aihwkit's place of ``TorchInferenceTile``."""

from ...missing import absent
from .classes import TorchInferenceTile as TorchInferenceTile

__getattr__ = absent(__name__)
