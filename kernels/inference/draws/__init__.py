"""Arrays of addressed normals and uniforms: one number for each crosspoint of some rows of one tile.

A row of n columns uses p = ceil(n / 4) counters (normals: ceil(n / 8)); column c is number ``c // p`` of
counter ``c % p``, so that whole vectors of counters lie side by side. Draws that one purpose needs several
times at the same tick differ in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...errors import ConfigError
from ...rng import counter_high

CONDUCTANCES = 16  # of one crosspoint, at most
REQUESTS = 16  # for each conductance, at most


def address(stream: int, tick: int, conductance: int, request: int = 0) -> tuple[np.uint32, np.uint32]:
    """Counter words 2 and 3 of the ``request``-th draw for one conductance of each crosspoint."""
    return counter_high(stream, tick, REQUESTS * conductance + request)


class Draws:
    """The random numbers that a noise model may ask for, for one conductance of each crosspoint.

    The n-th request always has the same address: a model that asks in the same order gets the same
    numbers, on any machine and whatever rows are asked for at once.
    """

    __slots__ = ("_conductance", "_first_row", "_kernels", "_key", "_requests", "_shape", "_stream", "_tick")

    def __init__(
        self,
        key: NDArray[np.uint32],
        stream: int,
        tick: int,
        first_row: int,
        shape: tuple[int, int],
        conductance: int = 0,
        backend: Backend = CPU,
    ) -> None:
        if not 0 <= conductance < CONDUCTANCES:
            raise ConfigError(f"conductance number {conductance}: a crosspoint has at most {CONDUCTANCES}")
        self._key, self._stream, self._tick = key, stream, tick
        self._first_row, self._shape = first_row, shape
        self._kernels: ModuleType = backend.rows
        self._conductance, self._requests = conductance, 0

    def normal(self) -> NDArray[np.float32]:
        """Standard normals [rows, in]."""
        return self._draw(self._kernels.normals)

    def uniform(self) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1) [rows, in]."""
        return self._draw(self._kernels.uniforms)

    def _draw(self, kernel: Callable[..., None]) -> NDArray[np.float32]:
        if self._requests == REQUESTS:
            raise ConfigError(f"a noise model may draw {REQUESTS} times for each conductance, not more")
        low, high = address(self._stream, self._tick, self._conductance, self._requests)
        self._requests += 1
        out_OI = np.empty(self._shape, np.float32)
        kernel(out_OI, self._key[0], self._key[1], np.uint32(self._first_row), low, high)
        return out_OI
