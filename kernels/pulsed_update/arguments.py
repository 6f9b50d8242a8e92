"""What an update takes and what it answers: the same for all backends, compiled kernels included."""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rule import Rule

Index = NDArray[np.int64]
EVERY_VECTOR = np.zeros((0, 0), np.uint8)  # ``Update.active_TB`` where tiles take part in all of them


class Status(IntEnum):
    """How an update ended; any but DONE before it changed a weight."""

    DONE = 0
    BAD_X = 1  # x has NaN or infinite entries
    BAD_D = 2
    TOO_LONG = 3  # a train of more pulses than a word has room for


class Side(IntEnum):
    """Which pulses an array receives."""

    BOTH = 0
    UP = 1  # only those that step up
    DOWN_AS_UP = 2  # only those that would step down, as steps up: the negative half of a pair


class Vectors(NamedTuple):
    """The factors of a batch of vector updates; tile t takes x_XBI[x_of_T[t]] and d_DBO[d_of_T[t]].

    Arrays, or tensors on a card: float32 and contiguous.
    """

    x_XBI: Any
    x_of_T: Index
    d_DBO: Any
    d_of_T: Index

    @property
    def batch(self) -> int:
        """Vectors in the batch."""
        return int(self.x_XBI.shape[1])

    def on_host(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x and d as numpy arrays."""
        return tuple(  # type: ignore[return-value]
            values if isinstance(values, np.ndarray) else values.cpu().numpy()
            for values in (self.x_XBI, self.d_DBO)
        )


class DrawnAnew(NamedTuple):
    """In place of parameters, on a card: what draws them from their address."""

    keys_T2: Any
    formula: Any


class Devices(NamedTuple):
    """The devices of equal tiles."""

    w_TOI: Any
    p_TOIP: Any  # each device's parameters, in the order of its class; on a card also a ``DrawnAnew``
    c: Any  # constants of the step
    seen_TOI: Any  # the weights with their write noise, where there is any
    write_noise: np.float32
    keys_T2: Any


class Pulsing(NamedTuple):
    """How vectors become steps."""

    rule: Rule  # of the trains
    rate: np.float32
    granularity: np.float32  # the step size that trains are scaled for
    tick: int  # of the first vector
    extra: int  # which of several updates within one tick
    side: int
    noisy: bool  # whether a step has noise
    aggregates: bool  # whether n equal steps are taken at once


class Looks(NamedTuple):
    """Lines to note between vectors: line lines_TN[t, n] as it is after after_N[n] >= 1 of them."""

    after_N: NDArray[np.int64]
    lines_TN: NDArray[np.int64]
    of_columns: bool
    lines_TNM: NDArray[np.float32]  # where they are noted


@functools.cache
def no_looks(tiles: int) -> Looks:
    """Nothing is looked at."""
    none = np.zeros(0, np.int64), np.zeros((tiles, 0), np.int64), False, np.zeros((tiles, 0, 0), np.float32)
    return Looks(*none)


class Update(NamedTuple):
    """A batch of vectors that is pulsed into devices."""

    devices: Devices
    vectors: Vectors
    pulsing: Pulsing
    train_keys_T2: Any  # whose trains they are
    active_TB: Any  # uint8, 0 for vectors that a tile does not take part in; empty: in all
    pulses_T: NDArray[np.int64]  # the pulses of each tile are added to it

    @property
    def some_rest(self) -> bool:
        """Whether there may be vectors that tiles do not take part in."""
        return len(self.active_TB) > 0


def in_parts(order: Update, looks: Looks | None) -> tuple[Update, Looks | None]:
    """An update whose trains are cut into parts: each vector is there once for every part, one after another.

    A tick of the whole becomes as many ticks of parts, so no two draws share an address.
    """
    vectors, pulsing = order.vectors, order.pulsing
    parts = pulsing.rule.parts
    repeated = vectors._replace(x_XBI=_repeated(vectors.x_XBI, parts), d_DBO=_repeated(vectors.d_DBO, parts))
    whole = order._replace(
        vectors=repeated,
        pulsing=pulsing._replace(tick=pulsing.tick * parts),
        active_TB=_repeated(order.active_TB, parts),
    )
    return whole, None if looks is None else looks._replace(after_N=looks.after_N * parts)


def _repeated(values_NB: Any, times: int) -> Any:
    if isinstance(values_NB, np.ndarray):
        return np.repeat(values_NB, times, axis=1)
    return values_NB.repeat_interleave(times, dim=1)
