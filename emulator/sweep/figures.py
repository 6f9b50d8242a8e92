"""What a row of a sweep says beside its parameters."""

from __future__ import annotations

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

#: names that no parameter can have
COLUMNS = ("point", *ALL_FIGURES)


def figures(schedule: int | None) -> dict[str, type]:
    """The figures of a study's rows."""
    return FIGURES if schedule is None else ALL_FIGURES
