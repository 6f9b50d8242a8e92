"""ONNX's operators on torch's tensors without numbers, and on numpy's arrays where the numbers are known.

What is elementwise is counted alike, so one operation stands for all of a kind. Operators whose result
depends on numbers that are not known fail, as a model of torch's own would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import structure
from .values import Value, numbers, tensor

UNARY = """
Relu Sigmoid Tanh Erf Sqrt Exp Log Neg Abs Clip LeakyRelu Elu Selu Celu HardSigmoid HardSwish Softplus
Softsign Gelu Mish Swish Floor Ceil Round Reciprocal Not Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh
Atanh ThresholdedRelu Shrink IsNaN IsInf BitwiseNot QuantizeLinear DequantizeLinear PRelu RotaryEmbedding
Bernoulli
"""

BROADCAST = """
Add Sub Mul Div Pow Min Max Sum Mean Mod And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual
Where BitShift BitwiseAnd BitwiseOr BitwiseXor
"""

REDUCING = """
ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceSumSquare
"""

#: of one value each; of several, which are broadcast; along axes
_UNARY, _BROADCAST, _REDUCING = (frozenset(names.split()) for names in (UNARY, BROADCAST, REDUCING))

#: where a node's weight stands among its inputs
WEIGHT = {
    "Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1, "MatMul": 1, "MatMulInteger": 1,
    "QLinearMatMul": 3, "Gemm": 1, "LSTM": 1, "GRU": 1, "RNN": 1,
}  # fmt: skip

Run = Callable[["Operation", list[Value]], Any]


class Operation(nn.Module):
    """A node that is no layer."""

    def __init__(self, node: Any, shapes: Sequence[tuple[int, ...]] = ()) -> None:
        import onnx

        super().__init__()
        self.node = node
        self.kind = str(node.op_type)
        self.attributes: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self.shapes = tuple(shapes)  # of what it makes, where it is not known

    def forward(self, *values: Value) -> tuple[Value, ...]:
        """What the node makes of its inputs."""
        return compute(self, list(values))


def is_known(node: Any) -> bool:
    """Whether what a node makes can be followed."""
    tables: tuple[Container[str], ...] = (_RUN, structure.RUN, _UNARY, _BROADCAST, _REDUCING, WEIGHT)
    return node.domain in ("", "ai.onnx") and any(node.op_type in table for table in tables)


def compute(operation: Operation, values: list[Value]) -> tuple[Value, ...]:
    """The outputs of a node; numbers where all inputs are numbers, else tensors without."""
    if not is_known(operation.node):
        read = [tensor(value) for value in values if value is not None]
        return tuple(torch.ops.crossgrid.unknown_operator(read, [*shape]) for shape in operation.shapes)
    if all(value is None or isinstance(value, np.ndarray) for value in values):
        found = numbers(operation.node, values)
        if found is not None:
            return found
    made = _run_of(operation.kind)(operation, values)
    return made if isinstance(made, tuple) else (made,)


@torch.library.custom_op("crossgrid::unknown_operator", mutates_args=())
def unknown_operator(values: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Stands for an operator that is not known: it reads ``values`` and makes one of ``shape``."""
    return torch.zeros(tuple(shape))


@unknown_operator.register_fake
def _(values: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    device = values[0].device if values else torch.device("meta")
    return torch.empty(tuple(shape), device=device)


def paddings(
    attributes: dict[str, Any], kernel: Sequence[int], size: Sequence[int] | None = None
) -> list[int] | None:
    """The border of an image as torch's ``pad`` takes it: last axis first, begin and end of each.

    None where ``auto_pad`` needs the ``size`` of the image, which is not given.
    """
    axes, said = len(kernel), attributes
    mode = said.get("auto_pad", b"NOTSET").decode()
    if mode == "VALID":
        return [0] * (2 * axes)
    if mode == "NOTSET":
        pads = said.get("pads", [0] * (2 * axes))
        return [each for k in reversed(range(axes)) for each in (pads[k], pads[k + axes])]
    if size is None:
        return None
    strides, dilations = said.get("strides", (1,) * axes), said.get("dilations", (1,) * axes)
    found: list[int] = []
    for k in reversed(range(axes)):
        reach = (kernel[k] - 1) * dilations[k] + 1
        whole = max((-(-size[k] // strides[k]) - 1) * strides[k] + reach - size[k], 0)
        less, more = whole // 2, whole - whole // 2
        found += (less, more) if mode == "SAME_UPPER" else (more, less)
    return found


def _run_of(kind: str) -> Run:
    moved = structure.RUN.get(kind)
    if moved is not None:
        return lambda operation, values: moved(operation.attributes, values)
    if kind in _UNARY:
        return lambda _, values: torch.abs(_plain(values[0]))
    if kind in _BROADCAST:
        return lambda _, values: _broadcast([tensor(value) for value in values])
    return _reduced if kind in _REDUCING else _RUN[kind]


def _plain(value: Value) -> Tensor:
    """Numbers of a type that all operations take."""
    made = tensor(value)
    return made.to(torch.int64) if made.dtype == torch.bool else made


def _broadcast(values: list[Tensor]) -> Tensor:
    made = _plain(values[0])
    for value in values[1:]:
        made = torch.add(made, _plain(value))
    return made


def _reduced(operation: Operation, values: list[Value]) -> Tensor:
    x = tensor(values[0])
    axes = structure.axes_of(operation.attributes, values)
    if axes is None:
        if operation.attributes.get("noop_with_empty_axes", 0):
            return x
        axes = list(range(x.dim()))
    keep = bool(operation.attributes.get("keepdims", 1))
    if operation.kind == "ReduceMean":
        return x.to(torch.float32).mean(axes, keepdim=keep)
    return x.sum(axes, keepdim=keep)


def _pool(operation: Operation, values: list[Value]) -> Tensor:
    x, said = tensor(values[0]), operation.attributes
    kernel = tuple(said["kernel_shape"])
    axes = len(kernel)
    x = functional.pad(x, paddings(said, kernel, tuple(x.shape[2:])) or [])
    strides, whole = tuple(said.get("strides", (1,) * axes)), bool(said.get("ceil_mode", 0))
    if operation.kind == "MaxPool":
        pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[axes - 1]
        made: Tensor = pool(x, kernel, strides, 0, tuple(said.get("dilations", (1,) * axes)), whole)
        return made
    mean = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[axes - 1]
    return mean(x, kernel, strides, 0, whole)


def _whole_pool(operation: Operation, values: list[Value]) -> Tensor:
    x = tensor(values[0])
    axes = list(range(2, x.dim()))
    return x.amax(axes, keepdim=True) if "Max" in operation.kind else x.mean(axes, keepdim=True)


def _batch_norm(operation: Operation, values: list[Value]) -> Tensor:
    x, scale, offset, mean, variance = (tensor(value) for value in values[:5])
    return functional.batch_norm(x, mean, variance, scale, offset)


def _layer_norm(operation: Operation, values: list[Value]) -> Tensor:
    x, scale = tensor(values[0]), tensor(values[1])
    shape = x.shape[operation.attributes.get("axis", -1) :]
    if operation.kind in ("RMSNormalization", "SimplifiedLayerNormalization"):
        return functional.rms_norm(x, shape, scale.expand(shape))
    offset = tensor(values[2]).expand(shape) if len(values) > 2 and values[2] is not None else None
    return functional.layer_norm(x, shape, scale.expand(shape), offset)


def _group_norm(operation: Operation, values: list[Value]) -> Tensor:
    x, channels = tensor(values[0]), int(tensor(values[0]).shape[1])
    groups = channels if operation.kind == "InstanceNormalization" else operation.attributes["num_groups"]
    return functional.group_norm(x, groups)


def _softmax(operation: Operation, values: list[Value]) -> Tensor:
    return torch.softmax(tensor(values[0]), operation.attributes.get("axis", -1))


def _matmul(operation: Operation, values: list[Value]) -> Tensor:
    one, other = ([tensor(value).to(torch.float32) for value in values] * 2)[:2]
    if operation.kind == "Gemm":
        one = one.T if operation.attributes.get("transA", 0) else one
        other = tensor(values[1]).T if operation.attributes.get("transB", 0) else tensor(values[1])
    return torch.matmul(one, other)


def _convolution(operation: Operation, values: list[Value]) -> Tensor:
    """One with weights that are results of the model."""
    x, weight, said = tensor(values[0]), tensor(values[1]), operation.attributes
    axes = weight.dim() - 2
    kernel = tuple(weight.shape[2:])
    x = functional.pad(x, paddings(said, kernel, tuple(x.shape[2:])) or [])
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    strides, dilations = (tuple(said.get(name, (1,) * axes)) for name in ("strides", "dilations"))
    return run(x, weight, None, strides, 0, dilations, said.get("group", 1))


def _attention(operation: Operation, values: list[Value]) -> Tensor:
    """Of queries, keys and values [B, heads, L, E] or [B, L, heads x E]."""
    query, key, value = (tensor(each) for each in values[:3])
    if query.dim() == 4:
        return functional.scaled_dot_product_attention(
            query, key, value, enable_gqa=query.shape[1] != key.shape[1]
        )
    heads, fewer = (operation.attributes[f"{name}_num_heads"] for name in ("q", "kv"))
    query = query.unflatten(-1, (heads, -1)).transpose(1, 2)
    key, value = (each.unflatten(-1, (fewer, -1)).transpose(1, 2) for each in (key, value))
    met = functional.scaled_dot_product_attention(query, key, value, enable_gqa=heads != fewer)
    return met.transpose(1, 2).flatten(2)


def _resized(operation: Operation, values: list[Value]) -> Tensor:
    """By the sizes or scales that are its last input."""
    x = tensor(values[0])
    told = [v for v in values[1:] if isinstance(v, np.ndarray) and v.size == x.dim()]
    last = told[-1] if told else np.asarray(operation.attributes["scales"])
    sizes = last if np.issubdtype(last.dtype, np.integer) else np.floor(np.asarray(x.shape) * last)
    return functional.interpolate(x.to(torch.float32), tuple(int(size) for size in sizes[2:]))


def _einsum(operation: Operation, values: list[Value]) -> Tensor:
    equation = operation.attributes["equation"].decode()
    return torch.einsum(equation, *(tensor(value) for value in values))


def _quantized(operation: Operation, values: list[Value]) -> tuple[Tensor, Tensor, Tensor]:
    x = tensor(values[0])
    return torch.abs(x).to(torch.uint8), x.new_empty(()), torch.empty((), dtype=torch.uint8, device=x.device)


def _top(operation: Operation, values: list[Value]) -> tuple[Tensor, ...]:
    if not isinstance(values[1], np.ndarray):
        raise ValueError("how many values TopK takes depends on numbers")
    count = int(math.prod(values[1].ravel().tolist()))
    return tuple(torch.topk(tensor(values[0]), count, operation.attributes.get("axis", -1)))


_RUN: dict[str, Run] = {
    "MaxPool": _pool, "AveragePool": _pool, "LpPool": _pool,
    "GlobalAveragePool": _whole_pool, "GlobalMaxPool": _whole_pool,
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "RMSNormalization": _layer_norm,
    "InstanceNormalization": _group_norm, "GroupNormalization": _group_norm,
    "LpNormalization": lambda _, values: torch.abs(tensor(values[0])),
    "LRN": lambda op, values: functional.local_response_norm(tensor(values[0]), op.attributes["size"]),
    "Softmax": _softmax, "LogSoftmax": _softmax, "MatMul": _matmul, "Gemm": _matmul, "MatMulInteger": _matmul,
    "Conv": _convolution, "Einsum": _einsum, "Resize": _resized, "Upsample": _resized,
    "Attention": _attention, "DynamicQuantizeLinear": _quantized, "TopK": _top,
}  # fmt: skip
