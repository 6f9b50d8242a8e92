"""Values of a graph: tensors without numbers, numpy's arrays with them, None for what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Value: TypeAlias = Any  # Tensor | np.ndarray | None

#: numbers that an operation of numpy's may make: more have a shape alone
MOST_MADE = 1 << 20


def tensor(value: Value) -> Tensor:
    """A value as a tensor without numbers."""
    if isinstance(value, Tensor):
        return value
    if value is None:
        raise ValueError("an input is missing")
    array = np.asarray(value)
    dtype = getattr(torch, str(array.dtype), torch.float32)
    dtype = dtype if isinstance(dtype, torch.dtype) else torch.float32
    return torch.empty(array.shape, dtype=dtype, device="meta")


def numbers(node: Any, values: Sequence[Value]) -> tuple[Value, ...] | None:
    """What a node makes of numbers, by ONNX's own reference; None where that cannot tell, or is large."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
        sizes = values[-1]
        if sizes is not None and np.prod(np.maximum(sizes, 1), dtype=np.float64) > MOST_MADE:
            return None
    given = {name: value for name, value in zip(node.input, values, strict=True) if name}
    named = (given, [name for name in node.output if name])
    reads, makes = ([helper.make_tensor_value_info(name, 0, None) for name in names] for names in named)
    graph = helper.make_graph([node], "one", reads, makes)
    try:
        made = iter(ReferenceEvaluator(helper.make_model(graph)).run(None, given))
    except Exception:
        return None
    return tuple(next(made) if name else None for name in node.output)
