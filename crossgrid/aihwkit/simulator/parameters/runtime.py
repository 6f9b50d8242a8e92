"""How tiles are run: accepted for the sake of scripts."""

from __future__ import annotations

from crossgrid.kernels.config import Config, config, field

from ...missing import absent
from .enums import RPUDataType


@config
class RuntimeParameter(Config):
    """Settings of aihwkit's memory and types; only the type acts here, on what layers return."""

    data_type: RPUDataType = field(RPUDataType.FLOAT)
    """Floating type of a tile's parameters; its arithmetic is in float32."""
    on_the_fly_bindings: bool = False
    """Whether parameters are read anew at each step; here configurations are fixed when a tile is made."""
    offload_input: bool = False
    """Whether inputs wait in the host's memory for the update; they always do."""
    offload_gradient: bool = False
    """Whether gradients wait in the host's memory for the update; they always do."""


__getattr__ = absent(__name__)
