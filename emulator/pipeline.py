"""Micro-batches in flight: layers work at once, and every tile still sees them in logical order.

Each micro-batch runs the model in a thread of its own. At every layer it waits for its turn: the layer's
ticks and messages follow the order of the micro-batches, whatever the threads do. So depth changes
when things happen, never a bit of what comes out.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from ..kernels.errors import ConfigError
from .grid import TileGrid

Result = TypeVar("Result")

#: the number of the micro-batch that this thread computes
CURRENT: ContextVar[int] = ContextVar("micro_batch")


class PipelineBroken(RuntimeError):
    """Another micro-batch failed; its own error says why."""


@dataclass(slots=True)
class Gate:
    """Lets the micro-batches through one layer in order.

    ``calls`` is how often one micro-batch reads the layer in each direction, learned from the first one.
    """

    calls: dict[str, int]
    done: dict[str, int] = field(default_factory=lambda: {"forward": 0, "backward": 0})
    condition: threading.Condition = field(default_factory=threading.Condition)
    broken: bool = False

    @contextlib.contextmanager
    def turn(self, direction: str) -> Iterator[None]:
        """Inside, the layer belongs to this micro-batch."""
        number = CURRENT.get()
        with self.condition:
            self.condition.wait_for(
                lambda: self.broken or self.done[direction] >= number * self.calls[direction]
            )
            if self.broken:
                raise PipelineBroken
            yield
            self.done[direction] += 1
            self.condition.notify_all()

    def end_of(self, number: int) -> None:
        """Check that a micro-batch read the layer as often as the first one."""
        for direction, calls in self.calls.items():
            if self.done[direction] < (number + 1) * calls:
                raise ConfigError(
                    f"micro-batch {number} did not read a layer {direction} {calls} times as the first one: "
                    "the model's path depends on its data; use depth=1 or micro_batches=1"
                )

    def break_down(self) -> None:
        """Wake everybody: a micro-batch failed."""
        with self.condition:
            self.broken = True
            self.condition.notify_all()


def run_pipelined(
    model: nn.Module, grids: Sequence[TileGrid], jobs: Sequence[Callable[[], Result]], depth: int
) -> Iterator[Result]:
    """The jobs' results in order, up to ``depth`` of them in flight.

    The first job runs alone, to learn how often it reads each layer. Where it draws from torch's generator
    or changes a buffer (dropout, batch normalisation), the order of its effects matters and all run alone.
    """
    if not jobs:
        return
    calls = [CallCount() for _ in grids]
    with _gates(grids, calls):
        before = _digital_state(model)
        yield jobs[0]()
    if depth == 1 or not _equal(before, _digital_state(model)):
        for job in jobs[1:]:
            yield job()
        return
    gates = [Gate(count.calls) for count in calls]
    with _gates(grids, gates), ThreadPoolExecutor(depth) as pool:
        running = [pool.submit(_in_turn, job, number, gates) for number, job in enumerate(jobs[1:])]
        try:
            for future in running:
                yield future.result()
        except BaseException as first:
            for gate in gates:
                gate.break_down()
            failures = [failure for future in running if (failure := future.exception()) is not None]
            raise next((f for f in failures if not isinstance(f, PipelineBroken)), first) from None


def _in_turn(job: Callable[[], Result], number: int, gates: Sequence[Gate]) -> Result:
    token = CURRENT.set(number)
    try:
        result = job()
        for gate in gates:
            gate.end_of(number)
        return result
    except BaseException:
        for gate in gates:
            gate.break_down()
        raise
    finally:
        CURRENT.reset(token)


@dataclass(slots=True)
class CallCount:
    """Counts how often a layer is read; lets everybody through."""

    calls: dict[str, int] = field(default_factory=lambda: {"forward": 0, "backward": 0})

    @contextlib.contextmanager
    def turn(self, direction: str) -> Iterator[None]:
        """One read more."""
        self.calls[direction] += 1
        yield


@contextlib.contextmanager
def _gates(grids: Sequence[TileGrid], gates: Sequence[Any]) -> Iterator[None]:
    for grid, gate in zip(grids, gates, strict=True):
        grid.gate = gate
    try:
        yield
    finally:
        for grid in grids:
            grid.gate = None


def _digital_state(model: nn.Module) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *(buffer.clone() for buffer in model.buffers())]


def _equal(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
