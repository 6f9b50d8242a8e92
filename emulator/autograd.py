"""Where torch's graph meets the tiles: one autograd function for every analog layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .grid import TileGrid


class AnalogContext(torch.nn.Parameter):
    """Stands for a layer's analog weights among a model's parameters.

    Its value means nothing (the weights are on the tiles). It makes optimizers see the layer, and the
    layer's output require a gradient.
    """

    grid: TileGrid

    def __new__(cls, grid: TileGrid) -> AnalogContext:
        context: AnalogContext = torch.Tensor._make_subclass(cls, torch.ones(()), True)
        context.grid = grid
        return context

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AnalogContext({self.grid.spec.name})"


class AnalogProduct(torch.autograd.Function):
    """y[vectors, out] = W x on the tiles; backward z = W^T d on the same tiles, and d kept for the update."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, context: AnalogContext, keep: bool) -> Tensor:
        y_BO, record = context.grid.forward(as_array(x), keep)
        ctx.record, ctx.grid, ctx.shape = record, context.grid, tuple(x.shape)
        return torch.from_numpy(y_BO)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, None, None]:
        shape = ctx.shape if ctx.needs_input_grad[0] else None
        z = ctx.grid.backward(ctx.record, as_array(d), shape)
        return (None if z is None else torch.from_numpy(z)), None, None


def analog_product(x: Tensor, context: AnalogContext) -> Tensor:
    """The tiles' product with x[B, in] or images x[B, channels, ...], as rows [vectors, out]."""
    y: Tensor = AnalogProduct.apply(x, context, torch.is_grad_enabled())
    return y


def as_array(x: Tensor) -> np.ndarray:
    """The tensor's values as a float32 array, without a copy where possible."""
    return x.detach().to("cpu", torch.float32).contiguous().numpy()
