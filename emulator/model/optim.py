"""AnalogSGD: pulsed updates on the tiles, ordinary stochastic gradient descent on everything digital."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from crossgrid.kernels.errors import ConfigError

from ..analog_matrix.waiting import PulsesWaiting
from ..analog_matrix.weights import AnalogContext
from ..hosts.executor import Executor
from ..hosts.interrupts import Uninterrupted


class PulsedSteps(torch.optim.Optimizer):
    """What a torch optimizer is given to pulse analog weights; it updates all other parameters itself.

    A mixin: ``class AnalogAdam(PulsedSteps, torch.optim.Adam)``.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train further parameters; layers among them keep what goes backward for this optimizer."""
        super().add_param_group(param_group)
        self._hold(self.param_groups[-1])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            self._hold(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters once; what waited for the tiles' update is consumed by it."""
        for group in self.param_groups:
            _check_rate(group["lr"])
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        waiting = [
            (context, _pulses(context, gradient), lr)
            for context, lr in self._contexts()
            if (gradient := context.grad) is not None
        ]
        for context, _, _ in waiting:
            context.grad = None  # torch's rule is for numbers
        super().step()
        with Uninterrupted():  # or some layers would have learnt, and others not
            on_cards: dict[Executor, None] = {}  # in the order of their layers
            for _, gradient, lr in waiting:
                for tiles, passes in gradient.by_matrix():
                    tiles.grid.update(lr, passes)
                    if tiles.grid.executor.on_card:
                        on_cards[tiles.grid.executor] = None
            for executor in on_cards:
                executor.make_updates()
        return loss

    def _hold(self, group: dict[str, Any]) -> None:
        for parameter in group["params"]:
            if isinstance(parameter, AnalogContext):
                parameter.learners.add(self)

    def _contexts(self) -> Iterable[tuple[AnalogContext, float]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(parameter, AnalogContext):
                    yield parameter, float(group["lr"])


class AnalogSGD(PulsedSteps, torch.optim.SGD):
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


def end_digital_steps(model: nn.Module, executor: Executor) -> Any:
    """Let an executor know of every step of an optimizer that trains the model digitally alone.

    ``PulsedSteps`` tells of its own. Returns torch's handle, whose ``remove`` ends it.
    """

    def stepped(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        if any(isinstance(p, AnalogContext) for p in trained):
            return
        own = set(map(id, model.parameters()))
        if any(id(p) in own for p in trained):
            executor.make_updates()

    return register_optimizer_step_post_hook(stepped)


def _pulses(context: AnalogContext, gradient: Tensor) -> PulsesWaiting:
    """The passes that wait to be applied; an error where some are gone, or where it is no such gradient."""
    if not isinstance(gradient, PulsesWaiting):
        raise ConfigError(
            f"{context.tiles.label}: the gradient of analog weights was replaced by numbers, which cannot be "
            "pulsed; set it to what a backward pass gave, or to None"
        )
    if gradient.incomplete:
        raise ConfigError(
            f"{context.tiles.label}: several backward passes went by while no optimizer held the layer, and "
            "the last alone was kept; make cg.AnalogSGD before the first backward pass, or call zero_grad() "
            "first"
        )
    return gradient


def _check_rate(lr: Any) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float, Tensor)):
        raise ConfigError(f"learning rate lr = {lr!r} must be a number")
    if not math.isfinite(lr) or lr < 0:
        raise ConfigError(f"learning rate lr = {float(lr)} must be finite and not negative")
