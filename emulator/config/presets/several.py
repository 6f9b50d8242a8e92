"""Several devices at every crosspoint that are averaged; one of them is drawn for every update."""

from __future__ import annotations

from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.devices.presets import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    IdealizedPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)

from ..cell_presets import several
from .base import CellPreset


@config
class ReRamES2Preset(CellPreset):
    """Two ReRamESPresetDevice a crosspoint, one drawn for every update (Gong et al., 2018)."""

    device: Config = field(factory=lambda: several(ReRamESPresetDevice(), 2))


@config
class ReRamSB2Preset(CellPreset):
    """Two ReRamSBPresetDevice a crosspoint, one drawn for every update (Gong et al., 2018)."""

    device: Config = field(factory=lambda: several(ReRamSBPresetDevice(), 2))


@config
class Capacitor2Preset(CellPreset):
    """Two CapacitorPresetDevice a crosspoint, one drawn for every update (Li et al., 2018)."""

    device: Config = field(factory=lambda: several(CapacitorPresetDevice(), 2))


@config
class EcRam2Preset(CellPreset):
    """Two EcRamPresetDevice a crosspoint, one drawn for every update (Tang et al., 2018)."""

    device: Config = field(factory=lambda: several(EcRamPresetDevice(), 2))


@config
class EcRamMO2Preset(CellPreset):
    """Two EcRamMOPresetDevice a crosspoint, one drawn for every update (Kim et al., 2019)."""

    device: Config = field(factory=lambda: several(EcRamMOPresetDevice(), 2))


@config
class Idealized2Preset(CellPreset):
    """Two IdealizedPresetDevice a crosspoint, one drawn for every update (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: several(IdealizedPresetDevice(), 2))


@config
class ReRamES4Preset(CellPreset):
    """Four ReRamESPresetDevice a crosspoint, one drawn for every update (Gong et al., 2018)."""

    device: Config = field(factory=lambda: several(ReRamESPresetDevice(), 4))


@config
class ReRamSB4Preset(CellPreset):
    """Four ReRamSBPresetDevice a crosspoint, one drawn for every update (Gong et al., 2018)."""

    device: Config = field(factory=lambda: several(ReRamSBPresetDevice(), 4))


@config
class Capacitor4Preset(CellPreset):
    """Four CapacitorPresetDevice a crosspoint, one drawn for every update (Li et al., 2018)."""

    device: Config = field(factory=lambda: several(CapacitorPresetDevice(), 4))


@config
class EcRam4Preset(CellPreset):
    """Four EcRamPresetDevice a crosspoint, one drawn for every update (Tang et al., 2018)."""

    device: Config = field(factory=lambda: several(EcRamPresetDevice(), 4))


@config
class EcRamMO4Preset(CellPreset):
    """Four EcRamMOPresetDevice a crosspoint, one drawn for every update (Kim et al., 2019)."""

    device: Config = field(factory=lambda: several(EcRamMOPresetDevice(), 4))


@config
class Idealized4Preset(CellPreset):
    """Four IdealizedPresetDevice a crosspoint, one drawn for every update (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: several(IdealizedPresetDevice(), 4))
