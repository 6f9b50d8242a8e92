"""The release of aihwkit whose names and behaviour these are."""

from . import __version__ as __version__
from .missing import absent

__getattr__ = absent(__name__)
