"""c-TTv2: Rasch, Carta, Fagbohungbe, Gokmen, "Fast and robust analog in-memory deep neural network training",
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
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

from ..cell_presets import chopped_tiki_taka_v2, long_trains
from .base import CellPreset


@config
class ChoppedTTv2ReRamESPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: chopped_tiki_taka_v2(ReRamESPresetDevice(), fast_lr=0.5))


@config
class ChoppedTTv2ReRamSBPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(
        factory=lambda: chopped_tiki_taka_v2(ReRamSBPresetDevice(subtract_symmetry_point=True), fast_lr=0.5)
    )


@config
class ChoppedTTv2CapacitorPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: chopped_tiki_taka_v2(CapacitorPresetDevice()))


@config
class ChoppedTTv2EcRamPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(
        factory=lambda: chopped_tiki_taka_v2(EcRamPresetDevice(), auto_granularity=500.0, fast_lr=1.0)
    )
    update: UpdateParameters = field(factory=long_trains)


@config
class ChoppedTTv2EcRamMOPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: chopped_tiki_taka_v2(EcRamMOPresetDevice(), 0.001, 500.0))
    update: UpdateParameters = field(factory=long_trains)


@config
class ChoppedTTv2IdealizedPreset(CellPreset):
    """c-TTv2 (Rasch et al., 2024) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: chopped_tiki_taka_v2(IdealizedPresetDevice(), 0.001, 500.0))
    update: UpdateParameters = field(factory=long_trains)
