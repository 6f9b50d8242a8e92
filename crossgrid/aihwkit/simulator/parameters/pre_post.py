"""Digital processing before and after a tile."""

from __future__ import annotations

from typing import Any

from crossgrid.emulator.config import rpu
from crossgrid.kernels.analog_mvm.parameters import BoundManagementType, NoiseManagementType
from crossgrid.kernels.config import config, field

from ...missing import absent
from .base import RPUConfigBase


@config
class InputRangeParameter(rpu.InputRangeParameter):
    """The range that a tile's inputs are clipped to before the DAC; each tile has its own."""

    init_from_data: bool | int = field(100, at_least=0)
    """Number of training batches that calibrate the range; False, 0: it stays at ``init_value``."""
    learn_input_range: bool = field(True)
    """Whether the range is trained, or else set by calibration."""
    calibration_info: str | None = field(None)
    """What a calibration noted."""

    def validate(self) -> None:
        rpu.InputRangeParameter.validate(self)
        object.__setattr__(self, "init_from_data", int(self.init_from_data))

    def supports_manage_output_clipping(self, rpu_config: Any) -> bool:
        """Whether outputs of ``rpu_config`` clip as they are: a real periphery without management."""
        io = getattr(rpu_config, "forward", None)
        if io is None or io.is_perfect:
            return False
        unmanaged = NoiseManagementType.NONE, BoundManagementType.NONE
        return (io.noise_management, io.bound_management) == unmanaged


@config
class PrePostProcessingParameter(rpu.PrePostProcessingParameter):
    """Digital processing before and after a tile."""

    input_range: InputRangeParameter = field(factory=InputRangeParameter)
    """The range that inputs are clipped to before the DAC."""


PrePostProcessingRPU = RPUConfigBase

__getattr__ = absent(__name__)
