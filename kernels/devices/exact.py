"""Weights that follow the gradient exactly: the digital reference."""

from __future__ import annotations

from typing import Any

from ..config import Config, config


@config
class FloatingPointDevice(Config):
    """Plain stochastic gradient descent in float32, without bounds or noise."""

    def build(self, *args: Any) -> Any:
        """The cell of such weights (arguments of ``build_cell``)."""
        from .exact_cell import ExactCell

        return ExactCell(self, *args)


@config
class IdealDevice(FloatingPointDevice):
    """A device that follows the gradient exactly: every other part of a tile may still be imperfect."""
