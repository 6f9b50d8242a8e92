"""TTv2: Gokmen, "Enabling training of neural networks on noisy hardware", Frontiers in Artificial
Intelligence 4 (2021).
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

from ..cell_presets import tiki_taka_v2
from .base import CellPreset


@config
class TTv2ReRamESPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(ReRamESPresetDevice()))


@config
class TTv2ReRamSBPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(ReRamSBPresetDevice()))


@config
class TTv2CapacitorPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(CapacitorPresetDevice()))


@config
class TTv2EcRamPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(EcRamPresetDevice()))


@config
class TTv2EcRamMOPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka_v2(EcRamMOPresetDevice()))


@config
class TTv2IdealizedPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka_v2(IdealizedPresetDevice()))
