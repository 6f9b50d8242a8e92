"""How gradients become pulses."""

from crossgrid.kernels.pulsed_update.parameters import UpdateParameters as UpdateParameters

from ...missing import absent

__getattr__ = absent(__name__)
