"""A place of aihwkit that scripts import from, and of which nothing is here but the way out."""

from __future__ import annotations

from typing import Any

from ...exceptions import ConfigError
from ...missing import absent
from .module import TileModule


class TorchTransferTile(TileModule):
    """Tiki-Taka written in torch: cells do that here, so there is no such tile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ConfigError(
            "TorchTransferTile is not here: use UnitCellRPUConfig with a TransferCompound, "
            "ChoppedTransferCompound or DynamicTransferCompound"
        )


__getattr__ = absent(__name__)
