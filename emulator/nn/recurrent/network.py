"""AnalogRNN, AnalogLSTM and AnalogGRU: recurrent networks whose matrices sit on tiles.

Every layer and direction has two matrices, as in torch and in aihwkit: ``weight_ih`` [gates x hidden, in]
reads the input and ``weight_hh`` [gates x hidden, hidden] the state, the gates stacked in torch's order; a
third one, ``weight_hr``, where an LSTM projects its state. Each has its own devices; parameters have torch's
names (``weight_ih_l0``, ``bias_hh_l0_reverse``, ...). What depends on no earlier step is read together:
``weight_ih`` once for all steps of a sequence, the others once a step. All steps share the same devices; a
training step pulses them for every time step, in the order of the reads. Gates and sums are digital, and
biases unless they are columns of the tiles (``mapping.digital_bias``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from crossgrid.kernels.errors import ConfigError, InputError

from ...analog_matrix.mini_batch import mini_batch
from ...config.rpu import RPUConfig
from ..base import AnalogLayer
from ..deferral import is_deferring
from ..inputs import eager, require_input
from ..keys import key_of, new_key
from ..matrix import AnalogMatrix
from .steps import State, gru_step, lstm_step, require_nonlinearity, rnn_step


class AnalogRecurrent(AnalogLayer):
    """Layers and directions of one recurrent network; a subclass says what one step does.

    Args:
        input_size, hidden_size: features of a step's input and of the state.
        num_layers: layers in a row.
        bias: add biases, two a layer as torch has them: digital, or columns of the tiles
            (``mapping.digital_bias``).
        batch_first: inputs are [B, T, in] instead of [T, B, in].
        dropout: the share of a layer's outputs that is dropped before the next layer while training.
        bidirectional: a second set of matrices reads the sequence backwards; outputs are side by side.
        rpu_config: as for ``AnalogLinear``.
        seed: the keys of all matrices are drawn from it; they follow from torch's generator if not given.
        proj_size: of an LSTM: the state is projected to that many features; 0: it is not.

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
        proj_size: int = 0,
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
        if proj_size and (self.digital is not nn.LSTM or not 0 < proj_size < hidden_size):
            raise ConfigError(
                f"{name}: proj_size = {proj_size} must be 0 or, of an LSTM, below hidden_size = {hidden_size}"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        keys = torch.Generator().manual_seed(new_key(name) if seed is None else seed)
        with torch.device("meta") if is_deferring() else contextlib.nullcontext():
            start = self._twin(bias)
        for weight, matrix in self.matrices().items():
            key = int(torch.randint(2**63 - 1, (), generator=keys).item())
            initial = getattr(start, weight)
            has_bias = bias and hasattr(start, matrix.bias_name)
            spec = self._spec(key, initial.shape[0], initial.shape[1], rpu_config, has_bias)
            self._add_matrix(matrix, spec, initial.shape[0] if has_bias else None)
            if not is_deferring():
                matrix.set_weights(initial, getattr(start, matrix.bias_name) if has_bias else None)
        self._all_weights = list(start._all_weights)
        self._parameters = {name: self._parameters[name] for name in start._parameters}  # in torch's order

    @property
    def directions(self) -> tuple[str, ...]:
        """What torch appends to the matrices' names."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as torch's layers list them."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: the weights are on tiles, where there is nothing to put in a row."""

    def matrices(self) -> dict[str, AnalogMatrix]:
        kinds = ("ih", "hh", "hr") if self.proj_size else ("ih", "hh")
        return {
            f"weight_{kind}{place}": AnalogMatrix(
                self, f"weight_{kind}{place}", f"bias_{kind}{place}", f"analog_{kind}{place}"
            )
            for place in self._places()
            for kind in kinds
        }

    def matrix(self, kind: str, layer: int, direction: str = "") -> AnalogMatrix:
        """The analog matrix ``kind`` ("ih", "hh" or "hr") of one layer and direction."""
        return self.matrices()[f"weight_{kind}_l{layer}{direction}"]

    def _places(self) -> Iterator[str]:
        """The ends of torch's names: "_l0", "_l0_reverse", "_l1", ..."""
        return (f"_l{layer}{d}" for layer in range(self.num_layers) for d in self.directions)

    if TYPE_CHECKING:  # torch types a module's call as Any

        @overload  # type: ignore[no-overload-impl]
        def __call__(
            self, input: Tensor, hx: Tensor | State | None = ...
        ) -> tuple[Tensor, Tensor | State]: ...

        @overload
        def __call__(
            self, input: PackedSequence, hx: Tensor | State | None = ...
        ) -> tuple[PackedSequence, Tensor | State]: ...

    @eager
    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | State | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor | State]:
        """All outputs [T, B, directions x hidden] and the last states [layers x directions, B, hidden].

        Args:
            input: a sequence [T, B, in] ([B, T, in] with ``batch_first``), or [T, in] without a batch; or a
                packed sequence, whose outputs are packed alike.
            hx: the first states, shaped like the last ones; zero if not given.
        """
        x, state = input, hx
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, state)
        batched = self._check(x)
        x_TBI = x.unsqueeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        steps, batch = x_TBI.shape[:2]
        first = self._first_state(x_TBI, batch, state, batched)
        y_NH, states = self._through(x_TBI.reshape(steps * batch, x_TBI.shape[2]), [batch] * steps, first)
        y = y_NH.reshape(steps, batch, y_NH.shape[-1])
        if not batched:
            y, states = y.squeeze(1), tuple(part.squeeze(1) for part in states)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, states[0] if self.states == 1 else states

    def _forward_packed(
        self, x: PackedSequence, state: Tensor | State | None
    ) -> tuple[PackedSequence, Tensor | State]:
        """The same of sequences of several lengths, the longest first, all their values in one row."""
        self._check(x.data.unsqueeze(0))
        sizes: list[int] = x.batch_sizes.tolist()
        first = self._first_state(x.data, sizes[0], state, batched=True)
        if x.sorted_indices is not None and state is not None:
            first = tuple(part.index_select(1, x.sorted_indices) for part in first)
        y_NH, states = self._through(x.data, sizes, first)
        if x.unsorted_indices is not None:
            states = tuple(part.index_select(1, x.unsorted_indices) for part in states)
        y = PackedSequence(y_NH, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return y, states[0] if self.states == 1 else states

    @mini_batch()
    def _through(self, x_NI: Tensor, sizes: Sequence[int], first: State) -> tuple[Tensor, State]:
        """The outputs [N, directions x hidden] and the last states of all layers.

        The N vectors are those of the steps one after another, ``sizes[t]`` at step t; sizes never grow.
        """
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self.directions:
                start = tuple(part[len(last)] for part in first)
                y_NH, end = self._scan(x_NI, sizes, start, layer, direction)
                outputs.append(y_NH)
                last.append(end)
            x_NI = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
            if self.dropout and layer < self.num_layers - 1:
                x_NI = nn.functional.dropout(x_NI, self.dropout, self.training)
        return x_NI, tuple(torch.stack(parts) for parts in zip(*last, strict=True))

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        """The next state, its output first, from what the two matrices read, [B, gates x hidden] each."""
        raise NotImplementedError

    def _scan(
        self, x_NI: Tensor, sizes: Sequence[int], start: State, layer: int, direction: str
    ) -> tuple[Tensor, State]:
        """The outputs of one layer in one direction, step by step.

        A sequence that has ended keeps its state; backwards, one that begins later brings its first state.
        """
        read_state = self.matrix("hh", layer, direction)
        project = self.matrix("hr", layer, direction) if self.proj_size else None
        from_input = self.matrix("ih", layer, direction)(x_NI).split(list(sizes))
        outputs: list[Tensor] = []
        ended: list[State] = []
        state = tuple(part[: sizes[-1 if direction else 0]] for part in start)
        for t in reversed(range(len(sizes))) if direction else range(len(sizes)):
            size, before = sizes[t], len(state[0])
            if size < before:
                ended.append(tuple(part[size:] for part in state))
                state = tuple(part[:size] for part in state)
            elif size > before:
                state = tuple(
                    torch.cat([part, first[before:size]]) for part, first in zip(state, start, strict=True)
                )
            state = self.step(from_input[t], read_state(state[0]), state)
            if project is not None:
                state = project(state[0]), *state[1:]
            outputs.append(state[0])
        if direction:
            outputs.reverse()
        if ended:
            state = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
        return torch.cat(outputs), state

    def _first_state(
        self, like: Tensor, batch: int, state: Tensor | State | None, batched: bool
    ) -> State:  # fmt: skip
        layers = self.num_layers * len(self.directions)
        widths = [self.proj_size or self.hidden_size, self.hidden_size][: self.states]
        shapes = [(layers, batch, width) for width in widths]
        if state is None:
            return tuple(like.new_zeros(shape) for shape in shapes)
        parts = (state,) if isinstance(state, Tensor) else tuple(state)
        parts = parts if batched else tuple(part.unsqueeze(1) for part in parts)
        if [tuple(part.shape) for part in parts] != shapes:
            wanted = f"{self.states} of shape {shapes[0]}" if batched else f"{self.states} without a batch"
            raise InputError(
                f"{type(self).__name__}: first states of shapes {[tuple(part.shape) for part in parts]}; "
                f"{wanted} (layers x directions, batch, hidden) are needed"
            )
        return parts

    def _check(self, x: Tensor) -> bool:
        """Whether the input has a batch; an error if it is no sequence."""
        name = type(self).__name__
        require_input(name, x)
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size or not self._steps(x):
            raise InputError(
                f"{name}: input of shape {tuple(x.shape)}; a sequence of at least one step, "
                f"{self.input_size} features wide, with or without a batch, is needed"
            )
        return x.dim() == 3

    def _steps(self, x: Tensor) -> int:
        return x.shape[1 if self.batch_first and x.dim() == 3 else 0]

    @classmethod
    def from_digital(cls, module: nn.RNNBase, rpu_config: RPUConfig, name: str) -> AnalogRecurrent:
        """The analog twin of a torch network, with its weights."""
        assert isinstance(module, cls.digital)
        layer = cls._like(module, rpu_config, key_of(module, name))
        layer._take_over(module, name)
        return layer

    @classmethod
    def _like(cls, module: nn.RNNBase, rpu_config: RPUConfig, seed: int) -> AnalogRecurrent:
        return cls(
            module.input_size, module.hidden_size, module.num_layers, module.bias, module.batch_first,
            module.dropout, module.bidirectional, rpu_config, seed, module.proj_size,
        )  # fmt: skip

    def _twin(self, bias: bool) -> nn.RNNBase:
        make: Callable[..., nn.RNNBase] = self.digital
        projected = {"proj_size": self.proj_size} if self.proj_size else {}  # a GRU takes no such argument
        return make(
            self.input_size, self.hidden_size, self.num_layers, bias=bias, batch_first=self.batch_first,
            dropout=self.dropout, bidirectional=self.bidirectional, **projected,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
            "proj_size": 0,
        }  # fmt: skip
        changed = {key: getattr(self, key) for key, value in plain.items() if getattr(self, key) != value}
        return ", ".join([text, *(f"{key}={value}" for key, value in changed.items())])


class AnalogRNN(AnalogRecurrent):
    """h' = tanh(W_ih x + W_hh h + b), or relu; arguments in torch's order, see ``AnalogRecurrent``."""

    gates = 1
    digital = nn.RNN
    nonlinearity: str

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
        require_nonlinearity(type(self).__name__, nonlinearity)
        object.__setattr__(self, "nonlinearity", nonlinearity)  # the start of the weights asks for it
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rpu_config, seed
        )

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return rnn_step(from_input, from_state, self.nonlinearity)

    @classmethod
    def _like(cls, module: nn.RNNBase, rpu_config: RPUConfig, seed: int) -> AnalogRNN:
        assert isinstance(module, nn.RNN)
        return cls(
            module.input_size, module.hidden_size, module.num_layers, module.nonlinearity, module.bias,
            module.batch_first, module.dropout, module.bidirectional, rpu_config, seed,
        )  # fmt: skip

    def _twin(self, bias: bool) -> nn.RNNBase:
        return nn.RNN(
            self.input_size, self.hidden_size, self.num_layers, self.nonlinearity, bias,
            self.batch_first, self.dropout, self.bidirectional,
        )  # fmt: skip


class AnalogLSTM(AnalogRecurrent):
    """Gates i, f, g, o of W_ih x + W_hh h + b, see ``lstm_step``. Its state is a pair (h, c), as torch's."""

    gates, states = 4, 2
    digital = nn.LSTM

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return lstm_step(from_input, from_state, state)


class AnalogGRU(AnalogRecurrent):
    """Gates r, z, n of what both matrices read, see ``gru_step``."""

    gates = 3
    digital = nn.GRU

    def step(self, from_input: Tensor, from_state: Tensor, state: State) -> State:
        return gru_step(from_input, from_state, state)
