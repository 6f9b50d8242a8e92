"""One step of a recurrent layer: its matrices are linear layers, analog where there is a configuration."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ....missing import absent
from ....simulator.configs.configs import InferenceRPUConfig
from ..linear import AnalogLinear


class LSTMState(NamedTuple):
    """The state [B, hidden] of an LSTM: its output and its cell."""

    hx: Tensor
    cx: Tensor


class RecurrentCell(nn.Module):
    """A cell with ``gates`` gates of an input and of a state."""

    gates: int

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, rpu_config: Any = None,
        tile_module_class: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self._add_matrices(bias, rpu_config, tile_module_class)

    def _add_matrices(self, bias: bool, rpu_config: Any, tile_module_class: Any) -> None:
        size, more = self.gates * self.hidden_size, (bias, rpu_config, tile_module_class)
        self.weight_ih = linear(self.input_size, size, *more)
        self.weight_hh = linear(self.hidden_size, size, *more)

    def get_zero_state(self, batch_size: int) -> Any:
        """The state before the first input."""
        like = next(self.parameters())
        return torch.zeros(batch_size, self.hidden_size, device=like.device, dtype=like.dtype)


def linear(in_size: int, out_size: int, bias: bool, rpu_config: Any, tile_module_class: Any) -> nn.Module:
    """A linear layer: torch's where there is no configuration."""
    if rpu_config is None:
        return nn.Linear(in_size, out_size, bias)
    return AnalogLinear(in_size, out_size, bias, rpu_config, tile_module_class)


class AnalogVanillaRNNCell(RecurrentCell):
    """h' = tanh(W_ih x + W_hh h)."""

    gates = 1

    def forward(self, input_: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the state, which is the same."""
        h = torch.tanh(self.weight_ih(input_) + self.weight_hh(state))
        return h, h


def _lstm(gates: Tensor, c: Tensor) -> tuple[Tensor, LSTMState]:
    """The output and the state after the four gates in torch's order: input, forget, cell, output."""
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, LSTMState(h, c)


class AnalogLSTMCell(RecurrentCell):
    """An LSTM with a matrix of the input and one of the state."""

    gates = 4

    def get_zero_state(self, batch_size: int) -> LSTMState:
        zeros = super().get_zero_state(batch_size)
        return LSTMState(zeros, zeros.clone())

    def forward(self, input_: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, LSTMState]:
        """The output and the state."""
        return _lstm(self.weight_ih(input_) + self.weight_hh(state[0]), state[1])


class AnalogLSTMCellCombinedWeight(AnalogLSTMCell):
    """An LSTM with one matrix of input and state."""

    def _add_matrices(self, bias: bool, rpu_config: Any, tile_module_class: Any) -> None:
        width = self.input_size + self.hidden_size
        self.weight = linear(width, 4 * self.hidden_size, bias, rpu_config, tile_module_class)

    def forward(self, input_: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, LSTMState]:
        """The output and the state."""
        return _lstm(self.weight(torch.cat((input_, state[0]), 1)), state[1])


class AnalogGRUCell(RecurrentCell):
    """A GRU; without a configuration its matrices are on tiles for inference."""

    gates = 3

    def _add_matrices(self, bias: bool, rpu_config: Any, tile_module_class: Any) -> None:
        super()._add_matrices(bias, rpu_config or InferenceRPUConfig(), tile_module_class)

    def forward(self, input_: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the state, which is the same."""
        r_x, z_x, n_x = self.weight_ih(input_).chunk(3, 1)
        r_h, z_h, n_h = self.weight_hh(state).chunk(3, 1)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        h = n + z * (state - n)
        return h, h


__getattr__ = absent(__name__)
