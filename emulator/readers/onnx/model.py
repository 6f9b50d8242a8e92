"""From an ONNX file to layer shapes: the graph becomes a torch module on the meta device, which is traced.

Shapes alone are read: weights that lie in files beside the model are not opened.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, unknown

from ...nn.hooks.batch_axis import BatchAxis
from ...shapes.attempts import attempt
from ...shapes.counting import ModelShapes
from ...shapes.digital import shapes_of
from .graph import Graph
from .operators import is_known


class OnnxModel(NamedTuple):
    """What is in the file, and what has to be said of it."""

    shapes: ModelShapes
    notes: tuple[str, ...]


def onnx_shapes(path: str, given: Mapping[str, Tensor]) -> OnnxModel:
    """The layers and the digital work of the model in an ONNX file.

    A product with a constant matrix, a convolution with constant weights, a recurrent layer is a layer. An
    operator that is not known counts as an operation a value that it makes, and is named.

    Args:
        path: the file.
        given: inputs by name, where the file leaves a size open that is not the batch's.

    Raises:
        ConfigError: onnx is not installed, the file cannot be read or followed, an input's size is open.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError(
            f"model '{path}' needs the package onnx, which is not installed: pip install 'crossgrid[onnx]', "
            "or give FILE.py:CALLABLE"
        )
    if not Path(path).is_file():
        raise ConfigError(f"model '{path}': no such file; give FILE.onnx, or FILE.py:CALLABLE")
    proto = attempt(lambda: _loaded(path), f"model '{path}' is no readable ONNX file", "export it again")
    strange = Counter(_called(node) for node in proto.graph.node if not is_known(node))
    count = len(proto.graph.node)
    shapes = _inferred(proto) if strange else {}
    said = ", ".join(f"'{name}' ({n} of {count}, {100 * n / count:.3g} %)" for name, n in strange.items())
    without = [
        name for node in proto.graph.node if not is_known(node) for name in node.output if name not in shapes
    ]
    if without:
        raise ConfigError(
            f"model '{path}': operators are not known: {said}, and the file does not say of which shape "
            f"'{without[0]}' is; store shapes in it (value_info), or give FILE.py:CALLABLE"
        )
    graph = attempt(
        lambda: Graph.of(proto, shapes), f"model '{path}' cannot be followed", "give FILE.py:CALLABLE"
    )
    inputs = _inputs(path, proto, given)
    _refuse_open_time(path, proto, graph, inputs, given)
    notes = (f"{path}: operators are not known: {said}; each counts as one digital operation a value",)
    return OnnxModel(shapes_of(graph, inputs), notes if strange else ())


def _loaded(path: str) -> Any:
    """The file's model, its own functions written out."""
    import onnx

    proto = onnx.load(path, load_external_data=False)
    if not proto.graph.node:
        raise ValueError("it holds no operator")
    if proto.functions:
        from onnx import inliner

        proto = inliner.inline_local_functions(proto)
    return proto


def _called(node: Any) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _inferred(proto: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of values that the file says, or that follow from it; an open batch is one."""
    import onnx

    whole = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    found = {}
    for value in (*whole.graph.value_info, *whole.graph.output):
        kind = value.type.tensor_type
        sizes = [d.dim_value or (1 if k == 0 else 0) for k, d in enumerate(kind.shape.dim)]
        if value.type.HasField("tensor_type") and kind.HasField("shape") and all(sizes):
            found[value.name] = tuple(sizes)
    return found


def _inputs(path: str, proto: Any, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs on the meta device, those with a batch first."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    values = {value.name: value for value in proto.graph.input if value.name not in constants}
    for name in given:
        if name not in values:
            raise unknown(f"input of '{path}'", name, values)
    made = {name: given[name] if name in given else _input(path, value) for name, value in values.items()}
    return dict(sorted(made.items(), key=lambda entry: entry[1].dim() == 0))


def _refuse_open_time(
    path: str, proto: Any, graph: Graph, inputs: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    """An open first size is taken as a batch of one; an error where it counts a recurrent layer's steps.

    What it counts shows where it differs from the second one.
    """
    name, first = next(iter(inputs.items()), ("", None))
    dimensions = {value.name: value.type.tensor_type.shape.dim for value in proto.graph.input}
    if first is None or first.dim() < 2 or name in given or dimensions[name][0].dim_value:
        return
    if not any(isinstance(module, nn.RNNBase) for module in graph.modules()):
        return
    other = first.new_empty((2 if first.shape[1] != 2 else 3, *first.shape[1:]))
    with BatchAxis(graph) as axis, contextlib.suppress(Exception), torch.no_grad():
        graph(**{**inputs, name: other})
    if axis.axis != 0:
        sizes = "x".join(["N", *(str(size) for size in first.shape[1:])])
        open_ = dimensions[name][0].dim_param or "dimension 0"
        raise ConfigError(
            f"model '{path}': input '{name}' has a first size that is open ('{open_}') "
            f"and counts steps of time, as '{axis.said_by}' reads it: give its shape, --input {name}={sizes}"
        )


def _input(path: str, value: Any) -> Tensor:
    import onnx

    kind = value.type.tensor_type
    sizes = []
    for k, dimension in enumerate(kind.shape.dim):
        if dimension.dim_value < 1 and k > 0:
            open_ = dimension.dim_param or f"dimension {k}"
            raise ConfigError(
                f"model '{path}': input '{value.name}' has a size that is open ('{open_}'); give its shape: "
                f"--input {value.name}=" + "x".join(str(d.dim_value or "N") for d in kind.shape.dim)
            )
        sizes.append(dimension.dim_value or 1)
    name = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    dtype = getattr(torch, name, torch.float32)
    return torch.empty(sizes, dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32, device="meta")
