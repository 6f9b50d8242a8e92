"""Quantized digital layers: not here, as the error says that importing it raises."""

from ..missing import refuse_module

refuse_module(__name__)
