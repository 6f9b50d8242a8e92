"""What a row of a sweep says beside its parameters, and which rows nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossgrid.kernels.errors import ConfigError, unknown

Row = dict[str, Any]

#: what a row says beside the parameters, and of which type
FIGURES: dict[str, type] = {
    "accuracy": float,
    "energy_pj": float,
    "area_mm2": float,
    "latency_ns": float,
    "interval_ns": float,
    "tops_per_w": float,
    "tiles": int,
    "chips_used": int,
    "utilization": float,  # weights over cells of used tiles
    "tiles_busy": float,  # part of the time in which a used tile works
    "bottleneck": str,
    "numbers": str,  # equal where emulated numbers are
    "warning": str,
    "error": str,
    "study": str,
}

#: ... and where the study asks for a schedule of so many inputs
SCHEDULE_FIGURES: dict[str, type] = {
    "schedule_latency_ns": float,  # of the first input
    "schedule_interval_ns": float,
    "schedule_stalls_ns": float,  # what the busiest tiles of all layers waited for, added up
    "schedule_tiles_busy": float,  # part of the interval in which a used tile works
    "schedule_buffer_bytes": float,  # the most that a tile's buffer held
}

#: every figure and its type
ALL_FIGURES = {**FIGURES, **SCHEDULE_FIGURES}

#: figures of which more is better; of the others less is
MORE_IS_BETTER = ("accuracy", "tops_per_w", "utilization", "tiles_busy", "schedule_tiles_busy")

#: figures that a front can be drawn over
AXES = tuple(name for name, kind in ALL_FIGURES.items() if kind in (int, float))

#: names that no parameter can have
COLUMNS = ("point", *ALL_FIGURES)


def figures(schedule: int | None) -> dict[str, type]:
    """The figures of a study's rows."""
    return FIGURES if schedule is None else ALL_FIGURES


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
