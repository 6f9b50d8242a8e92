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
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

from ..cell_presets import long_trains, tiki_taka_v2
from .base import CellPreset


@config
class TTv2ReRamESPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(ReRamESPresetDevice(), fast_lr=0.5))


@config
class TTv2ReRamSBPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(
        factory=lambda: tiki_taka_v2(ReRamSBPresetDevice(subtract_symmetry_point=True), fast_lr=0.5)
    )


@config
class TTv2CapacitorPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(CapacitorPresetDevice()))


@config
class TTv2EcRamPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: tiki_taka_v2(EcRamPresetDevice(), 500.0))
    update: UpdateParameters = field(factory=long_trains)


@config
class TTv2EcRamMOPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka_v2(EcRamMOPresetDevice(), 500.0))
    update: UpdateParameters = field(factory=long_trains)


@config
class TTv2IdealizedPreset(CellPreset):
    """TTv2 (Gokmen, 2021) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: tiki_taka_v2(IdealizedPresetDevice(), 500.0))
    update: UpdateParameters = field(factory=long_trains)
