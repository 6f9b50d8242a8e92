"""Devices that are read against a reference: what is seen is w = v - ref."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Draws, Population

Mask = Any


def reference_values(device: Any, draws: Draws, first: int, symmetry_point: Array) -> Array:
    """Each device's reference, with its symmetry point if that is to be subtracted."""
    reference = np.float32(device.reference_mean) + np.float32(device.reference_std) * draws.normal(first)
    return reference + symmetry_point if device.subtract_symmetry_point else reference


def crosses_zero(drawn: Population) -> Mask:
    """Whether 0 lies inside a device's bounds."""
    return (drawn["min_bound"] < 0) & (drawn["max_bound"] > 0)


def shifted(drawn: Population, reference: Array) -> Population:
    """``drawn`` with its bounds moved from v to w."""
    moved = {name: drawn[name] - reference for name in ("min_bound", "max_bound")}
    return {**drawn, **moved, "reference": reference}
