"""Arrays without owners: the same numbers, and no count of the owner goes up."""
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from crossgrid.kernels.machine.jit import borrowed


class Pair(NamedTuple):
    numbers: Any
    scale: float


@intrinsic
def has_owner(typing_context: Any, array: Any) -> Any:
    """Whether a count is kept of who holds the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        owner = context.make_array(signature.args[0])(context, builder, arguments[0]).meminfo
        return builder.icmp_unsigned("!=", owner, owner.type(None))

    return types.boolean(array), generate


@numba.njit
def owners(pair):
    lent = borrowed((pair, 3))
    return (
        has_owner(pair.numbers),
        has_owner(lent[0].numbers),
        lent[0].numbers.sum() * lent[0].scale + lent[1],
    )


@numba.njit
def total_by_callee(size):
    return callee(np.arange(size), size)  # the caller holds what the callee borrows


@numba.njit
def callee(numbers, size):
    numbers = borrowed(numbers)
    others = np.zeros(size, np.int64)  # would take the memory of what was freed too early
    return numbers.sum() + others.sum()


def test_arrays_in_tuples_lose_their_owner_alone() -> None:
    assert owners(Pair(np.arange(5.0), 2.0)) == (True, False, 23.0)


def test_what_a_caller_made_lives_until_the_call_ends() -> None:
    assert [total_by_callee(size) for size in (10, 1000, 100_000)] == [
        size * (size - 1) // 2 for size in (10, 1000, 100_000)
    ]
