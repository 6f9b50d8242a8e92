"""Plots and summaries."""

from ..missing import absent

__getattr__ = absent(__name__)
