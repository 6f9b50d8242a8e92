"""Peripheries and pulses of the presets."""

from crossgrid.kernels.analog_mvm.parameters import PresetIOParameters as PresetIOParameters
from crossgrid.kernels.analog_mvm.parameters import StandardIOParameters as StandardIOParameters
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

from ...missing import absent

PresetUpdateParameters = UpdateParameters

__getattr__ = absent(__name__)
