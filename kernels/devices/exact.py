"""Weights that follow the gradient exactly: the digital reference."""

from __future__ import annotations

from ..config import Config, config


@config
class FloatingPointDevice(Config):
    """Plain stochastic gradient descent in float32, without bounds or noise."""


@config
class IdealDevice(FloatingPointDevice):
    """A device that follows the gradient exactly: every other part of a tile may still be imperfect."""
