"""The matrices of one torch layer as a mapper sees them, and what the layer computes besides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from crossgrid.chip import Convolution, Join, LayerShape
from crossgrid.chip.plan.digital import DigitalWork

from ..model.kinds import EXPERTS, TRANSPOSED, kind_of
from .counting import attention_work
from .experts import Experts

#: transposed convolutions: each pixel is a vector, and makes a window
TURNED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: those whose channels are the second dimension
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TURNED)


def vectors_of(module: nn.Module, inputs: Sequence[Tensor], result: Tensor) -> int:
    """How often the weight matrix is multiplied: output values over outputs of one vector."""
    if isinstance(module, TURNED):
        return inputs[0].numel() // max(int(module.in_channels), 1)
    if _is_convolution(module):
        return result.numel() // max(int(module.out_channels), 1)  # type: ignore[arg-type]
    if isinstance(module, nn.RNNBase):
        width = module.proj_size or module.hidden_size
        return result.numel() // (width * (2 if module.bidirectional else 1))
    return result.numel() // max(int(result.shape[-1]), 1)


def work_inside(name: str, module: nn.Module, tensors: Sequence[Tensor], result: Tensor) -> list[DigitalWork]:
    """What a layer computes besides its matrices: attention's products, the gates of a recurrent layer, the
    sums of overlapping windows, the products with a bilinear form's first input."""
    if isinstance(module, nn.MultiheadAttention):
        return [attention_work(name, module.num_heads, module.batch_first, *tensors[:3])]
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        kind = module.mode if isinstance(module, nn.RNNBase) else type(module).__name__.removesuffix("Cell")
        gates = {"LSTM": 4, "GRU": 3}.get(kind, 1)
        layers = module.num_layers if isinstance(module, nn.RNNBase) else 1
        values = 2.0 * gates * result.numel() * layers  # each activated, then combined
        return [DigitalWork(name, "elementwise", 0.0, values, values)]
    if isinstance(module, TURNED):
        values = float(vectors_of(module, tensors, result) * module.out_channels * _values(module))
        return [DigitalWork(name, "elementwise", 0.0, values, values + result.numel())]
    if isinstance(module, nn.Bilinear):
        macs = float(result.numel() * module.in1_features)
        return [DigitalWork(name, "matrix product", macs, 0.0, macs + tensors[0].numel() + result.numel())]
    return []


def steps_of(module: nn.Module, result: Tensor) -> int:
    """How many vectors one call takes one after the other: a recurrent layer's time steps."""
    if not isinstance(module, nn.RNNBase):
        return 1
    return int(result.shape[1 if module.batch_first and result.dim() == 3 else 0])


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))


def _values(module: Any) -> int:
    """Values of a convolution's kernel, of one channel."""
    return math.prod(module.kernel_size)


def matrices_of(
    name: str, module: nn.Module, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    """The matrices of a layer that goes onto tiles, each read ``vectors`` times; ``data``: what it reads and
    makes."""
    if kind_of(module) is EXPERTS:
        experts = Experts.of(name, module)
        return [] if experts is None else experts.shapes(vectors, 1.0)
    if isinstance(module, nn.Linear):
        return [LayerShape(name, module.out_features, module.in_features, vectors)]
    if kind_of(module) is TRANSPOSED:
        in_, out = module.weight.shape  # type: ignore[misc]
        return [LayerShape(name, int(out), int(in_), vectors)]
    if _is_convolution(module):
        return _convolution_shapes(name, module, vectors, data)
    if isinstance(module, TURNED):
        out = module.out_channels * _values(module)
        return [LayerShape(name, out, module.in_channels, vectors, groups=module.groups)]
    if isinstance(module, nn.RNNBase):
        return _recurrent_shapes(name, module, vectors)
    if isinstance(module, nn.RNNCellBase):
        ih, hh = (f"{name}.weight_{kind}".lstrip(".") for kind in ("ih", "hh"))
        gates, width = (int(size) for size in module.weight_ih.shape)
        joins = (Join(ih, gates * vectors),)
        read = LayerShape(hh, gates, module.hidden_size, vectors, sources=(hh,), joins=joins)
        return [LayerShape(ih, gates, width, vectors), read]
    if isinstance(module, nn.Bilinear):
        out = module.out_features * module.in1_features
        return [LayerShape(name, out, module.in2_features, vectors)]
    if isinstance(module, nn.MultiheadAttention):
        return _attention_shapes(name, module, vectors)
    return []


def _recurrent_shapes(name: str, module: nn.RNNBase, vectors: int) -> list[LayerShape]:
    """A matrix for inputs and one for states in each layer and direction; a third where states are projected.

    What both make is added where states are read; the next layer reads the states of both directions.
    """
    shapes: list[LayerShape] = []
    below: tuple[str, ...] | None = None
    directions = ("", "_reverse") if module.bidirectional else ("",)
    for layer in range(module.num_layers):
        states = []
        for direction in directions:
            ih, hh, hr = (
                f"{name}.weight_{kind}_l{layer}{direction}".lstrip(".") for kind in ("ih", "hh", "hr")
            )
            gates, width = getattr(module, f"weight_ih_l{layer}{direction}").shape
            state = module.proj_size or module.hidden_size
            last = hr if module.proj_size else hh
            both = (state,) * len(below) if below is not None and len(below) > 1 else ()
            step = None if below is None else not module.bidirectional
            step = False if direction else step  # it reads the last step first
            shapes.append(
                LayerShape(
                    ih, int(gates), int(width), vectors, sources=below, concatenated=both, in_step=step
                )
            )
            joins = (Join(ih, int(gates) * vectors),)
            shapes.append(LayerShape(hh, int(gates), state, vectors, sources=(last,), joins=joins))
            if module.proj_size:
                shapes.append(LayerShape(hr, state, module.hidden_size, vectors, sources=(hh,)))
            states.append(last)
        below = tuple(states)
    return shapes


def _attention_shapes(name: str, module: nn.MultiheadAttention, vectors: int) -> list[LayerShape]:
    """Projections of queries, keys and values, in one matrix where they have one, and of the result."""
    width = module.embed_dim
    if module.in_proj_weight is not None:
        shapes = [LayerShape(f"{name}.in_proj".lstrip("."), 3 * width, width, vectors)]
    else:
        sizes = {"q_proj": width, "k_proj": module.kdim, "v_proj": module.vdim}
        shapes = [
            LayerShape(f"{name}.{part}".lstrip("."), width, int(size), vectors)
            for part, size in sizes.items()
        ]
        met = tuple(Join(shape.name, width * vectors) for shape in shapes[:2])
        shapes[2] = replace(shapes[2], joins=met)
    read = (shapes[-1].name,)
    return [*shapes, LayerShape(f"{name}.out_proj".lstrip("."), width, width, vectors, sources=read)]


def last_matrices(module: nn.Module, shapes: list[LayerShape]) -> tuple[str, ...]:
    """The matrices that make a module's outputs."""
    if isinstance(module, (nn.MultiheadAttention, nn.RNNCellBase)):
        return (shapes[-1].name,)
    if isinstance(module, nn.RNNBase):
        each = 3 if module.proj_size else 2
        directions = 2 if module.bidirectional else 1
        return tuple(shape.name for shape in shapes[each - 1 :: each][-directions:])
    return tuple(shape.name for shape in shapes)


def geometry_of(
    channels: int, kernel: Any, stride: Any, size_in: Any, size_out: Any, dilation: Any
) -> Convolution:
    """A convolution along one, two or three axes as that of an image.

    A line stands upright, one pixel wide; a volume is an image of its slices: each a row, all pixels side by
    side. So values, windows' sizes and vectors are right, and rows are handed on along the first axis.
    """

    def flat(sizes: Any) -> tuple[int, int]:
        first, *rest = (int(size) for size in sizes)
        return first, math.prod(rest)

    return Convolution(
        channels, flat(kernel), flat(stride), flat(size_in), flat(size_out), dilation=flat(dilation)
    )


def _convolution_shapes(
    name: str, module: Any, vectors: int, data: tuple[Tensor, Tensor] | None
) -> list[LayerShape]:
    groups, geometry = int(module.groups), None
    if data is not None:
        axes = len(module.kernel_size)
        geometry = geometry_of(
            int(module.in_channels), module.kernel_size, module.stride, tuple(data[0].shape[-axes:]),
            tuple(data[1].shape[-axes:]), module.dilation,
        )  # fmt: skip
    in_ = int(module.in_channels) * _values(module)
    return [LayerShape(name, int(module.out_channels), in_, vectors, geometry, groups=groups)]
