"""Which points of a sweep nothing beats."""

from __future__ import annotations

from collections.abc import Sequence

from crossgrid.kernels.errors import ConfigError, unknown

from .figures import ALL_FIGURES
from .table import Row

#: figures of which more is better; of the others less is
MORE_IS_BETTER = ("accuracy", "tops_per_w", "utilization", "tiles_busy", "schedule_tiles_busy")

#: figures that a front can be drawn over
AXES = tuple(name for name, kind in ALL_FIGURES.items() if kind in (int, float))


def front(rows: Sequence[Row], cost: str, gain: str) -> list[Row]:
    """The rows that are not dominated in ``cost`` and ``gain`` (Pareto's front), by the first of the two."""
    for name in (cost, gain):
        if name not in AXES:
            raise unknown("figure", name, AXES)
    if cost == gain:
        raise ConfigError(f"a front needs two figures, not '{cost}' twice")
    signs = [-1.0 if name in MORE_IS_BETTER else 1.0 for name in (cost, gain)]
    known = [row for row in rows if row.get(cost) is not None and row.get(gain) is not None]
    least = [(signs[0] * row[cost], signs[1] * row[gain], row["point"]) for row in known]
    chosen, best = [], float("inf")
    for _, second, number in sorted(least):
        if second < best:
            best = second
            chosen.append(number)
    of_point = {row["point"]: row for row in known}
    return [of_point[number] for number in chosen]
