"""All ways in which pairs of devices can bear a weight, as the points of a unit cube.

A strategy is a table: the conductances of each pair at equally spaced weights. Three kinds of coordinates,
each from 0 to 1, tell one: which factor a pair has, where that is open; how much of the conductance range the
largest weight takes; and, at each weight of the table, which part of it a pair bears and how high its two
devices lie. Whatever the point, the pairs' differences add up to the weight and no conductance is out of
range, so that a search needs no constraints. After Mackin et al., "Optimised weight programming for analogue
memory-based deep neural networks", Nature Communications 13, 3765 (2022).

P in a shape: pairs. K: weights of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from ..noise.custom_pair import CustomPairConductanceConverter

Floats = NDArray[np.float64]
LEAST_RANGE = 0.05  # of the pairs' range, that the largest weight takes at least
MOST_PAIRS = 8


@dataclass(frozen=True)
class StrategySpace:
    """What is given of a strategy; the rest is open.

    Attributes:
        factors: the pairs' factors in the weight, without unit; None: open.
        g_min, g_max: range of a device in µS.
        bins: weights of the table from zero to the largest.
        symmetric: whether a weight and its negative swap the devices of each pair.
        whole_range: whether the largest weight takes the pairs' whole range.
        factor_range: least and largest factor, where one is open.
        overshoot_us: how far a target may lie out of range before it is clipped to it.

    Raises:
        ConfigError: there is no such strategy.
    """

    factors: tuple[float | None, ...]
    g_min: float
    g_max: float
    bins: int = 6
    symmetric: bool = True
    whole_range: bool = False
    factor_range: tuple[float, float] = (0.1, 5.0)
    overshoot_us: float = 0.0

    def __post_init__(self) -> None:
        known = [factor for factor in self.factors if factor is not None]
        if not 1 <= len(self.factors) <= MOST_PAIRS or any(not factor > 0.0 for factor in known):
            raise ConfigError(
                f"factors = {list(self.factors)} must hold 1 to {MOST_PAIRS} numbers above 0 or None, "
                "one a pair"
            )
        if not self.g_min < self.g_max:
            raise ConfigError(f"g_min = {self.g_min:g} µS must be below g_max = {self.g_max:g} µS")
        if self.bins < 2:
            raise ConfigError(f"bins = {self.bins} must be at least 2: a weight of zero and the largest")
        if not 0.0 < self.factor_range[0] <= self.factor_range[1]:
            raise ConfigError(f"factor_range = {self.factor_range} must ascend from above 0")

    @property
    def open_factors(self) -> int:
        """How many factors are coordinates."""
        return self.factors.count(None)

    @property
    def places(self) -> int:
        """Weights at which a strategy has coordinates."""
        return self.bins if self.symmetric else 2 * self.bins - 1

    @property
    def shared_places(self) -> int:
        """Weights that pairs share as they like: at zero they bear none where it is symmetric."""
        return self.places - 1 if self.symmetric else self.places

    @property
    def dimensions(self) -> int:
        """Coordinates of a strategy."""
        pairs = len(self.factors)
        of_tables = (pairs - 1) * self.shared_places + pairs * self.places
        return self.open_factors + (not self.whole_range) + of_tables


def converter_at(space: StrategySpace, point: Sequence[float] | Floats) -> CustomPairConductanceConverter:
    """The strategy at ``point`` [``space.dimensions``], each coordinate from 0 to 1.

    Raises:
        ConfigError: the point has another number of coordinates.
    """
    rest = np.asarray(point, float)
    if rest.shape != (space.dimensions,):
        raise ConfigError(f"a point of {rest.shape} coordinates; this space has {space.dimensions}")
    least, most = space.factor_range
    chosen = iter(least + rest[: space.open_factors] * (most - least))
    factors_P = [float(next(chosen)) if factor is None else float(factor) for factor in space.factors]
    rest = rest[space.open_factors :]
    range_us = sum(factors_P) * (space.g_max - space.g_min)
    if not space.whole_range:
        range_us *= LEAST_RANGE + (1.0 - LEAST_RANGE) * rest[0]
        rest = rest[1:]
    w_us_K = range_us * np.linspace(0.0 if space.symmetric else -1.0, 1.0, space.places)
    pairs, shared = len(factors_P), space.shared_places
    shares_PK = rest[: (pairs - 1) * shared].reshape(pairs - 1, shared)
    if space.symmetric:
        shares_PK = np.pad(shares_PK, ((0, 0), (1, 0)), constant_values=0.5)  # nothing at a weight of zero
    levels_PK = rest[(pairs - 1) * shared :].reshape(pairs, space.places)
    tables = pair_tables(w_us_K, factors_P, shares_PK, levels_PK, space)
    return CustomPairConductanceConverter(
        f_lst=factors_P,
        g_lst=[table_K.tolist() for table_K in (_mirrored(tables) if space.symmetric else tables)],
        g_max=space.g_max,
        g_min=space.g_min,
        invertibility_test=False,  # an overshoot that is clipped bends the tables
    )


def pair_tables(
    w_us_K: Floats, factors_P: Sequence[float], shares_PK: Floats, levels_PK: Floats, space: StrategySpace
) -> list[Floats]:
    """Conductances [µS] of the devices, plus and minus of each pair in turn, at the weights ``w_us_K``.

    What later pairs can bear bounds what a pair must and may bear of the rest; its share, 0 to 1, lies
    between these bounds, and the last pair bears what is left. The level, 0 to 1, lies between the lowest and
    the highest place at which the pair's difference fits into the range.
    """
    span = space.g_max - space.g_min
    rest_K, tables = w_us_K, []
    for pair, factor in enumerate(factors_P):
        later = span * sum(factors_P[pair + 1 :])
        if pair + 1 < len(factors_P):
            low_K = np.maximum(rest_K - later, -factor * span)
            high_K = np.minimum(rest_K + later, factor * span)
            borne_K = low_K + shares_PK[pair] * (high_K - low_K)
        else:
            borne_K = rest_K
        rest_K = rest_K - borne_K
        difference_K = borne_K / factor
        lowest_K = space.g_min + np.maximum(difference_K, 0.0) - space.overshoot_us
        highest_K = space.g_max + np.minimum(difference_K, 0.0) + space.overshoot_us
        plus_K = np.clip(lowest_K + levels_PK[pair] * (highest_K - lowest_K), space.g_min, space.g_max)
        tables += [plus_K, np.clip(plus_K - difference_K, space.g_min, space.g_max)]
    return tables


def _mirrored(tables: list[Floats]) -> list[Floats]:
    """Tables from zero up, continued to negative weights by swapping the devices of each pair."""
    swapped = [table for pair in zip(tables[1::2], tables[::2], strict=True) for table in pair]
    return [np.concatenate([below[:0:-1], above]) for below, above in zip(swapped, tables, strict=True)]
