"""Micro-batches in flight: layers work at once, and every tile still sees them in logical order.

Each micro-batch runs the model in a thread of its own. At every layer it waits for its turn: the layer's
ticks and messages follow the order of the micro-batches, whatever the threads do. So depth changes
when things happen, never a bit of what comes out.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crossgrid.kernels.errors import ConfigError, InputError

from ..analog_matrix.weights import AnalogContext
from ..hosts.grid import TileGrid
from ..model.joining import Criterion, add_gradients, clip_factor, judge, norm_of, total_norm
from ..nn.dropout import of_micro_batch
from ..nn.hooks.batch_axis import BatchAxis

Result = TypeVar("Result")

#: what ``infer`` takes, for its errors
GIVE = "give a tensor, or an iterable of batches: tensors, or tuples that start with one"

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


def micro_batches(x: Tensor | Iterable[Any], micro_batch: int | None) -> Iterator[Tensor]:
    """``x``, a tensor or an iterable of batches, by micro-batch.

    Raises:
        InputError: it is something else; of an iterable's batches when they come.
    """
    if isinstance(x, (np.ndarray, Mapping, str)) or not isinstance(x, Iterable):
        raise InputError(f"infer was given a {type(x).__name__}; {GIVE}")
    batches = [x] if isinstance(x, Tensor) else map(_inputs_of, x)
    return (p for batch in batches for p in batch.split(micro_batch or max(len(batch), 1)))


def _inputs_of(batch: Any) -> Tensor:
    """A batch's inputs: the batch itself, or the first of several tensors."""
    x = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(x, Tensor):
        raise InputError(f"infer was given a batch that is a {type(batch).__name__}; {GIVE}")
    return x


def infer(
    model: nn.Module, grids: Sequence[TileGrid], parts: Iterable[Tensor], depth: int
) -> Generator[tuple[Any, int], None, None]:
    """Outputs of micro-batches, and how many samples each has."""

    def job(part: Tensor) -> tuple[Any, int]:
        with torch.no_grad():
            return model(part), len(part)

    return run_pipelined(model, grids, (partial(job, part) for part in parts), depth)


def parts_of(x: Tensor | Iterable[Any], micro_batch: int | None) -> int | None:
    """How many micro-batches ``x`` gives, where that is known before it is read."""
    if isinstance(x, Tensor):
        return -(-len(x) // micro_batch) if micro_batch and len(x) else 1
    return len(x) if micro_batch is None and isinstance(x, Sized) else None


def forward_backward(
    model: nn.Module,
    grids: Sequence[TileGrid],
    x: Tensor,
    y: Any,
    criterion: Criterion,
    micro_batches: int,
    axis: BatchAxis | None = None,
) -> Tensor:
    """Add the gradients of the loss, micro-batches overlapped; return that loss, 0-d.

    All micro-batches go forward, the criterion sees their joined outputs once, and each goes backward with
    its part of the gradient. So any criterion is that of the whole batch. ``axis`` knows
    whether it may be cut.
    """
    parts = x.chunk(micro_batches)
    refuse_batch_statistics(model, len(parts))

    def ahead(number: int, part: Tensor) -> Any:
        with of_micro_batch(number):
            return model(part)

    cut = parts if axis is None else axis.parts(parts)
    jobs = (partial(ahead, *each) for each in enumerate(cut))
    outputs = list(run_pipelined(model, grids, jobs, len(parts)))
    judged = judge(model, outputs, [len(part) for part in parts], criterion, y)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def back(number: int) -> tuple[Tensor | None, ...]:
        with of_micro_batch(number):
            ends, gradients = judged.ends(number, outputs[number])
            return torch.autograd.grad(ends, parameters, gradients, allow_unused=True)

    backward = [partial(back, number) for number in range(len(parts))] if judged.gradients else []
    for each in run_pipelined(model, grids, backward, len(backward)):
        add_gradients(parameters, each)
    return judged.loss


def clip_gradients(model: nn.Module, max_norm: float, kind: float) -> Tensor:
    """Scale all digital gradients so that their norm is at most ``max_norm``; the norm before."""
    digital = {
        name: p.grad
        for name, p in model.named_parameters()
        if p.grad is not None and not isinstance(p, AnalogContext)
    }
    norm = total_norm({name: norm_of(grad, kind) for name, grad in digital.items()}, digital, kind)
    factor = clip_factor(norm, max_norm)
    for grad in digital.values():
        grad.mul_(factor)
    return norm


def refuse_batch_statistics(model: nn.Module, micro_batches: int) -> None:
    """An error where normalisation over a batch would be one over each micro-batch: another function."""
    for name, module in model.named_modules():
        over_batch = isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
        if micro_batches > 1 and over_batch:
            raise ConfigError(
                f"{name or type(model).__name__}: batch normalisation over {micro_batches} micro-batches is "
                "another function than over their batch; use micro_batches=1, put the layer into evaluation "
                "mode, or normalise with nn.GroupNorm"
            )


def run_pipelined(
    model: nn.Module, grids: Sequence[TileGrid], jobs: Iterable[Callable[[], Result]], depth: int
) -> Generator[Result, None, None]:
    """The jobs' results in order, up to ``depth`` of them in flight; a job is made when its turn comes.

    The first job runs alone, to learn how often it reads each layer. Where it draws from torch's generator
    or changes a buffer (dropout, batch normalisation), the order of its effects matters and all run alone.
    """
    jobs = iter(jobs)
    first = next(jobs, None)
    if first is None:
        return
    calls = [CallCount() for _ in grids]
    with _gates(grids, calls):
        before = _digital_state(model)
        result = first()
        ordered = not _equal(before, _digital_state(model))
    yield result
    if depth == 1 or ordered:
        for job in jobs:
            yield job()
        return
    gates = [Gate(count.calls) for count in calls]
    running: deque[Future[Result]] = deque()
    with _gates(grids, gates), ThreadPoolExecutor(depth) as pool:
        try:
            for number, job in zip(itertools.count(), jobs, strict=False):
                running.append(pool.submit(copy_context().run, _in_turn, job, number, gates))
                if len(running) > depth:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BaseException as error:
            for gate in gates:
                gate.break_down()
            failures = [failure for future in running if (failure := future.exception()) is not None]
            raise next((f for f in failures if not isinstance(f, PipelineBroken)), error) from None


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
