"""The grid of a launch on a card: how many programs run along each of its axes."""

from __future__ import annotations

from ..errors import ConfigError

#: programs along the first axis of a grid, and along its second (CUDA C++ Programming Guide, compute
#: capabilities); Triton skips a kernel whose product of both does not fit 31 bits
MOST_FIRST, MOST_SECOND = (1 << 31) - 1, (1 << 16) - 1


def programs(what: str, first: int, second: int = 1) -> tuple[int, int]:
    """The grid of ``first`` by ``second`` programs.

    Raises:
        ConfigError: a card cannot be given so many at once.
    """
    if second > MOST_SECOND or first * second > MOST_FIRST:
        raise ConfigError(
            f"{what}: {first} x {second} programs are too many for a card, which takes {MOST_FIRST} in all "
            f"and {MOST_SECOND} along the second axis; use smaller batches, or fewer tiles a process"
        )
    return first, second
