"""The base of all compensations."""

from crossgrid.kernels.inference import BaseDriftCompensation as BaseDriftCompensation

from ...missing import absent

__getattr__ = absent(__name__)
