"""The learned range of a layer's inputs: they are clipped to it before the DAC, scaled back after the ADC."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.kernels.analog_mvm.parameters import BoundManagementType, IOParameters, NoiseManagementType
from crossgrid.kernels.errors import ConfigError

from ..config.rpu import InputRangeParameter
from .joined import Seen


def require_managed(name: str, parameter: InputRangeParameter, forward: IOParameters) -> None:
    """Refuse to manage clipped outputs where they are managed already, or cannot clip.

    Raises:
        ConfigError: noise or bound management is on, or the forward periphery is perfect.
    """
    if not (parameter.enable and parameter.manage_output_clipping):
        return
    found = forward.noise_management, forward.bound_management
    if forward.perfect or found != (NoiseManagementType.NONE, BoundManagementType.NONE):
        how = "a perfect forward read" if forward.perfect else " and ".join(str(each) for each in found)
        raise ConfigError(
            f"{name}: input_range.manage_output_clipping = True with {how}: set forward.is_perfect = False, "
            "noise_management and bound_management to NONE, or manage_output_clipping to False"
        )


def range_gradient(x: Tensor, z: Tensor, r: Any, parameter: InputRangeParameter, within: Any = 1.0) -> Tensor:
    """dL/dr [1] of inputs x that were clipped to +-r, from the gradient z of the clipped inputs.

    It pulls the range out where clipped inputs push: the sum of min(z, 0) over x >= r minus the sum of
    max(z, 0) over x <= -r, times r and a factor where relative, plus a decay while few inputs are clipped
    (Rasch et al., Nat. Commun. 14, 5282, 2023). Where only the fraction ``within`` of all results is within
    the ADC's bound, and that is managed, (1 - within) r pulls it out too.

    ``r`` and ``within`` are numbers, or tensors of one on a card, where nobody waits for them.
    """
    if isinstance(r, Tensor):
        above, below = z.clamp(max=0).where(x >= r, 0.0), z.clamp(min=0).where(x <= -r, 0.0)
    else:
        above, below = z.clamp(max=0)[x >= r], z.clamp(min=0)[x <= -r]
    gradient = above.sum() - below.sum()
    if parameter.gradient_relative:
        gradient = gradient * r * parameter.gradient_scale
    if parameter.manage_output_clipping:
        gradient = gradient - (1.0 - within) * r * (within < parameter.output_min_percentage)
    if parameter.decay > 0:
        inside = (x.abs() < r).float().mean()
        gradient = gradient + parameter.decay * r * (inside > parameter.input_min_percentage)
    return gradient.reshape(1)


class InputRange(nn.Module):
    """The range that inputs are clipped to: calibrated over the first training batches, then learned."""

    value: nn.Parameter
    batches: Tensor

    def __init__(self, parameter: InputRangeParameter) -> None:
        super().__init__()
        self.parameter = parameter
        self.value = nn.Parameter(torch.tensor([parameter.init_value]))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self._enough: Seen | None = None  # the counter, when it was known to have counted enough

    def forward(self, x: Tensor) -> Tensor:
        """The present range r [1]; a mini-batch of training calibrates it first."""
        if self.training and not (self._enough is not None and self._enough.is_(self.batches)):
            if int(self.batches) < self.parameter.init_from_data:
                self._calibrate(x)
            else:
                self._enough = Seen.of(self.batches)
        return self.value

    def __getstate__(self) -> dict[str, Any]:
        """Copies know nothing of this counter's memory."""
        return {**super().__getstate__(), "_enough": None}

    @torch.no_grad()
    def _calibrate(self, x: Tensor) -> None:
        """r becomes the plain running mean of a multiple of the inputs' standard deviation."""
        spread = self.parameter.init_std_alpha * x.std() if x.numel() > 1 else x.abs().max()
        if spread > 0:
            seen = int(self.batches)
            self.value.copy_((self.value * seen + spread) / (seen + 1))
            self.batches += 1
