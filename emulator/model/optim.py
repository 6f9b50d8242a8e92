"""AnalogSGD: pulsed updates on the tiles, ordinary stochastic gradient descent on everything digital."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.weights import AnalogContext


class AnalogSGD(torch.optim.SGD):
    """Stochastic gradient descent for models with analog layers.

    Digital parameters are updated as ``torch.optim.SGD`` does, with ``momentum``, ``dampening``,
    ``weight_decay`` and ``nesterov``. Analog weights take the pulsed update of their devices at the
    learning rate, vector by vector; tiles hold no momentum, so those arguments do not act on them.

    Args:
        params: the parameters or parameter groups of a model.
        lr: the learning rate, finite and not negative.

    Raises:
        ConfigError: the learning rate is negative, NaN or infinite (also when a scheduler sets it so).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check_rate(lr)
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov)
        for group in self.param_groups:
            _check_rate(group["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters once; what waited for the tiles' update is consumed by it."""
        for group in self.param_groups:
            _check_rate(group["lr"])
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        waiting = [(context, lr) for context, lr in self._contexts() if context.grad is not None]
        for context, _ in waiting:
            context.grad = None  # torch's rule is for numbers
        super().step()
        for context, lr in waiting:
            context.grid.update(lr)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, and what went backward on the tiles and was not applied."""
        for context, _ in self._contexts():
            context.grad = None
            context.grid.forget_pending()
        super().zero_grad(set_to_none)

    def _contexts(self) -> Iterable[tuple[AnalogContext, float]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(parameter, AnalogContext):
                    yield parameter, float(group["lr"])


def _check_rate(lr: Any) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float, Tensor)):
        raise ConfigError(f"learning rate lr = {lr!r} must be a number")
    if not math.isfinite(lr) or lr < 0:
        raise ConfigError(f"learning rate lr = {float(lr)} must be finite and not negative")
