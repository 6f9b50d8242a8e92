"""In which order micro-batches go through a stage: GPipe's, or one forward, one backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from crossgrid.kernels.errors import ConfigError

Schedule = Literal["gpipe", "1f1b"]

SCHEDULES = ("gpipe", "1f1b")


def require_schedule(schedule: str) -> None:
    """An error unless there is such an order."""
    if schedule not in SCHEDULES:
        raise ConfigError(f"schedule = {schedule!r} does not exist: use 'gpipe' or '1f1b'")


def order(schedule: str, stage: int, stages: int, micro_batches: int) -> Iterator[tuple[bool, int]]:
    """(whether it goes backward, its number) of each pass of ``stage``, one of ``stages``.

    With "gpipe" (Huang et al., 2019) all micro-batches go forward before the first goes backward. With "1f1b"
    (Narayanan et al., PipeDream, 2019) a stage holds at most as many as there are stages from it on, and
    backward passes take turns with forward passes. Either way both go in the order of the micro-batches.
    """
    ahead = micro_batches if schedule == "gpipe" else min(micro_batches, stages - stage)
    yield from ((False, number) for number in range(ahead))
    for number in range(micro_batches):
        yield True, number
        if number + ahead < micro_batches:
            yield False, number + ahead
