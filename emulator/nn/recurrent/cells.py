"""AnalogRNNCell, AnalogLSTMCell and AnalogGRUCell: one step of a recurrent layer, its matrices on tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, InputError

from ...analog_matrix.mini_batch import mini_batch
from ...config.rpu import RPUConfig
from ..base import AnalogLayer
from ..deferral import is_deferring
from ..inputs import eager, require_input
from ..keys import key_of, new_key
from ..matrix import AnalogMatrix
from .steps import State, gru_step, lstm_step, require_nonlinearity, rnn_step


class AnalogRecurrentCell(AnalogLayer):
    """``weight_ih`` [gates x hidden, in] reads the input, ``weight_hh`` [gates x hidden, hidden] the state.

    Args:
        input_size, hidden_size: features of the input and of the state.
        bias: add biases, two as torch has them: digital, or columns of the tiles (``mapping.digital_bias``).
        rpu_config: as for ``AnalogLinear``.
        seed: the keys of both matrices are drawn from it; they follow from torch's generator if not given.

    Raises:
        ConfigError: a size below one, or something else than an RPU configuration.
    """

    states: ClassVar[int] = 1
    digital: ClassVar[type[nn.RNNCellBase]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for what, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ConfigError(f"{name}: {what} = {size} must be at least 1")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        keys = torch.Generator().manual_seed(new_key(name) if seed is None else seed)
        with torch.device("meta") if is_deferring() else contextlib.nullcontext():
            start = self._twin(bias)
        for weight, matrix in self.matrices().items():
            key = int(torch.randint(2**63 - 1, (), generator=keys).item())
            initial = getattr(start, weight)
            spec = self._spec(key, initial.shape[0], initial.shape[1], rpu_config, bias)
            self._add_matrix(matrix, spec, initial.shape[0] if bias else None)
            if not is_deferring():
                matrix.set_weights(initial, getattr(start, matrix.bias_name))
        # in torch's order, and as None where there are no biases
        self._parameters = {name: self._parameters.get(name) for name in start._parameters}

    def matrices(self) -> dict[str, AnalogMatrix]:
        return {
            f"weight_{kind}": AnalogMatrix(self, f"weight_{kind}", f"bias_{kind}", f"analog_{kind}")
            for kind in ("ih", "hh")
        }

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        """The next state, its output first, from what the two matrices read, [B, gates x hidden] each."""
        raise NotImplementedError

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(self, input: Tensor, hx: Tensor | State | None = ...) -> Tensor | State: ...

    @eager
    def forward(self, input: Tensor, hx: Tensor | State | None = None) -> Tensor | State:
        """The state [B, hidden] (an LSTM's: a pair) after the input [B, in]; both without B for one."""
        x, name = input, type(self).__name__
        require_input(name, x)
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; {self.input_size} features, with or without a "
                "batch, are needed"
            )
        x_BI = x if x.dim() == 2 else x.unsqueeze(0)
        state = self._state(x_BI, hx, x.dim() == 2)
        of_input, of_state = self.matrices().values()
        with mini_batch():
            state = self.step(of_input(x_BI), of_state(state[0]), state)
        state = state if x.dim() == 2 else tuple(part.squeeze(0) for part in state)
        return state[0] if self.states == 1 else state

    def _state(self, x_BI: Tensor, hx: Tensor | State | None, batched: bool) -> State:
        """The state before the step, [B, hidden] each."""
        shape = x_BI.shape[0], self.hidden_size
        if hx is None:
            return (x_BI.new_zeros(shape),) * self.states
        parts = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        parts = parts if batched else tuple(part.unsqueeze(0) for part in parts)
        if [tuple(part.shape) for part in parts] != [shape] * self.states:
            raise InputError(
                f"{type(self).__name__}: a state of shapes {[tuple(part.shape) for part in parts]}; "
                f"{self.states} of {shape} are needed"
            )
        return parts

    @classmethod
    def from_digital(cls, module: nn.RNNCellBase, rpu_config: RPUConfig, name: str) -> AnalogRecurrentCell:
        """The analog twin of a torch cell, with its weights."""
        assert isinstance(module, cls.digital)
        layer = cls._like(module, rpu_config, key_of(module, name))
        layer._take_over(module, name)
        return layer

    @classmethod
    def _like(cls, module: nn.RNNCellBase, rpu_config: RPUConfig, seed: int) -> AnalogRecurrentCell:
        return cls(module.input_size, module.hidden_size, module.bias, rpu_config, seed)

    def _twin(self, bias: bool) -> nn.RNNCellBase:
        make: Callable[..., nn.RNNCellBase] = self.digital
        return make(self.input_size, self.hidden_size, bias)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"


class AnalogRNNCell(AnalogRecurrentCell):
    """h' = tanh(W_ih x + W_hh h + b), or relu; arguments in torch's order, see ``AnalogRecurrentCell``."""

    digital = nn.RNNCell
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        require_nonlinearity(type(self).__name__, nonlinearity)
        object.__setattr__(self, "nonlinearity", nonlinearity)  # the start of the weights asks for it
        super().__init__(input_size, hidden_size, bias, rpu_config, seed)

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return rnn_step(from_input, from_state, self.nonlinearity)

    @classmethod
    def _like(cls, module: nn.RNNCellBase, rpu_config: RPUConfig, seed: int) -> AnalogRNNCell:
        assert isinstance(module, nn.RNNCell)
        return cls(module.input_size, module.hidden_size, module.bias, module.nonlinearity, rpu_config, seed)

    def _twin(self, bias: bool) -> nn.RNNCellBase:
        return nn.RNNCell(self.input_size, self.hidden_size, bias, self.nonlinearity)


class AnalogLSTMCell(AnalogRecurrentCell):
    """Gates i, f, g, o of W_ih x + W_hh h + b, see ``lstm_step``. Its state is a pair (h, c), as torch's."""

    states = 2
    digital = nn.LSTMCell

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return lstm_step(from_input, from_state, state)


class AnalogGRUCell(AnalogRecurrentCell):
    """Gates r, z, n of what both matrices read, see ``gru_step``."""

    digital = nn.GRUCell

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return gru_step(from_input, from_state, state)
