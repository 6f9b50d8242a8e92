"""Weight programming that is searched for: the conductances of several pairs that err least over time."""

from .search import (
    OptimisedProgramming,
    ProgrammingSearch,
    Task,
    optimised_programming,
    representative,
    stop_when_beaten,
    time_averaged_error,
)
from .strategies import StrategySpace, converter_at, pair_tables

__all__ = [
    "OptimisedProgramming",
    "ProgrammingSearch",
    "StrategySpace",
    "Task",
    "converter_at",
    "optimised_programming",
    "pair_tables",
    "representative",
    "stop_when_beaten",
    "time_averaged_error",
]
