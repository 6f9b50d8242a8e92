"""Optimizers."""

from ..missing import absent
from .analog_optimizer import AnalogAdam as AnalogAdam
from .analog_optimizer import AnalogOptimizer as AnalogOptimizer
from .analog_optimizer import AnalogSGD as AnalogSGD

__getattr__ = absent(__name__)
