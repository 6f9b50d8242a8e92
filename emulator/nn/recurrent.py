"""AnalogRNN, AnalogLSTM and AnalogGRU: recurrent networks whose matrices sit on tiles.

Every layer and direction has two matrices, as in torch and in aihwkit: ``weight_ih`` [gates x hidden, in]
reads the input and ``weight_hh`` [gates x hidden, hidden] the state, the gates stacked in torch's order. Both
are analog linear layers of the model, each with its own devices, under torch's names (``weight_ih_l0``,
``weight_hh_l0_reverse``, ...). What depends on no earlier step is read together: ``weight_ih`` once for all
steps of a sequence, ``weight_hh`` once a step. All steps share the same devices; a training step pulses them
for every time step, in the order of the reads. Gates, sums and biases are digital.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, InputError

from ..config.rpu import RPUConfig
from .linear import AnalogLinear

#: the tensors [B, hidden] that a layer carries from step to step
State = tuple[Tensor, ...]


class AnalogRecurrent(nn.Module):
    """Layers and directions of one recurrent network; a subclass says what one step does.

    Args:
        input_size, hidden_size: features of a step's input and of the state.
        num_layers: layers in a row.
        bias: add digital biases, two a layer as torch has them.
        batch_first: inputs are [B, T, in] instead of [T, B, in].
        dropout: the share of a layer's outputs that is dropped before the next layer while training.
        bidirectional: a second set of matrices reads the sequence backwards; outputs are side by side.
        rpu_config: as for ``AnalogLinear``.
        seed: the keys of all matrices are drawn from it; from torch's generator if not given.

    Raises:
        ConfigError: a size below one, a dropout outside [0, 1], or something else than an RPU configuration.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    digital: ClassVar[type[nn.RNNBase]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for what, size in (
            ("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers),
        ):  # fmt: skip
            if size < 1:
                raise ConfigError(f"{name}: {what} = {size} must be at least 1")
        if not 0 <= dropout <= 1:
            raise ConfigError(f"{name}: dropout = {dropout} must be in [0, 1]")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = (
            bias,
            batch_first,
            dropout,
            bidirectional,
        )
        keys = None if seed is None else torch.Generator().manual_seed(seed)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self.directions)
            for direction in self.directions:
                for kind, columns in (("ih", width), ("hh", hidden_size)):
                    key = None if keys is None else int(torch.randint(2**63 - 1, (), generator=keys).item())
                    matrix = AnalogLinear(columns, self.gates * hidden_size, bias, rpu_config, key)
                    self._start(matrix)
                    self.add_module(f"weight_{kind}_l{layer}{direction}", matrix)

    @property
    def directions(self) -> tuple[str, ...]:
        """What torch appends to the matrices' names."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def matrix(self, kind: str, layer: int, direction: str = "") -> AnalogLinear:
        """The analog matrix ``kind`` ("ih" or "hh") of one layer and direction."""
        return cast(AnalogLinear, getattr(self, f"weight_{kind}_l{layer}{direction}"))

    if TYPE_CHECKING:  # torch types a module's call as Any

        def __call__(
            self, x: Tensor, state: Tensor | State | None = None
        ) -> tuple[Tensor, Tensor | State]: ...

    def forward(self, x: Tensor, state: Tensor | State | None = None) -> tuple[Tensor, Tensor | State]:
        """All outputs [T, B, directions x hidden] and the last states [layers x directions, B, hidden].

        Args:
            x: a sequence [T, B, in] ([B, T, in] with ``batch_first``), or [T, in] without a batch.
            state: the first states, shaped like the last ones; zero if not given.
        """
        batched = self._check(x)
        x_TBI = x.unsqueeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        first = self._first_state(x_TBI, state, batched)
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self.directions:
                start = tuple(part[len(last)] for part in first)
                y_TBH, end = self._scan(x_TBI, start, layer, direction)
                outputs.append(y_TBH)
                last.append(end)
            x_TBI = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
            if self.dropout and layer < self.num_layers - 1:
                x_TBI = nn.functional.dropout(x_TBI, self.dropout, self.training)
        states = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        if not batched:
            x_TBI, states = x_TBI.squeeze(1), tuple(part.squeeze(1) for part in states)
        elif self.batch_first:
            x_TBI = x_TBI.transpose(0, 1)
        return x_TBI, states[0] if self.states == 1 else states

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        """The next state, its output first, from what the two matrices read, [B, gates x hidden] each."""
        raise NotImplementedError

    def _scan(self, x_TBI: Tensor, state: State, layer: int, direction: str) -> tuple[Tensor, State]:
        """The outputs of one layer in one direction, step by step."""
        read_input, read_state = self.matrix("ih", layer, direction), self.matrix("hh", layer, direction)
        from_input = read_input(x_TBI)
        order = range(len(x_TBI)) if direction == "" else reversed(range(len(x_TBI)))
        outputs: list[Tensor] = []
        for t in order:
            state = self.step(from_input[t], read_state(state[0]), state)
            outputs.append(state[0])
        if direction:
            outputs.reverse()
        return torch.stack(outputs), state

    def _first_state(self, x_TBI: Tensor, state: Tensor | State | None, batched: bool) -> State:
        shape = (self.num_layers * len(self.directions), x_TBI.shape[1], self.hidden_size)
        if state is None:
            return (x_TBI.new_zeros(shape),) * self.states
        parts = (state,) if isinstance(state, Tensor) else tuple(state)
        parts = parts if batched else tuple(part.unsqueeze(1) for part in parts)
        if [tuple(part.shape) for part in parts] != [shape] * self.states:
            wanted = f"{self.states} of shape {shape}" if batched else f"{self.states} without a batch"
            raise InputError(
                f"{type(self).__name__}: first states of shapes {[tuple(part.shape) for part in parts]}; "
                f"{wanted} (layers x directions, batch, hidden) are needed"
            )
        return parts

    def _check(self, x: Tensor) -> bool:
        """Whether the input has a batch; an error if it is no sequence."""
        name = type(self).__name__
        if isinstance(x, nn.utils.rnn.PackedSequence):
            raise InputError(
                f"{name}: packed sequences are not read; pad them (torch.nn.utils.rnn.pad_packed_sequence) "
                "and mask the loss"
            )
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape:
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; a sequence of at least one step, "
                f"{self.input_size} features wide, with or without a batch, is needed"
            )
        return x.dim() == 3

    def _start(self, matrix: AnalogLinear) -> None:
        """Start as torch's recurrent layers do: uniform within 1 / sqrt(hidden)."""
        bound = self.hidden_size**-0.5
        weight = torch.empty(matrix.out_features, matrix.in_features).uniform_(-bound, bound)
        bias = None if matrix.bias is None else torch.empty(matrix.out_features).uniform_(-bound, bound)
        matrix.set_weights(weight, bias)

    @classmethod
    def from_digital(cls, module: nn.RNNBase, rpu_config: RPUConfig, name: str) -> AnalogRecurrent:
        """The analog twin of a torch network, with its weights."""
        assert isinstance(module, cls.digital)
        if module.proj_size:
            raise ConfigError(
                f"{name}: proj_size = {module.proj_size} is not supported; use 0, or exclude the layer"
            )
        layer = cls._like(module, rpu_config)
        for key in [key for key, _ in module.named_parameters() if key.startswith("weight")]:
            matrix = cast(AnalogLinear, getattr(layer, key))
            matrix.grid.rename(f"{name}.{key}")
            matrix.set_weights(getattr(module, key), getattr(module, key.replace("weight", "bias"), None))
        return layer.train(module.training)

    @classmethod
    def _like(cls, module: nn.RNNBase, rpu_config: RPUConfig) -> AnalogRecurrent:
        return cls(
            module.input_size, module.hidden_size, module.num_layers, module.bias, module.batch_first,
            module.dropout, module.bidirectional, rpu_config,
        )  # fmt: skip

    def to_digital(self) -> nn.RNNBase:
        """A torch network with the present weights."""
        module = self._digital()
        with torch.no_grad():
            for key, matrix in self.named_children():
                weight, bias = cast(AnalogLinear, matrix).get_weights()
                getattr(module, key).copy_(weight)
                if bias is not None:
                    getattr(module, key.replace("weight", "bias")).copy_(bias)
        return module.train(self.training)

    def _digital(self) -> nn.RNNBase:
        make: Callable[..., nn.RNNBase] = self.digital
        return make(
            self.input_size, self.hidden_size, self.num_layers, bias=self.bias, batch_first=self.batch_first,
            dropout=self.dropout, bidirectional=self.bidirectional,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
        }  # fmt: skip
        changed = {key: getattr(self, key) for key, value in plain.items() if getattr(self, key) != value}
        return ", ".join([text, *(f"{key}={value}" for key, value in changed.items())])


class AnalogRNN(AnalogRecurrent):
    """h' = tanh(W_ih x + W_hh h + b), or relu; arguments in torch's order, see ``AnalogRecurrent``."""

    gates = 1
    digital = nn.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rpu_config: RPUConfig | None = None,
        seed: int | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigError(f"AnalogRNN: nonlinearity = {nonlinearity!r} must be 'tanh' or 'relu'")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rpu_config, seed
        )
        self.nonlinearity = nonlinearity

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        total = from_input + from_state
        return (torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total),)

    @classmethod
    def _like(cls, module: nn.RNNBase, rpu_config: RPUConfig) -> AnalogRNN:
        assert isinstance(module, nn.RNN)
        return cls(
            module.input_size, module.hidden_size, module.num_layers, module.nonlinearity, module.bias,
            module.batch_first, module.dropout, module.bidirectional, rpu_config,
        )  # fmt: skip

    def _digital(self) -> nn.RNNBase:
        return nn.RNN(
            self.input_size, self.hidden_size, self.num_layers, self.nonlinearity, self.bias,
            self.batch_first, self.dropout, self.bidirectional,
        )  # fmt: skip


class AnalogLSTM(AnalogRecurrent):
    """Gates i, f, g, o of W_ih x + W_hh h + b: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), s the sigmoid.

    Its state is a pair (h, c), as torch's.
    """

    gates, states = 4, 2
    digital = nn.LSTM

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        i, f, g, o = (from_input + from_state).chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class AnalogGRU(AnalogRecurrent):
    """Gates r, z, n: n = tanh(x_n + s(r) h_n) with what both matrices read, h' = (1 - s(z)) n + s(z) h."""

    gates = 3
    digital = nn.GRU

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        x_r, x_z, x_n = from_input.chunk(3, dim=-1)
        h_r, h_z, h_n = from_state.chunk(3, dim=-1)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return ((1 - z) * n + z * state[0],)
