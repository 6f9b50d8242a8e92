"""How weights are laid onto tiles."""

from __future__ import annotations

import dataclasses

from crossgrid.emulator.config import rpu
from crossgrid.kernels.config import config, field

from ...missing import absent
from .base import RPUConfigBase

FREE = ("weight_scaling_omega", "weight_scaling_columnwise", "weight_scaling_lr_compensation")


@config
class MappingParameter(rpu.MappingParameter):
    """How a layer's weights are laid onto tiles: each tile has scales of its own."""

    digital_bias: bool = True
    """Whether the bias is added in digital, or else held by a further column of the tile."""
    weight_scaling_lr_compensation: bool = field(False)
    """Whether the learning rate is divided by the mean scale, or else the gradient by the scales; the
    change of the weights is the same."""

    def compatible_with(self, mapping: MappingParameter) -> bool:
        """Whether a state saved with ``mapping`` fits: all but the rule that sets the scales is equal."""
        names = [spec.name for spec in dataclasses.fields(self) if spec.name not in FREE]
        return all(getattr(self, name) == getattr(mapping, name) for name in names)


MappableRPU = RPUConfigBase

__getattr__ = absent(__name__)
