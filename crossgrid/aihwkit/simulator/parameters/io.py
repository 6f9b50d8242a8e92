"""The periphery of a tile."""

from __future__ import annotations

from crossgrid.kernels.analog_mvm import parameters
from crossgrid.kernels.config import config

from ...missing import absent


@config
class IOParameters(parameters.IOParameters):
    """The periphery of a tile in one direction; scaled inputs may be clipped elsewhere than at 1."""

    def validate(self) -> None:
        bound = self.inp_bound
        object.__setattr__(self, "inp_bound", 1.0)
        try:
            parameters.IOParameters.validate(self)
        finally:
            object.__setattr__(self, "inp_bound", bound)


__getattr__ = absent(__name__)
