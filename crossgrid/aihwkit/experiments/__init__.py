"""Experiments that are run in this process."""

from ..missing import absent
from .experiments.training import BasicTraining as BasicTraining

__getattr__ = absent(__name__)
