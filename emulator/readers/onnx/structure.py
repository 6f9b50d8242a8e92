"""ONNX's operators that move values and compute none: shapes, slices, concatenations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .values import Value, tensor

Attributes = dict[str, Any]


def axes_of(said: Attributes, values: Sequence[Value], place: int = 1) -> list[int] | None:
    """Axes as an attribute or, in newer files, as an input."""
    if "axes" in said:
        return [int(axis) for axis in said["axes"]]
    return None if len(values) <= place or values[place] is None else _integers(values[place])


def _integers(value: Value) -> list[int]:
    """The numbers of a shape, of axes."""
    if isinstance(value, Tensor):
        raise ValueError("a shape depends on numbers")
    return [int(number) for number in np.asarray(value).ravel()]


def _reshaped(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    sizes = _integers(values[1]) if len(values) > 1 else [*said["shape"]]
    kept = said.get("allowzero", 0)
    return x.reshape([x.shape[k] if size == 0 and not kept else size for k, size in enumerate(sizes)])


def _flat(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    axis = said.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return (
        x.flatten(axis)
        if axis == 1 and x.dim() > 1
        else x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)
    )


def _transposed(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    return x.permute([int(axis) for axis in said.get("perm", reversed(range(x.dim())))])


def _squeezed(said: Attributes, values: Sequence[Value]) -> Tensor:
    axes = axes_of(said, values)
    x = tensor(values[0])
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueezed(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    axes = axes_of(said, values) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _joined(said: Attributes, values: Sequence[Value]) -> Tensor:
    return torch.cat([tensor(value) for value in values], said.get("axis", 0))


def _split(said: Attributes, values: Sequence[Value]) -> tuple[Tensor, ...]:
    x, axis = tensor(values[0]), said.get("axis", 0)
    if len(values) > 1 and values[1] is not None:
        return x.split(_integers(values[1]), axis)
    if "split" in said:
        return x.split([*said["split"]], axis)
    return x.split(-(-x.shape[axis] // said.get("num_outputs", 2)), axis)


def _sliced(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    if "starts" in said:
        starts, ends = [*said["starts"]], [*said["ends"]]
        axes = said.get("axes", range(len(starts)))
        steps = [1] * len(starts)
    else:
        starts, ends = _integers(values[1]), _integers(values[2])
        axes = axes_of({}, values, 3) or range(len(starts))
        steps = _integers(values[4]) if len(values) > 4 and values[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = range(*slice(start, end, step).indices(x.shape[axis]))
        if step < 0:  # torch knows no steps back: as many values
            x = torch.flip(x, (axis,)).narrow(axis, 0, len(taken))
        else:
            first = taken.start if taken else 0
            x = x[(slice(None),) * (axis % x.dim()) + (slice(first, taken.stop if taken else 0, step),)]
    return x


def _gathered(said: Attributes, values: Sequence[Value]) -> Tensor:
    x, axis = tensor(values[0]), said.get("axis", 0)
    axis = axis % x.dim()
    if isinstance(values[1], np.ndarray) and values[1].ndim == 0:
        return x.select(axis, int(values[1]))
    places = tensor(values[1]).to(torch.int64)
    if axis == 0 and x.dim() == 2 and x.is_floating_point():
        return functional.embedding(places, x)
    found = torch.index_select(x, axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _expanded(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    return x.expand(torch.broadcast_shapes(x.shape, torch.Size(_integers(values[1]))))


def _padded(said: Attributes, values: Sequence[Value]) -> Tensor:
    x = tensor(values[0])
    pads = _integers(values[1]) if len(values) > 1 else list(said.get("pads") or said.get("paddings") or [])
    axes = axes_of({}, values, 3) or list(range(x.dim()))
    of_axis = {axis % x.dim(): (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    return functional.pad(x, [each for k in reversed(range(x.dim())) for each in of_axis.get(k, (0, 0))])


def _shape(said: Attributes, values: Sequence[Value]) -> np.ndarray:
    sizes = tensor(values[0]).shape
    return np.array(sizes[said.get("start", 0) : said.get("end", len(sizes))], np.int64)


def _filled(said: Attributes, values: Sequence[Value]) -> Tensor:
    return torch.empty(_integers(values[0]), device="meta")


def _cast(said: Attributes, values: Sequence[Value]) -> Tensor:
    import onnx

    name = str(onnx.helper.tensor_dtype_to_np_dtype(said["to"]))
    dtype = getattr(torch, name, torch.float32)
    return tensor(values[0]).to(dtype if isinstance(dtype, torch.dtype) else torch.float32)


def _as_it_is(said: Attributes, values: Sequence[Value]) -> Value:
    return values[0]


def _dropped(said: Attributes, values: Sequence[Value]) -> tuple[Value, ...]:
    x = tensor(values[0])
    return x, torch.empty(x.shape, dtype=torch.bool, device="meta")


def _taken(said: Attributes, values: Sequence[Value]) -> Tensor:
    places = tensor(values[1]).to(torch.int64)
    return torch.gather(tensor(values[0]), said.get("axis", 0), places)


def _most(said: Attributes, values: Sequence[Value]) -> Tensor:
    return torch.argmax(tensor(values[0]), said.get("axis", 0), keepdim=bool(said.get("keepdims", 1)))


RUN: dict[str, Callable[[Attributes, Sequence[Value]], Any]] = {
    "Reshape": _reshaped, "Flatten": _flat, "Transpose": _transposed, "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed, "Concat": _joined, "Split": _split, "Slice": _sliced, "Gather": _gathered,
    "GatherElements": _taken, "Expand": _expanded, "Pad": _padded, "Shape": _shape,
    "ConstantOfShape": _filled, "Cast": _cast, "CastLike": _as_it_is, "Identity": _as_it_is,
    "Dropout": _dropped, "Constant": _as_it_is, "ArgMax": _most, "ArgMin": _most,
    "Size": lambda said, values: np.array(tensor(values[0]).numel(), np.int64),
    "Tile": lambda said, values: tensor(values[0]).repeat(_integers(values[1])),
    "DepthToSpace": lambda said, values: functional.pixel_shuffle(tensor(values[0]), said["blocksize"]),
    "SpaceToDepth": lambda said, values: functional.pixel_unshuffle(tensor(values[0]), said["blocksize"]),
    "Trilu": lambda said, values: torch.triu(tensor(values[0])),
    "CumSum": lambda said, values: torch.cumsum(tensor(values[0]), 0),
    "ReverseSequence": lambda said, values: torch.flip(tensor(values[0]), (0,)),
}  # fmt: skip
