"""Nodes with constant weights as torch's layers, without numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .operators import WEIGHT, Operation, paddings
from .values import Value

Steps = list[tuple[str, nn.Module]]


@dataclass(slots=True)
class Shared:
    """The layers by weight: one that several nodes read is one layer; and the constants that are added to
    values, by the values' names."""

    added: Mapping[str, str] = field(default_factory=dict)
    layers: dict[tuple[str, str], nn.Module] = field(default_factory=dict)


class Function(nn.Module):
    """What happens to a layer's input or output."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *values: Any) -> Any:
        """The function of the first value: a layer's output may be several."""
        return self._function(values[0])


def layer_of(operation: Operation, known: Mapping[str, Value], shared: Shared) -> Steps | None:
    """The layer that a node is, with what happens before and after it; None where it stays digital."""
    node, place = operation.node, WEIGHT.get(operation.kind)
    if place is None or len(node.input) <= place or node.input[place] not in known:
        return None
    weight = known[node.input[place]]
    if weight is None:
        return None
    make: Callable[[Operation, tuple[int, ...]], nn.Module | None] = {
        "ConvTranspose": _turned, "Gemm": _gemm, "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
    }.get(operation.kind, _convolution if "Conv" in operation.kind else _product)  # fmt: skip
    key = node.input[place], repr(sorted(operation.attributes.items(), key=lambda each: each[0]))
    layer = shared.layers.get(key) or make(operation, tuple(weight.shape))
    if layer is None:
        return None
    shared.layers[key] = layer
    name = _name(node, place, shared)
    steps: Steps = [(name, layer)]
    if operation.kind not in ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN"):
        steps.insert(0, (f"{name} read", Function(lambda x: x.to(torch.float32))))
    if "Conv" in operation.kind and _border(operation, tuple(weight.shape[2:])) is None:
        kernel = tuple(weight.shape[2:])
        steps.insert(0, (f"{name} padded", Function(lambda x: _padded(operation, kernel, x))))
    if isinstance(layer, nn.RNNBase):
        steps.append((f"{name} arranged", Function(lambda made: _arranged(layer, made))))
    return steps


def _name(node: Any, place: int, shared: Shared) -> str:
    """What a layer's weight or bias is called in the file, else the node."""
    for constant in (node.input[place], *node.input[place + 1 :], shared.added.get(node.output[0], "")):
        owner, _, own = str(constant).rpartition(".")
        if owner and own in ("weight", "bias"):
            return owner
    return str(node.name or node.output[0])


def _convolution(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Of W [out, in / groups, *kernel]; a border that differs at both ends is put on before."""
    axes, said = len(shape) - 2, operation.attributes
    if not 1 <= axes <= 3:
        return None
    groups = said.get("group", 1)
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    made: nn.Module = kind(
        shape[1] * groups, shape[0], shape[2:], tuple(said.get("strides", (1,) * axes)),
        _border(operation, shape[2:]) or 0,
        dilation=tuple(said.get("dilations", (1,) * axes)), groups=groups, bias=len(operation.node.input) > 2,
    )  # fmt: skip
    return made


def _border(operation: Operation, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    """The border along each axis; None where both ends differ, or the input's size tells it."""
    pads = paddings(operation.attributes, kernel)
    if pads is None or pads[::2] != pads[1::2]:
        return None
    return tuple(pads[::2][::-1])


def _padded(operation: Operation, kernel: tuple[int, ...], x: Tensor) -> Tensor:
    """The input with its border; ``auto_pad`` knows it from the input's size."""
    pads = paddings(operation.attributes, kernel, tuple(x.shape[2:]))
    assert pads is not None
    return functional.pad(x, pads)


def _turned(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Of W [in, out / groups, *kernel]."""
    axes, said = len(shape) - 2, operation.attributes
    border = _border(operation, shape[2:])
    if not 1 <= axes <= 3 or border is None:
        return None
    groups = said.get("group", 1)
    kind: Any = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    made: nn.Module = kind(
        shape[0], shape[1] * groups, shape[2:], tuple(said.get("strides", (1,) * axes)), border,
        tuple(said.get("output_padding", (0,) * axes)), groups, len(operation.node.input) > 2,
        tuple(said.get("dilations", (1,) * axes)),
    )  # fmt: skip
    return made


def _gemm(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Of B [in, out], or [out, in] where it is transposed."""
    if operation.attributes.get("transA", 0) or len(shape) != 2:
        return None
    in_, out = shape[::-1] if operation.attributes.get("transB", 0) else shape
    return nn.Linear(in_, out, bias=len(operation.node.input) > 2)


def _product(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Of a constant matrix [in, out] that stands at the right."""
    return nn.Linear(*shape, bias=False) if len(shape) == 2 else None


def _recurrent(operation: Operation, shape: tuple[int, ...]) -> nn.Module | None:
    """Of W [directions, gates x hidden, in]."""
    said = operation.attributes
    kind = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[operation.kind]
    return kind(
        shape[2], int(said["hidden_size"]), batch_first=bool(said.get("layout", 0)),
        bidirectional=shape[0] == 2,
    )  # fmt: skip


def _arranged(layer: nn.RNNBase, made: Any) -> tuple[Tensor, ...]:
    """torch's outputs as ONNX has them: Y [steps, directions, batch, hidden] and the last states."""
    y, states = made
    directions = 2 if layer.bidirectional else 1
    y = y.unflatten(-1, (directions, -1))
    y = y if layer.batch_first else y.transpose(1, 2)
    return (y, *(states if isinstance(states, tuple) else (states,)))
