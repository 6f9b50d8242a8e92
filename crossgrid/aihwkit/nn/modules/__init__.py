"""Layers and models."""

from ...missing import absent

__getattr__ = absent(__name__)
