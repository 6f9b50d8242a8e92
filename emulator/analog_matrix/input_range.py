"""The learned range of a layer's inputs: clip to it before the DAC, scale back after the ADC."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..config.rpu import InputRangeParameter


class ClipToRange(torch.autograd.Function):
    """x / r clipped to [-1, 1]; the gradient of the range pulls it out where clipped inputs push.

    With g the gradient of the clipped input: dL/dr = sum of min(g, 0) over x >= r minus sum of max(g, 0)
    over x <= -r, times r and a factor where relative, plus a decay while few inputs are clipped. The
    input's own gradient passes unmasked (Rasch et al., Nat. Commun. 14, 5282, 2023).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, r: Tensor, parameter: InputRangeParameter) -> Tensor:
        ctx.save_for_backward(x, r)
        ctx.parameter = parameter
        return torch.clamp(x, -r.item(), r.item()) / r

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor, None]:
        x, r = ctx.saved_tensors
        p: InputRangeParameter = ctx.parameter
        g = d / r
        grad = g.clamp(max=0)[x >= r].sum() - g.clamp(min=0)[x <= -r].sum()
        if p.gradient_relative:
            grad = grad * r * p.gradient_scale
        if p.decay > 0:
            inside = (x.abs() < r).float().mean()
            grad = grad + p.decay * r * (inside > p.input_min_percentage)
        return g, grad.reshape(r.shape), None


class InputRange(nn.Module):
    """Clips inputs to the learned range; calibrates it over the first training batches."""

    value: nn.Parameter
    batches: Tensor

    def __init__(self, parameter: InputRangeParameter) -> None:
        super().__init__()
        self.parameter = parameter
        self.value = nn.Parameter(torch.tensor([parameter.init_value]))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x / r in [-1, 1], and r, which the outputs are to be multiplied by."""
        if self.training and int(self.batches) < self.parameter.init_from_data:
            self._calibrate(x)
        r = self.value.clone()  # a layer may be read, and calibrated, again before this pass goes backward
        y: Tensor = ClipToRange.apply(x, r, self.parameter)
        return y, r

    @torch.no_grad()
    def _calibrate(self, x: Tensor) -> None:
        """r becomes the plain running mean of a multiple of the inputs' standard deviation."""
        spread = self.parameter.init_std_alpha * x.std() if x.numel() > 1 else x.abs().max()
        if spread > 0:
            seen = int(self.batches)
            self.value.copy_((self.value * seen + spread) / (seen + 1))
            self.batches += 1
