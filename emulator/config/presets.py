"""Configurations with the published values of a technology, under aihwkit's names.

Each is called without arguments and gives a new configuration, whose fields can then be set. All have
``PresetIOParameters`` for both directions and trains of up to 31 pulses with both kinds of management; the
values of the devices are in ``kernels/devices/presets.py``, the rates of the learning rules in
``cell_presets.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from crossgrid.kernels.analog_mvm.parameters import PresetIOParameters
from crossgrid.kernels.config import Config
from crossgrid.kernels.devices import PulsedDevice
from crossgrid.kernels.devices import presets as devices

from . import cell_presets as cells
from .rpu import SingleRPUConfig, UnitCellRPUConfig


def single(device: type[PulsedDevice]) -> SingleRPUConfig:
    """One device a crosspoint."""
    return SingleRPUConfig(device=device(), forward=PresetIOParameters(), backward=PresetIOParameters())


def of_cell(cell: Callable[[], Config]) -> UnitCellRPUConfig:
    """A cell that is complete."""
    return UnitCellRPUConfig(device=cell(), forward=PresetIOParameters(), backward=PresetIOParameters())


def of_devices(cell: Callable[[Any], Config], device: Callable[[], Config]) -> UnitCellRPUConfig:
    """A cell that is made from a device."""
    return of_cell(lambda: cell(device()))


two, four = partial(cells.several, count=2), partial(cells.several, count=4)

ReRamESPreset = partial(single, devices.ReRamESPresetDevice)
ReRamSBPreset = partial(single, devices.ReRamSBPresetDevice)
ReRamArrayOMPreset = partial(single, devices.ReRamArrayOMPresetDevice)
ReRamArrayHfO2Preset = partial(single, devices.ReRamArrayHfO2PresetDevice)
CapacitorPreset = partial(single, devices.CapacitorPresetDevice)
EcRamPreset = partial(single, devices.EcRamPresetDevice)
EcRamMOPreset = partial(single, devices.EcRamMOPresetDevice)
IdealizedPreset = partial(single, devices.IdealizedPresetDevice)
GokmenVlasovPreset = partial(single, devices.GokmenVlasovPresetDevice)
PCMPreset = partial(of_cell, cells.PCMPresetUnitCell)

# several devices a crosspoint, one drawn for every update
ReRamES2Preset = partial(of_devices, two, devices.ReRamESPresetDevice)
ReRamSB2Preset = partial(of_devices, two, devices.ReRamSBPresetDevice)
Capacitor2Preset = partial(of_devices, two, devices.CapacitorPresetDevice)
EcRam2Preset = partial(of_devices, two, devices.EcRamPresetDevice)
EcRamMO2Preset = partial(of_devices, two, devices.EcRamMOPresetDevice)
Idealized2Preset = partial(of_devices, two, devices.IdealizedPresetDevice)
ReRamES4Preset = partial(of_devices, four, devices.ReRamESPresetDevice)
ReRamSB4Preset = partial(of_devices, four, devices.ReRamSBPresetDevice)
Capacitor4Preset = partial(of_devices, four, devices.CapacitorPresetDevice)
EcRam4Preset = partial(of_devices, four, devices.EcRamPresetDevice)
EcRamMO4Preset = partial(of_devices, four, devices.EcRamMOPresetDevice)
Idealized4Preset = partial(of_devices, four, devices.IdealizedPresetDevice)

# Tiki-Taka v1
TikiTakaReRamESPreset = partial(of_devices, cells.tiki_taka, devices.ReRamESPresetDevice)
TikiTakaReRamSBPreset = partial(of_devices, cells.tiki_taka, devices.ReRamSBPresetDevice)
TikiTakaCapacitorPreset = partial(of_devices, cells.tiki_taka, devices.CapacitorPresetDevice)
TikiTakaEcRamPreset = partial(of_devices, cells.tiki_taka, devices.EcRamPresetDevice)
TikiTakaEcRamMOPreset = partial(of_devices, cells.tiki_taka, devices.EcRamMOPresetDevice)
TikiTakaIdealizedPreset = partial(of_devices, cells.tiki_taka, devices.IdealizedPresetDevice)

# TTv2
TTv2ReRamESPreset = partial(of_devices, cells.tiki_taka_v2, devices.ReRamESPresetDevice)
TTv2ReRamSBPreset = partial(of_devices, cells.tiki_taka_v2, devices.ReRamSBPresetDevice)
TTv2CapacitorPreset = partial(of_devices, cells.tiki_taka_v2, devices.CapacitorPresetDevice)
TTv2EcRamPreset = partial(of_devices, cells.tiki_taka_v2, devices.EcRamPresetDevice)
TTv2EcRamMOPreset = partial(of_devices, cells.tiki_taka_v2, devices.EcRamMOPresetDevice)
TTv2IdealizedPreset = partial(of_devices, cells.tiki_taka_v2, devices.IdealizedPresetDevice)

# c-TTv2
ChoppedTTv2ReRamESPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.ReRamESPresetDevice)
ChoppedTTv2ReRamSBPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.ReRamSBPresetDevice)
ChoppedTTv2CapacitorPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.CapacitorPresetDevice)
ChoppedTTv2EcRamPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.EcRamPresetDevice)
ChoppedTTv2EcRamMOPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.EcRamMOPresetDevice)
ChoppedTTv2IdealizedPreset = partial(of_devices, cells.chopped_tiki_taka_v2, devices.IdealizedPresetDevice)

# AGAD
AGADReRamESPreset = partial(of_devices, cells.agad, devices.ReRamESPresetDevice)
AGADReRamSBPreset = partial(of_devices, cells.agad, devices.ReRamSBPresetDevice)
AGADCapacitorPreset = partial(of_devices, cells.agad, devices.CapacitorPresetDevice)
AGADEcRamPreset = partial(of_devices, cells.agad, devices.EcRamPresetDevice)
AGADEcRamMOPreset = partial(of_devices, cells.agad, devices.EcRamMOPresetDevice)
AGADIdealizedPreset = partial(of_devices, cells.agad, devices.IdealizedPresetDevice)

# sums in digital memory, written to the devices
MixedPrecisionReRamESPreset = partial(of_devices, cells.mixed_precision, devices.ReRamESPresetDevice)
MixedPrecisionReRamSBPreset = partial(of_devices, cells.mixed_precision, devices.ReRamSBPresetDevice)
MixedPrecisionCapacitorPreset = partial(of_devices, cells.mixed_precision, devices.CapacitorPresetDevice)
MixedPrecisionEcRamPreset = partial(of_devices, cells.mixed_precision, devices.EcRamPresetDevice)
MixedPrecisionEcRamMOPreset = partial(of_devices, cells.mixed_precision, devices.EcRamMOPresetDevice)
MixedPrecisionIdealizedPreset = partial(of_devices, cells.mixed_precision, devices.IdealizedPresetDevice)
MixedPrecisionGokmenVlasovPreset = partial(
    of_devices, cells.mixed_precision, devices.GokmenVlasovPresetDevice
)
MixedPrecisionPCMPreset = partial(of_devices, cells.mixed_precision, cells.PCMPresetUnitCell)
