"""AGAD: Rasch, Carta, Fagbohungbe, Gokmen, "Fast and robust analog in-memory deep neural network training",
Nature Communications 15 (2024).
"""

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

from ..cell_presets import agad
from .base import CellPreset


@config
class AGADReRamESPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: agad(ReRamESPresetDevice()))


@config
class AGADReRamSBPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: agad(ReRamSBPresetDevice()))


@config
class AGADCapacitorPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: agad(CapacitorPresetDevice()))


@config
class AGADEcRamPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: agad(EcRamPresetDevice()))


@config
class AGADEcRamMOPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: agad(EcRamMOPresetDevice()))


@config
class AGADIdealizedPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: agad(IdealizedPresetDevice()))
