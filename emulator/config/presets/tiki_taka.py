"""Tiki-Taka v1: Gokmen and Haensch, "Algorithm for training neural networks on resistive device arrays",
Frontiers in Neuroscience 14 (2020).
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

from ..cell_presets import tiki_taka
from .base import CellPreset


@config
class TikiTakaReRamESPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka(ReRamESPresetDevice()))


@config
class TikiTakaReRamSBPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka(ReRamSBPresetDevice(subtract_symmetry_point=True)))


@config
class TikiTakaCapacitorPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka(CapacitorPresetDevice()))


@config
class TikiTakaEcRamPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka(EcRamPresetDevice()))


@config
class TikiTakaEcRamMOPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka(EcRamMOPresetDevice()))


@config
class TikiTakaIdealizedPreset(CellPreset):
    """Tiki-Taka (Gokmen and Haensch, 2020) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka(IdealizedPresetDevice()))
