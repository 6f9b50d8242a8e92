"""Whether a sample has the distribution of another one, which is known by its quantiles."""

from __future__ import annotations

import math

import numpy as np


def distance(
    sample: np.ndarray, quantiles: np.ndarray, levels: np.ndarray | None = None, slack: float = 0.0
) -> float:
    """Largest distance of the sample's distribution from that of the quantiles, at the quantiles.

    ``levels`` are the quantiles' (evenly spaced from 0 to 1 by default). Values within ``slack`` of a
    quantile are equal to it: on a grid, both sides may differ in the last bit.
    """
    ordered = np.sort(sample.ravel())
    if levels is None:
        levels = np.linspace(0.0, 1.0, quantiles.size)
    upper = np.searchsorted(ordered, quantiles + slack, side="right") / ordered.size
    lower = np.searchsorted(ordered, quantiles - slack, side="left") / ordered.size
    return float(np.maximum(levels - upper, lower - levels).clip(0.0).max())


def critical(n: int, m: int, comparisons: int = 1) -> float:
    """The distance that samples of n and m reach with p = 0.001 in one of ``comparisons`` (two-sample KS)."""
    return math.sqrt(-math.log(0.001 / comparisons / 2) / 2 * (n + m) / (n * m))
