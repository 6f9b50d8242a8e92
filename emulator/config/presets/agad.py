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
from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

from ..cell_presets import agad, long_trains
from .base import CellPreset


@config
class AGADReRamESPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: agad(ReRamESPresetDevice(), 0.02, fast_lr=0.5))


@config
class AGADReRamSBPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(
        factory=lambda: agad(ReRamSBPresetDevice(subtract_symmetry_point=True), 0.02, fast_lr=0.5)
    )


@config
class AGADCapacitorPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: agad(CapacitorPresetDevice(), 0.01, tail_weightening=20.0))


@config
class AGADEcRamPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: agad(EcRamPresetDevice(), 0.005, 750.0, tail_weightening=50.0))


@config
class AGADEcRamMOPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: agad(EcRamMOPresetDevice(), 0.005, 500.0, tail_weightening=50.0))
    update: UpdateParameters = field(factory=long_trains)


@config
class AGADIdealizedPreset(CellPreset):
    """AGAD (Rasch et al., 2024) on two IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: agad(IdealizedPresetDevice(), 0.005, 500.0, tail_weightening=50.0))
    update: UpdateParameters = field(factory=long_trains)
