"""Where torch's graph meets the tiles: one autograd function for every analog layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from crossgrid.kernels.errors import ConfigError, InputError

from ..hosts.grid import TileGrid

#: what may be done with waiting pulses: attributes, and what ``Module.to`` and ``zero_grad`` call
HARMLESS = frozenset({
    "__get__", "__set__", "detach_", "requires_grad_", "dim", "is_floating_point", "is_complex",
    "to", "cpu", "cuda", "float", "double", "half", "bfloat16",
})  # fmt: skip

#: torch's names of images with their channels last, by the number of axes
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class PulsesWaiting(torch.Tensor):
    """The gradient of an ``AnalogContext``: it says that passes wait for an update, and holds no numbers.

    The tiles keep vectors, not a gradient matrix, so nothing can clip, scale or average it. Whoever tries
    (gradient clipping, another optimizer than ``AnalogSGD``) gets an error instead of a silent no-op.
    """

    grid: TileGrid  # and not the context, which holds this gradient

    def __new__(cls, context: AnalogContext) -> PulsesWaiting:
        waiting: PulsesWaiting = torch.Tensor._make_subclass(cls, torch.zeros_like(context.data))
        waiting.grid = context.grid
        return waiting

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        if name in HARMLESS:
            return super().__torch_function__(func, types, args, kwargs or {})
        waiting = _markers([*args, *(kwargs or {}).values()])
        if name in ("zero_", "_foreach_zero_"):
            for marker in waiting:
                marker.grid.forget_pending()
            return None
        raise ConfigError(
            f"{waiting[0].grid.spec.name}: {name} cannot act on the gradient of analog weights, which are "
            "pulsed vector by vector; give it the other parameters (those that are no cg.AnalogContext), and "
            "train with cg.AnalogSGD"
        )

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PulsesWaiting({self.grid.spec.name})"


def _markers(values: Any) -> list[PulsesWaiting]:
    """All waiting pulses among a function's arguments."""
    if isinstance(values, PulsesWaiting):
        return [values]
    if isinstance(values, (list, tuple)):
        return [marker for value in values for marker in _markers(value)]
    return []


class AnalogContext(torch.nn.Parameter):
    """Stands for a layer's analog weights among a model's parameters.

    Its value means nothing (the weights are on the tiles). It makes optimizers see the layer, and the
    layer's output require a gradient. After a backward pass its ``grad`` is ``PulsesWaiting``.
    """

    grid: TileGrid
    _waiting: PulsesWaiting | None

    def __new__(cls, grid: TileGrid) -> AnalogContext:
        context: AnalogContext = torch.Tensor._make_subclass(cls, torch.ones(()), True)
        context.grid, context._waiting = grid, None
        return context

    def waiting(self) -> PulsesWaiting:
        """The gradient after a backward pass; one serves for all, as it holds no numbers."""
        if self._waiting is None or self._waiting.grid is not self.grid:
            self._waiting = PulsesWaiting(self)
        return self._waiting

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AnalogContext({self.grid.spec.name})"


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


def as_array(x: Tensor) -> np.ndarray:
    """The tensor's values as a float32 array, without a copy where possible; images' channels may be last."""
    require_numbers(x)
    x = x.detach()
    if x.dtype is not torch.float32 or not x.is_cpu:
        x = x.to("cpu", torch.float32)
    layout = CHANNELS_LAST.get(x.dim())
    if layout is not None and x.is_contiguous(memory_format=layout):
        return x.numpy()
    return x.contiguous().numpy()


def as_tensor(values: np.ndarray, like: Tensor) -> Tensor:
    """A float32 array as a tensor of the type and on the device of another, without a copy where possible."""
    x = torch.from_numpy(values)
    return x if like.dtype is torch.float32 and like.is_cpu else x.to(like.device, like.dtype)


def require_numbers(x: Tensor) -> None:
    """An error for a tensor that has a shape only."""
    if x.is_meta:
        raise InputError("a tensor on the meta device holds no numbers; analog tiles compute with values")
