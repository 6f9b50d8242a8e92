"""Torch's optimizers that also pulse tiles."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch

from crossgrid.emulator.analog_matrix.weights import AnalogContext, TrainedWeight
from crossgrid.emulator.model.optim import PulsedSteps

from ..missing import absent
from ..simulator.tiles.hardware_aware import count_step
from .context import AnalogContext as OnTile


class AnalogOptimizerMixin(PulsedSteps):
    """What an optimizer is given to train tiles: pulses for those that learn by them."""

    def regroup_param_groups(self, *_: Any) -> None:
        """Give each weight on a tile a group of its own, with the settings that it had."""
        groups: list[dict[str, Any]] = []
        for group in self.param_groups:
            digital = [each for each in group["params"] if not isinstance(each, OnTile)]
            analog = [each for each in group["params"] if isinstance(each, OnTile)]
            groups += [{**group, "params": digital}] if digital else []
            groups += [{**group, "params": [each]} for each in analog]
        self.param_groups = groups

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters once."""
        loss = super().step(closure)
        for group in self.param_groups:
            self._tell(group, float(group["lr"]))
            for parameter in group["params"]:
                if isinstance(parameter, TrainedWeight):
                    count_step(parameter)
        return loss

    def set_learning_rate(self, learning_rate: float = 0.1) -> None:
        """Set the rate of all groups."""
        for group in self.param_groups:
            group["lr"] = learning_rate
            self._tell(group, learning_rate)

    def _tell(self, group: dict[str, Any], rate: float) -> None:
        """Let tiles know the rate, for updates that nobody's step makes."""
        for parameter in group["params"]:
            if isinstance(parameter, AnalogContext):
                parameter.tiles.learning_rate = rate  # type: ignore[attr-defined]


class AnalogSGD(AnalogOptimizerMixin, torch.optim.SGD):
    """Stochastic gradient descent; tiles are pulsed at its rate, without momentum."""


class AnalogAdam(AnalogOptimizerMixin, torch.optim.Adam):
    """Adam for digital parameters; tiles are pulsed at its rate."""


class AnalogOptimizer(AnalogOptimizerMixin):
    """``AnalogOptimizer(torch.optim.Adam, params, lr=...)``: any torch optimizer that also pulses tiles."""

    def __new__(cls, optimizer_cls: Any, *_: Any, **__: Any) -> Any:
        return super().__new__(analog_class(optimizer_cls))

    def __init__(self, optimizer_cls: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


@functools.cache
def analog_class(optimizer_cls: Any) -> Any:
    """The class of analog optimizers that are an ``optimizer_cls`` otherwise."""
    return types.new_class(f"Analog{optimizer_cls.__name__}", (AnalogOptimizer, optimizer_cls))


__getattr__ = absent(__name__)
