"""Devices whose step is interpolated between measured nodes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..config import config, field
from ..errors import ConfigError
from ..rng import numpy_math as m
from .base import Draws, Population, PulsedDevice


@config
class PiecewiseStepDevice(PulsedDevice):
    """Relative step sizes at nodes equally spaced over a device's range, linear between them."""

    parameters: ClassVar[tuple[str, ...]] = (
        "min_bound", "max_bound", "dwmin_up", "dwmin_down", "nodes_per_weight",
    )  # fmt: skip

    piecewise_up: list[float] = field(factory=lambda: [1.0])
    """Up steps in units of ``dw_min`` at nodes that divide the device's range equally, from the lower bound
    to the upper."""
    piecewise_down: list[float] = field(factory=lambda: [1.0])
    """Down steps in units of ``dw_min`` at the same nodes; as many."""
    write_noise_std: float = field(0.0, at_least=0.0)
    """Noise of what is seen of the weight after each write, its standard deviation in units of ``dw_min``; 0:
    none."""
    apply_write_noise_on_set: bool = field(True)
    """Whether setting the weights draws that noise too, or only pulses do."""

    def validate(self) -> None:
        PulsedDevice.validate(self)
        up, down = len(self.piecewise_up), len(self.piecewise_down)
        if up == 0:
            raise ConfigError("PiecewiseStepDevice.piecewise_up is empty; it must have at least one node")
        if up != down:
            raise ConfigError(
                f"PiecewiseStepDevice.piecewise_down has {down} nodes and piecewise_up {up}; "
                "they must have as many"
            )
        if min(self.piecewise_up + self.piecewise_down) < 0.0:
            raise ConfigError("PiecewiseStepDevice.piecewise_up and piecewise_down must not be negative")

    @property
    def granularity(self) -> float:
        """The up step in the middle of the range."""
        middle = self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]
        return middle if middle > 0.0 else self.dw_min

    def constants(self) -> tuple[float, ...]:
        nodes = zip(self.piecewise_up, self.piecewise_down, strict=True)
        return (self.dw_min_std, *(value for node in nodes for value in node))

    def draw(self, draws: Draws) -> Population:
        drawn = PulsedDevice.draw(self, draws)
        width = drawn["max_bound"] - drawn["min_bound"]
        last = np.float32(len(self.piecewise_up) - 1)
        moves = width > 1e-30  # else its inverse overflows
        drawn["nodes_per_weight"] = np.where(moves, last / np.where(moves, width, 1.0), 0.0)
        return drawn

    @staticmethod
    def step(w: Any, up: Any, n: Any, xi: Any, p: Any, c: Any) -> Any:
        """s L(w) (1 + noise); L = v_0 + sum_k (v_k+1 - v_k) clip(z - k, 0, 1), z in nodes from b_min."""
        z = (w - p.min_bound) * p.nodes_per_weight
        level = m.where(up, c[1], c[2])
        for k in m.static_range(1, (len(c) - 1) // 2):
            rise = m.where(up, c[2 * k + 1] - c[2 * k - 1], c[2 * k + 2] - c[2 * k])
            level = level + rise * m.minimum(m.maximum(z - (k - 1.0), 0.0), 1.0)
        change = m.where(up, p.dwmin_up, p.dwmin_down) * level * (1.0 + c[0] * xi)
        change = m.where(p.min_bound == p.max_bound, 0.0, change)
        moved = m.where(up, w + change, w - change)
        return m.minimum(m.maximum(moved, p.min_bound), p.max_bound)
