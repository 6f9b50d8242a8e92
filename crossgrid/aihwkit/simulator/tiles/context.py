"""What aihwkit's optimizers see of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from crossgrid.emulator.analog_matrix.hardware_aware import HardwareAwareTiles

if TYPE_CHECKING:
    from .module import TileModule


@dataclass(frozen=True)
class TileContext:
    """The weight parameter of ``analog_tile`` by aihwkit's names."""

    analog_tile: TileModule

    @property
    def parameter(self) -> Tensor:
        """The parameter itself, as optimizers hold it."""
        return self.analog_tile.weight

    @property
    def use_torch_update(self) -> bool:
        """Whether any torch optimizer trains the weight, or else pulses do."""
        return isinstance(self.analog_tile.analog_tile, HardwareAwareTiles)

    @property
    def data(self) -> Tensor:
        """The weight's present numbers."""
        return self.analog_tile.get_weights()[0].to(self.device)

    def has_gradient(self) -> bool:
        """Whether a backward pass went by since the last step."""
        return self.parameter.grad is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parameter, name)
