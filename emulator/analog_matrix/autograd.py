"""Where torch's graph meets the tiles that learn by pulses: one autograd function for every layer."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from .conversions import as_array, as_images, as_rows, as_tensor, as_values, each_output, long_rows
from .waiting import OneMatrix, PulsesWaiting
from .weights import AnalogContext

SHORT = 1 << 20  # outputs that numpy is done with before other threads of torch's have woken up


class AnalogProduct(torch.autograd.Function):
    """y[vectors, out] = a W x + b; backward z = W^T a d on the same tiles, and d kept for their update.

    Tiles compute in float32, wherever they are; features x[B, in] or images x[B, channels, ...] may be of any
    floating type, on any device, and y is of the same.

    The bias b and the factor a, of all outputs or of each, are digital. To compute with them here takes half
    as long as in nodes of their own in torch's graph; so does to make images y[B, out, *positions] of rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        context: AnalogContext,
        bias: Tensor | None,
        how: tuple[OneMatrix, Tensor | None, tuple[int, ...] | None, bool],
    ) -> Tensor:
        """``how``: the tiles, the factor, the images' positions and whether to keep what goes backward; torch
        looks at every argument for itself, and that takes as long as a call."""
        tiles, scale, positions, keep = how
        of_input, learn, *_ = ctx.needs_input_grad
        y_BO, record = tiles.grid.forward(
            as_values(x, tiles.grid.takes_tensors), keep and (of_input or learn), learn=keep and learn
        )
        ctx.record, ctx.context, ctx.tiles, ctx.shape = record, context, tiles, tuple(x.shape)
        ctx.scale_O = None if scale is None else each_output(scale, tiles.grid.spec.out_size)
        ctx.images = positions is not None
        return _outputs(y_BO, x, bias, scale, positions)

    @staticmethod
    def read(
        x: Tensor, tiles: OneMatrix, bias: Tensor | None, scale: Tensor | None,
        positions: tuple[int, ...] | None,
    ) -> Tensor:  # fmt: skip
        """The same product where nobody differentiates, in two thirds of the time."""
        y_BO, _ = tiles.grid.forward(as_values(x, tiles.grid.takes_tensors), keep=False)
        return _outputs(y_BO, x, bias, scale, positions)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> NoReturn:
        raise_forward_mode(ctx.context.tiles.label)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Any:
        context: AnalogContext = ctx.context
        tiles: OneMatrix = ctx.tiles
        of_input, learns, of_bias, _ = ctx.needs_input_grad
        d = as_rows(d) if ctx.images else d
        gradient = z = None
        if ctx.record is not None:
            shape = ctx.shape if of_input else None
            d_BO = as_values(d, tiles.grid.takes_tensors)
            z_array, kept = tiles.grid.backward(ctx.record, d_BO, shape, ctx.scale_O, keep=learns)
            gradient = None if kept is None else PulsesWaiting([(tiles, kept)], context)
            z = None if z_array is None else once(as_tensor(z_array, d), d, context)
        return z, gradient, d.sum(0) if of_bias else None, None


def _outputs(
    y_BO: Any, x: Tensor, bias: Tensor | None, scale: Tensor | None, positions: tuple[int, ...] | None
) -> Tensor:
    """a y + b as a tensor like ``x``, in the memory of y; as images of ``positions``, if any."""
    if isinstance(y_BO, np.ndarray) and y_BO.size < SHORT and x.dtype is torch.float32 and x.is_cpu:
        if scale is not None:
            rows, a = long_rows(y_BO, each_output(scale, y_BO.shape[1]))
            rows *= a
        if bias is not None:
            rows, b = long_rows(y_BO, as_array(bias))
            rows += b
        scale = bias = None
    y = as_tensor(y_BO if positions is None else as_images(y_BO, positions), x)
    if positions is not None and not isinstance(y_BO, np.ndarray):
        y = y.detach()  # no view: what a function makes must be none, or nobody may write to it in place
    if scale is not None:
        y = y.mul_(_along(scale.to(y), positions))
    if bias is not None:
        y = y.add_(_along(bias if bias.dtype is y.dtype else bias.to(y.dtype), positions))
    return y


def _along(of_output: Tensor, positions: tuple[int, ...] | None) -> Tensor:
    """A number of each output, or of all, for outputs that have ``positions`` behind them."""
    return of_output if positions is None else of_output.view(-1, *[1] * len(positions))


class Once(torch.autograd.Function):
    """Values that came from the tiles and depend on others: their own gradient is refused."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, name: str, *depends: Tensor) -> Tensor:
        ctx.name = name
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise ConfigError(
            f"{ctx.name}: analog tiles read W x, W^T d: a gradient has no gradient of its own through them; "
            "keep such layers digital (exclude_modules=), or penalise differences of outputs"
        )


def once(values: Tensor, d: Tensor, weight: Tensor) -> Tensor:
    """What a backward pass computed from ``d`` and the weights, to be differentiated no further."""
    if not torch.is_grad_enabled():
        return values
    name = weight.tiles.label if isinstance(weight, AnalogContext) else "analog tiles"
    again: Tensor = Once.apply(values, name, d, weight)
    return again


def raise_forward_mode(name: str) -> NoReturn:
    """The error of a derivative that is to be computed along with the outputs."""
    raise ConfigError(
        f"{name}: analog tiles have no forward mode of differentiation (jvp, forward_ad); take backward() or "
        "torch.autograd.grad"
    )
