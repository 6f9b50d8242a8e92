"""Sums in digital memory that are written to devices in whole steps: Nandakumar et al., "Mixed-precision deep
learning based on computational memory", Frontiers in Neuroscience 14, 406 (2020).
"""

from __future__ import annotations

from crossgrid.kernels.config import Config, config, field
from crossgrid.kernels.devices.presets import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)

from ..cell_presets import PCMPresetUnitCell, mixed_precision
from .base import CellPreset


@config
class MixedPrecisionReRamESPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one ReRamESPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: mixed_precision(ReRamESPresetDevice()))


@config
class MixedPrecisionReRamSBPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one ReRamSBPresetDevice (Gong et al., 2018)."""

    device: Config = field(factory=lambda: mixed_precision(ReRamSBPresetDevice()))


@config
class MixedPrecisionCapacitorPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one CapacitorPresetDevice (Li et al., 2018)."""

    device: Config = field(factory=lambda: mixed_precision(CapacitorPresetDevice()))


@config
class MixedPrecisionEcRamPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one EcRamPresetDevice (Tang et al., 2018)."""

    device: Config = field(factory=lambda: mixed_precision(EcRamPresetDevice()))


@config
class MixedPrecisionEcRamMOPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one EcRamMOPresetDevice (Kim et al., 2019)."""

    device: Config = field(factory=lambda: mixed_precision(EcRamMOPresetDevice()))


@config
class MixedPrecisionIdealizedPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one IdealizedPresetDevice (Rasch et al., 2019)."""

    device: Config = field(factory=lambda: mixed_precision(IdealizedPresetDevice()))


@config
class MixedPrecisionGokmenVlasovPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one GokmenVlasovPresetDevice (Gokmen and Vlasov, 2016)."""

    device: Config = field(factory=lambda: mixed_precision(GokmenVlasovPresetDevice()))


@config
class MixedPrecisionPCMPreset(CellPreset):
    """Mixed precision (Nandakumar et al., 2020) on one PCMPresetUnitCell, a pair of devices (same source)."""

    device: Config = field(factory=lambda: mixed_precision(PCMPresetUnitCell()))
