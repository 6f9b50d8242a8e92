"""Devices with published values."""

from crossgrid.kernels.devices import CapacitorPresetDevice as CapacitorPresetDevice
from crossgrid.kernels.devices import EcRamMOPresetDevice as EcRamMOPresetDevice
from crossgrid.kernels.devices import EcRamPresetDevice as EcRamPresetDevice
from crossgrid.kernels.devices import GokmenVlasovPresetDevice as GokmenVlasovPresetDevice
from crossgrid.kernels.devices import IdealizedPresetDevice as IdealizedPresetDevice
from crossgrid.kernels.devices import PCMPresetDevice as PCMPresetDevice
from crossgrid.kernels.devices import ReRamArrayHfO2PresetDevice as ReRamArrayHfO2PresetDevice
from crossgrid.kernels.devices import ReRamArrayOMPresetDevice as ReRamArrayOMPresetDevice
from crossgrid.kernels.devices import ReRamESPresetDevice as ReRamESPresetDevice
from crossgrid.kernels.devices import ReRamSBPresetDevice as ReRamSBPresetDevice

from ...missing import absent

__getattr__ = absent(__name__)
