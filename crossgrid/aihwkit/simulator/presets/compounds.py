"""Cells with published values."""

from crossgrid.emulator.config.cell_presets import PCMPresetUnitCell as PCMPresetUnitCell

from ...missing import absent

__getattr__ = absent(__name__)
