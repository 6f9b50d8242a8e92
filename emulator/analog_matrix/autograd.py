"""Where torch's graph meets the tiles: one autograd function for every analog layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .conversions import as_array, as_tensor
from .weights import AnalogContext


class AnalogProduct(torch.autograd.Function):
    """y[vectors, out] = W x + b; backward z = W^T d on the same tiles, and d kept for their update.

    The bias b is digital. To add it here takes half as long as a node of its own in torch's graph.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, context: AnalogContext, bias: Tensor | None, keep: bool) -> Tensor:
        y_BO, record = context.grid.forward(as_array(x), keep)
        ctx.record, ctx.context, ctx.shape = record, context, tuple(x.shape)
        y = as_tensor(y_BO, x)
        if bias is None:
            return y
        return y.add_(bias) if y.dtype is bias.dtype else y + bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        context: AnalogContext = ctx.context
        grid, learns = context.grid, ctx.needs_input_grad[1]
        if learns and context.grad is None:
            grid.forget_pending()  # whoever cleared the gradient (model.zero_grad) meant these too
            context.grad = context.waiting()
        shape = ctx.shape if ctx.needs_input_grad[0] else None
        z = grid.backward(ctx.record, as_array(d), shape)
        if not learns:
            grid.forget(ctx.record)
        of_bias = d.sum(0) if ctx.needs_input_grad[2] else None
        return (None if z is None else as_tensor(z, d)), None, of_bias, None


def analog_product(x: Tensor, context: AnalogContext, bias: Tensor | None) -> Tensor:
    """The tiles' product with x[B, in] or images x[B, channels, ...], plus a bias: rows [vectors, out].

    Tiles compute in float32, in processes of their own; x may be of any floating type, on any device, and
    the product is of the same.
    """
    y: Tensor = AnalogProduct.apply(x, context, bias, torch.is_grad_enabled())
    return y
