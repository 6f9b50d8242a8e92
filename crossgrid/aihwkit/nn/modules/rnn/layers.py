"""A cell along a sequence [time, B, features]: forward, backward, or both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ....missing import absent


class AnalogRNNLayer(nn.Module):
    """A cell from the first input to the last."""

    backward_in_time = False

    def __init__(self, cell: Any, *cell_args: Any) -> None:
        super().__init__()
        self.cell = cell(*cell_args)

    def get_zero_state(self, batch_size: int) -> Any:
        """The state before the first input."""
        return self.cell.get_zero_state(batch_size)

    def forward(self, input_: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The outputs [time, B, hidden], and the last state."""
        steps = list(input_.unbind(0))
        outputs = []
        for x in reversed(steps) if self.backward_in_time else steps:
            y, state = self.cell(x, state)
            outputs.append(y)
        return torch.stack(outputs[::-1] if self.backward_in_time else outputs), state


class AnalogReverseRNNLayer(AnalogRNNLayer):
    """A cell from the last input to the first."""

    backward_in_time = True


class AnalogBidirRNNLayer(nn.Module):
    """Two cells, one in each direction, whose outputs stand side by side."""

    def __init__(self, cell: Any, *cell_args: Any) -> None:
        super().__init__()
        both = [AnalogRNNLayer(cell, *cell_args), AnalogReverseRNNLayer(cell, *cell_args)]
        self.directions: Any = nn.ModuleList(both)

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """The states before the first input of each direction."""
        return [direction.get_zero_state(batch_size) for direction in self.directions]

    def forward(self, input_: Tensor, states: Any) -> tuple[Tensor, list[Any]]:
        """The outputs [time, B, 2 hidden], and the last state of each direction."""
        found = [direction(input_, state) for direction, state in zip(self.directions, states, strict=True)]
        return torch.cat([outputs for outputs, _ in found], -1), [state for _, state in found]


__getattr__ = absent(__name__)
