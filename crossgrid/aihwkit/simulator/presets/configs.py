"""Configurations of published technologies: this project's, with aihwkit's further fields."""

from __future__ import annotations

from typing import Any

from crossgrid.emulator.config.presets import (
    agad,
    chopped_ttv2,
    mixed_precision,
    several,
    single,
    tiki_taka,
    ttv2,
)

from ...missing import absent
from ..configs.configs import DigitalRankUpdateRPUConfig, SingleRPUConfig, UnitCellRPUConfig
from .make import preset

AGADCapacitorPreset: Any = preset(agad.AGADCapacitorPreset, UnitCellRPUConfig)
AGADEcRamMOPreset: Any = preset(agad.AGADEcRamMOPreset, UnitCellRPUConfig)
AGADEcRamPreset: Any = preset(agad.AGADEcRamPreset, UnitCellRPUConfig)
AGADIdealizedPreset: Any = preset(agad.AGADIdealizedPreset, UnitCellRPUConfig)
AGADReRamESPreset: Any = preset(agad.AGADReRamESPreset, UnitCellRPUConfig)
AGADReRamSBPreset: Any = preset(agad.AGADReRamSBPreset, UnitCellRPUConfig)
Capacitor2Preset: Any = preset(several.Capacitor2Preset, UnitCellRPUConfig)
Capacitor4Preset: Any = preset(several.Capacitor4Preset, UnitCellRPUConfig)
CapacitorPreset: Any = preset(single.CapacitorPreset, SingleRPUConfig)
ChoppedTTv2CapacitorPreset: Any = preset(chopped_ttv2.ChoppedTTv2CapacitorPreset, UnitCellRPUConfig)
ChoppedTTv2EcRamMOPreset: Any = preset(chopped_ttv2.ChoppedTTv2EcRamMOPreset, UnitCellRPUConfig)
ChoppedTTv2EcRamPreset: Any = preset(chopped_ttv2.ChoppedTTv2EcRamPreset, UnitCellRPUConfig)
ChoppedTTv2IdealizedPreset: Any = preset(chopped_ttv2.ChoppedTTv2IdealizedPreset, UnitCellRPUConfig)
ChoppedTTv2ReRamESPreset: Any = preset(chopped_ttv2.ChoppedTTv2ReRamESPreset, UnitCellRPUConfig)
ChoppedTTv2ReRamSBPreset: Any = preset(chopped_ttv2.ChoppedTTv2ReRamSBPreset, UnitCellRPUConfig)
EcRam2Preset: Any = preset(several.EcRam2Preset, UnitCellRPUConfig)
EcRam4Preset: Any = preset(several.EcRam4Preset, UnitCellRPUConfig)
EcRamMO2Preset: Any = preset(several.EcRamMO2Preset, UnitCellRPUConfig)
EcRamMO4Preset: Any = preset(several.EcRamMO4Preset, UnitCellRPUConfig)
EcRamMOPreset: Any = preset(single.EcRamMOPreset, SingleRPUConfig)
EcRamPreset: Any = preset(single.EcRamPreset, SingleRPUConfig)
GokmenVlasovPreset: Any = preset(single.GokmenVlasovPreset, SingleRPUConfig)
Idealized2Preset: Any = preset(several.Idealized2Preset, UnitCellRPUConfig)
Idealized4Preset: Any = preset(several.Idealized4Preset, UnitCellRPUConfig)
IdealizedPreset: Any = preset(single.IdealizedPreset, SingleRPUConfig)
MixedPrecisionCapacitorPreset: Any = preset(
    mixed_precision.MixedPrecisionCapacitorPreset, DigitalRankUpdateRPUConfig
)
MixedPrecisionEcRamMOPreset: Any = preset(
    mixed_precision.MixedPrecisionEcRamMOPreset, DigitalRankUpdateRPUConfig
)
MixedPrecisionEcRamPreset: Any = preset(mixed_precision.MixedPrecisionEcRamPreset, DigitalRankUpdateRPUConfig)
MixedPrecisionGokmenVlasovPreset: Any = preset(
    mixed_precision.MixedPrecisionGokmenVlasovPreset, DigitalRankUpdateRPUConfig
)
MixedPrecisionIdealizedPreset: Any = preset(
    mixed_precision.MixedPrecisionIdealizedPreset, DigitalRankUpdateRPUConfig
)
MixedPrecisionPCMPreset: Any = preset(mixed_precision.MixedPrecisionPCMPreset, DigitalRankUpdateRPUConfig)
MixedPrecisionReRamESPreset: Any = preset(
    mixed_precision.MixedPrecisionReRamESPreset, DigitalRankUpdateRPUConfig
)
MixedPrecisionReRamSBPreset: Any = preset(
    mixed_precision.MixedPrecisionReRamSBPreset, DigitalRankUpdateRPUConfig
)
PCMPreset: Any = preset(single.PCMPreset, UnitCellRPUConfig)
ReRamArrayHfO2Preset: Any = preset(single.ReRamArrayHfO2Preset, SingleRPUConfig)
ReRamArrayOMPreset: Any = preset(single.ReRamArrayOMPreset, SingleRPUConfig)
ReRamES2Preset: Any = preset(several.ReRamES2Preset, UnitCellRPUConfig)
ReRamES4Preset: Any = preset(several.ReRamES4Preset, UnitCellRPUConfig)
ReRamESPreset: Any = preset(single.ReRamESPreset, SingleRPUConfig)
ReRamSB2Preset: Any = preset(several.ReRamSB2Preset, UnitCellRPUConfig)
ReRamSB4Preset: Any = preset(several.ReRamSB4Preset, UnitCellRPUConfig)
ReRamSBPreset: Any = preset(single.ReRamSBPreset, SingleRPUConfig)
TTv2CapacitorPreset: Any = preset(ttv2.TTv2CapacitorPreset, UnitCellRPUConfig)
TTv2EcRamMOPreset: Any = preset(ttv2.TTv2EcRamMOPreset, UnitCellRPUConfig)
TTv2EcRamPreset: Any = preset(ttv2.TTv2EcRamPreset, UnitCellRPUConfig)
TTv2IdealizedPreset: Any = preset(ttv2.TTv2IdealizedPreset, UnitCellRPUConfig)
TTv2ReRamESPreset: Any = preset(ttv2.TTv2ReRamESPreset, UnitCellRPUConfig)
TTv2ReRamSBPreset: Any = preset(ttv2.TTv2ReRamSBPreset, UnitCellRPUConfig)
TikiTakaCapacitorPreset: Any = preset(tiki_taka.TikiTakaCapacitorPreset, UnitCellRPUConfig)
TikiTakaEcRamMOPreset: Any = preset(tiki_taka.TikiTakaEcRamMOPreset, UnitCellRPUConfig)
TikiTakaEcRamPreset: Any = preset(tiki_taka.TikiTakaEcRamPreset, UnitCellRPUConfig)
TikiTakaIdealizedPreset: Any = preset(tiki_taka.TikiTakaIdealizedPreset, UnitCellRPUConfig)
TikiTakaReRamESPreset: Any = preset(tiki_taka.TikiTakaReRamESPreset, UnitCellRPUConfig)
TikiTakaReRamSBPreset: Any = preset(tiki_taka.TikiTakaReRamSBPreset, UnitCellRPUConfig)

__getattr__ = absent(__name__)
