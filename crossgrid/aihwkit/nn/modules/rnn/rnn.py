"""AnalogRNN: recurrent layers made of cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ....missing import absent
from ..container import AnalogContainerBase
from ..linear import AnalogLinear
from .layers import AnalogBidirRNNLayer, AnalogRNNLayer


class ModularRNN(nn.Module):
    """Layers on top of each other, with dropout between them."""

    def __init__(
        self, num_layers: int, layer: Any, dropout: float, first_layer_args: Sequence[Any],
        other_layer_args: Sequence[Any],
    ) -> None:  # fmt: skip
        super().__init__()
        if num_layers == 1 and dropout > 0:
            warnings.warn(f"dropout = {dropout} acts between layers, and there is one", stacklevel=3)
        self.num_layers = num_layers
        others = [layer(*other_layer_args) for _ in range(num_layers - 1)]
        self.layers: Any = nn.ModuleList([layer(*first_layer_args), *others])
        self.dropout_layer = nn.Dropout(dropout) if dropout > 0 else None

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """The states before the first input of each layer."""
        return [layer.get_zero_state(batch_size) for layer in self.layers]

    def forward(self, input: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """The outputs of the last layer, and the last state of each."""
        last = []
        for n, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            input, after = layer(input, state)
            if self.dropout_layer is not None and n < self.num_layers - 1:
                input = self.dropout_layer(input)
            last.append(after)
        return input, last


class AnalogRNN(AnalogContainerBase):
    """Recurrent layers of one kind of cell, over sequences [time, B, features].

    Args:
        cell: the class of the cells, such as ``AnalogLSTMCell``.
        input_size, hidden_size: features of the inputs and of the state.
        bias: whether matrices have a bias.
        rpu_config: how the tiles behave; without one the matrices are torch's linear layers.
        tile_module_class: what holds a matrix.
        xavier: initial weights of Xavier, or else uniform within 1 / sqrt(hidden_size).
        num_layers: layers on top of each other.
        bidir: whether each layer reads in both directions.
        dropout: between layers.
    """

    def __init__(
        self,
        cell: Any,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rpu_config: Any = None,
        tile_module_class: Any = None,
        xavier: bool = False,
        num_layers: int = 1,
        bidir: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        more = hidden_size, bias, rpu_config, tile_module_class
        layer: Any = AnalogBidirRNNLayer if bidir else AnalogRNNLayer
        width = 2 * hidden_size if bidir else hidden_size
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.rnn = ModularRNN(num_layers, layer, dropout, (cell, input_size, *more), (cell, width, *more))
        self.reset_parameters(xavier)

    @torch.no_grad()
    def init_layers(
        self, weight_init_fn: Callable[[Tensor], Any], bias_init_fn: Callable[[Tensor], Any] | None = None
    ) -> None:
        """Fill all weights with ``weight_init_fn``, biases with ``bias_init_fn`` or the same."""
        for module in self.modules():
            if isinstance(module, AnalogLinear):
                weight, bias = module.get_weights()
                _fill(weight, bias, weight_init_fn, bias_init_fn)
                module.set_weights(weight, bias)
            elif isinstance(module, nn.Linear):
                _fill(module.weight, module.bias, weight_init_fn, bias_init_fn)

    def reset_parameters(self, xavier: bool = False) -> None:
        """Draw new weights."""
        if xavier:
            self.init_layers(nn.init.xavier_uniform_, nn.init.zeros_)
        else:
            bound = 1 / math.sqrt(self.hidden_size)
            self.init_layers(lambda values: values.uniform_(-bound, bound))

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """The states before the first input of each layer."""
        return self.rnn.get_zero_state(batch_size)

    def forward(self, input: Tensor, states: Sequence[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """The outputs of the last layer, and the last state of each."""
        first = self.get_zero_state(input.shape[1]) if states is None else states
        found: tuple[Tensor, list[Any]] = self.rnn(input, first)
        return found


def _fill(weight: Tensor, bias: Tensor | None, of_weight: Any, of_bias: Any) -> None:
    of_weight(weight.data)
    if bias is not None:
        (of_bias or of_weight)(bias.data)


__getattr__ = absent(__name__)
