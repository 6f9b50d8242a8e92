"""A learned input range before tiles that learn by pulses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossgrid.emulator.analog_matrix.input_range import InputRange, range_gradient
from crossgrid.emulator.config.rpu import InputRangeParameter


class Ranged(InputRange):
    """The range of a pulsed tile's inputs."""


class RangedInput(torch.autograd.Function):
    """x clipped to +-r and divided by it; what goes back is that of inputs that were not clipped.

    Behind the tile outputs are multiplied by r, so the gradient that arrives is r times that of the clipped
    inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, r: Tensor, parameter: InputRangeParameter) -> Tensor:
        ctx.r, ctx.parameter = r.item(), parameter
        ctx.save_for_backward(x)
        return torch.clamp(x, -ctx.r, ctx.r) / ctx.r

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (x,) = ctx.saved_tensors
        z = gradient / ctx.r
        of_r = range_gradient(x, z, ctx.r, ctx.parameter) if ctx.needs_input_grad[1] else None
        return z, of_r, None
