"""AnalogLinearMapped."""

from __future__ import annotations

from typing import Any

from ...missing import absent
from ...simulator.configs.configs import SingleRPUConfig
from .linear import AnalogLinear


class AnalogLinearMapped(AnalogLinear):
    """As ``AnalogLinear``, always with an array of tiles, if of one."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        tile_module_class: Any = None,
    ) -> None:
        config = SingleRPUConfig() if rpu_config is None else rpu_config
        super().__init__(
            in_features, out_features, bias, config, tile_module_class or config.tile_array_class
        )


__getattr__ = absent(__name__)
