"""Converters between weights and conductances."""

from ...missing import absent

__getattr__ = absent(__name__)
