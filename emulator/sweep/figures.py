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

#: names that no parameter can have
COLUMNS = ("point", *FIGURES)
