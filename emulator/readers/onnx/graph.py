"""An ONNX graph as a torch module: a module a node, values that are known as numpy's arrays.

What follows from constants alone (shapes, folded weights) is worked out when the module is built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .layers import Shared, Steps, layer_of
from .operators import Operation, compute
from .values import Value, tensor

#: numbers of a constant that are read at most: shapes, axes, indices; larger ones have a shape alone
MOST_NUMBERS = 4096

#: operators that need numbers that are no integers
SCALED = {"Resize", "Upsample"}


class Graph(nn.Module):
    """Runs the nodes of a graph on inputs by name; its layers are called as their weights in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.ParameterList()
        self._constants: dict[str, Value | int] = {}  # an integer: the place in ``kept``
        self._steps: list[tuple[nn.Module, tuple[str, ...], tuple[str, ...]]] = []
        self._outputs: tuple[str, ...] = ()
        self.made_by: dict[str, nn.Module] = {}  # by the name of a value

    @classmethod
    def of(cls, proto: Any, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
        """The module of a model; ``shapes`` are those of what unknown operators make."""
        made = cls()
        made._outputs = tuple(value.name for value in proto.graph.output)
        known: dict[str, Value] = {tensor.name: _constant(tensor) for tensor in proto.graph.initializer}
        sums = (node for node in proto.graph.node if node.op_type == "Add")
        pairs = (pair for node in sums for pair in (tuple(node.input), tuple(node.input)[::-1]))
        shared = Shared({value: constant for value, constant in pairs if constant in known})
        read = Counter(name for node in proto.graph.node for name in node.input)
        read.update(made._outputs)
        with torch.device("meta"), torch.no_grad():
            for number, node in enumerate(proto.graph.node):
                operation = Operation(node, [shapes.get(name, ()) for name in node.output])
                if all(name in known for name in node.input if name):
                    values = compute(operation, [known[name] if name else None for name in node.input])
                    known.update(zip(node.output, values, strict=False))
                    continue
                bias = _bias(node, known, made)
                if bias is not None and read[bias] == 1:
                    made._add(f"{node.name or number} bias", nn.Identity(), (bias,), tuple(node.output))
                    continue
                steps = layer_of(operation, known, shared)
                if steps is None:
                    name = node.name or f"{node.op_type}_{number}"
                    made._add(name, operation, tuple(node.input), tuple(node.output))
                else:
                    made._chain(steps, node.input[0], tuple(node.output))
        used = {name for _, inputs, _ in made._steps for name in inputs} | {*made._outputs}
        for name, value in known.items():
            if name in used:
                readers = {node.op_type for node in proto.graph.node if name in node.input}
                made._keep(name, value, bool(readers & SCALED))
        return made

    def _add(self, name: str, module: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        """A step; its module is found under its name, whose dots are levels."""
        self._steps.append((module, inputs, outputs))
        self.made_by.update(dict.fromkeys(outputs, module))
        if any(module is other for other in self.modules()):
            return
        *way, last = name.split(".")
        owner: nn.Module = self
        for part in (each or "_" for each in way):
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        while not last or last in owner._modules or hasattr(owner, last):
            last += "_"
        owner.add_module(last, module)

    def _chain(self, steps: Steps, first: str, outputs: tuple[str, ...]) -> None:
        """Steps of which each reads what the one before makes."""
        for k, (name, module) in enumerate(steps):
            between = (f"{outputs[0]} {name}",) if k < len(steps) - 1 else outputs
            self._add(name, module, (first,), between)
            first = between[0]

    def _keep(self, name: str, value: Value, by_number: bool) -> None:
        """A constant that nodes read; as a parameter where its numbers are not needed."""
        whole = isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind == "f"
        if whole and not by_number:
            value = tensor(value)
        if isinstance(value, Tensor):
            self.kept.append(nn.Parameter(value, requires_grad=False))
            self._constants[name] = len(self.kept) - 1
        else:
            self._constants[name] = value

    def forward(self, **inputs: Tensor) -> tuple[Value, ...]:
        """What the graph gives for its inputs."""
        values: dict[str, Value] = {"": None, **inputs}
        for name, constant in self._constants.items():
            values[name] = self.kept[constant] if isinstance(constant, int) else constant
        for module, names, outputs in self._steps:
            made = module(*(values[name] for name in names))
            several = isinstance(made, tuple) and not isinstance(module, nn.RNNBase)  # its states come along
            values.update(zip(outputs, made if several else (made,), strict=False))
        return tuple(values[name] for name in self._outputs)


def _constant(tensor: Any) -> Value:
    """A constant's numbers where they are few and in the file, else its shape."""
    import onnx

    count = int(np.prod(tensor.dims, dtype=np.int64))
    if count <= MOST_NUMBERS and tensor.data_location != onnx.TensorProto.EXTERNAL:
        return onnx.numpy_helper.to_array(tensor)
    return torch.empty(tuple(tensor.dims), device="meta")


def _bias(node: Any, known: Mapping[str, Value], graph: Graph) -> str | None:
    """What a node adds a constant vector to, where that is the output of a matrix."""
    if node.op_type != "Add":
        return None
    one, other = node.input
    made, constant = (one, other) if other in known else (other, one)
    if constant not in known or made in known:
        return None
    module, vector = graph.made_by.get(made), known[constant]
    whole = isinstance(module, nn.Linear) and module.bias is None
    fits = vector is not None and tuple(vector.shape) == (getattr(module, "out_features", None),)
    return made if whole and fits else None
