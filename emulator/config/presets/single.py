"""One device at every crosspoint, trained by pulses of stochastic gradient descent."""

from __future__ import annotations

from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.devices.presets import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    ReRamArrayHfO2PresetDevice,
    ReRamArrayOMPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)

from ..cell_presets import PCMPresetUnitCell
from .base import CellPreset, SinglePreset


@config
class ReRamESPreset(SinglePreset):
    """ReRAM with an exponential step: one ReRamESPresetDevice a crosspoint (Gong et al., 2018)."""

    device: Config = field(factory=ReRamESPresetDevice)


@config
class ReRamSBPreset(SinglePreset):
    """ReRAM with soft bounds: one ReRamSBPresetDevice a crosspoint (Gong et al., 2018)."""

    device: Config = field(factory=ReRamSBPresetDevice)


@config
class ReRamArrayOMPreset(SinglePreset):
    """A ReRAM array, optimised material: one ReRamArrayOMPresetDevice a crosspoint (Gong et al., 2022)."""

    device: Config = field(factory=ReRamArrayOMPresetDevice)


@config
class ReRamArrayHfO2Preset(SinglePreset):
    """A ReRAM array, HfO2: one ReRamArrayHfO2PresetDevice a crosspoint (Gong et al., 2022)."""

    device: Config = field(factory=ReRamArrayHfO2PresetDevice)


@config
class CapacitorPreset(SinglePreset):
    """Capacitors that leak: one CapacitorPresetDevice a crosspoint (Li et al., 2018)."""

    device: Config = field(factory=CapacitorPresetDevice)


@config
class EcRamPreset(SinglePreset):
    """Electrochemical RAM with lithium: one EcRamPresetDevice a crosspoint (Tang et al., 2018)."""

    device: Config = field(factory=EcRamPresetDevice)


@config
class EcRamMOPreset(SinglePreset):
    """Electrochemical RAM of a metal oxide: one EcRamMOPresetDevice a crosspoint (Kim et al., 2019)."""

    device: Config = field(factory=EcRamMOPresetDevice)


@config
class IdealizedPreset(SinglePreset):
    """Symmetric constant steps: one IdealizedPresetDevice a crosspoint (Rasch et al., 2019)."""

    device: Config = field(factory=IdealizedPresetDevice)


@config
class GokmenVlasovPreset(SinglePreset):
    """What training needs: one GokmenVlasovPresetDevice a crosspoint (Gokmen and Vlasov, 2016)."""

    device: Config = field(factory=GokmenVlasovPresetDevice)


@config
class PCMPreset(CellPreset):
    """Phase-change memory: one PCMPresetUnitCell, a pair, a crosspoint (Nandakumar et al., 2020)."""

    device: Config = field(factory=PCMPresetUnitCell)
