"""One step of a recurrent layer: the next state from what its two matrices read, as torch defines it."""

from __future__ import annotations

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

#: the tensors [B, hidden] that a layer carries from step to step, its output first
State = tuple[Tensor, ...]


def require_nonlinearity(name: str, nonlinearity: str) -> None:
    """An error where a plain recurrent layer called ``name`` cannot squash its sums so."""
    if nonlinearity not in ("tanh", "relu"):
        raise ConfigError(f"{name}: nonlinearity = {nonlinearity!r} must be 'tanh' or 'relu'")


def rnn_step(from_input: Tensor, from_state: Tensor, nonlinearity: str) -> State:
    """h' = tanh(x + h), or relu, of what both matrices read, [B, hidden] each."""
    total = from_input + from_state
    return (torch.tanh(total) if nonlinearity == "tanh" else torch.relu(total),)


def lstm_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Gates i, f, g, o [B, 4 hidden]: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), s the sigmoid."""
    i, f, g, o = (from_input + from_state).chunk(4, dim=-1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Gates r, z, n [B, 3 hidden]: n = tanh(x_n + s(r) h_n), h' = (1 - s(z)) n + s(z) h."""
    x_r, x_z, x_n = from_input.chunk(3, dim=-1)
    h_r, h_z, h_n = from_state.chunk(3, dim=-1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * state[0],)
