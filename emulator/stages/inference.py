"""The driver's side of an inference in stages: rounds of micro-batches, in at the first, out of the last."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray
from torch import Tensor

from ..errors import ProtocolError
from ..hosts.interrupts import Uninterrupted
from ..wire.lent import Lent
from ..wire.letters import Letter, bytes_of, decode, receive_frames, send
from .actor import moved
from .launch import StageGone, answers, given
from .links import LETTERS, Values
from .training import INPUT

if TYPE_CHECKING:
    from .executor import StageExecutor

#: seconds that the driver listens before it looks whether the stages live, a millisecond of a processor
LOOK_SECONDS = 0.1

#: micro-batches of a round: what is computed again at most where a stage dies
ROUND = 64


class StageInference:
    """Sends micro-batches through the stages of ``executor``."""

    def __init__(self, executor: StageExecutor) -> None:
        self.executor, self.lent = executor, Lent()

    def outputs(self, parts: Iterator[Tensor], depth: int) -> Generator[tuple[Any, int], None, None]:
        """The model's outputs of micro-batches, in order, and how many samples each has."""
        while True:
            batch = [part for part, _ in zip(parts, range(ROUND), strict=False)]
            if not batch:
                return
            backs = [self.executor.crossings.path(part) for part in batch]
            done, ended = 0, False
            while not ended:
                try:
                    for leaves in self._round(batch, depth, done):
                        yield backs[done](leaves), len(batch[done])
                        done += 1
                    ended = True
                except StageGone:  # behind the last output too: the clocks have not moved then
                    with self.executor.turn:
                        self.executor.require_open()
                        self.executor.revival.revive()

    def _round(self, parts: Sequence[Tensor], depth: int, skip: int) -> Iterator[dict[str, Tensor]]:
        """The outputs of micro-batches from ``skip`` on.

        Raises:
            StageGone: one died, and the others have left the round.
        """
        executor = self.executor
        promises: dict[int, Any] = {}
        sent = got = 0
        try:
            with executor.turn:
                self._begin(len(parts), promises)
            heard = time.monotonic()
            while got < len(parts):
                with executor.turn:
                    executor.require_open()
                    while sent < min(len(parts), got + depth + executor.cut.count - 1):
                        values = Values.of(executor.round, sent, {INPUT: parts[sent]})
                        with Uninterrupted():
                            executor.traffic.sent += send(
                                executor.stages[0].socket, Letter(values, sent, False)
                            )
                        sent += 1
                    found = self._receive()
                    if found is None:
                        _look(promises)
                        limit_s = executor.timeout_s
                        executor.require_pace(heard, limit_s, f"gave nothing for {limit_s:g} s")
                        continue
                if found.batch != got:
                    raise ProtocolError(f"the stages gave micro-batch {found.batch} where {got} is next")
                got += 1
                if got > skip:
                    yield found.tensors()
                heard = time.monotonic()
            with executor.turn:
                self._end(promises)
        finally:
            executor.give_up(promises)  # of an inference nothing stays but the clocks

    def _begin(self, parts: int, promises: dict[int, Any]) -> None:
        """Let the stages wait for so many micro-batches."""
        executor = self.executor
        wanted = (*executor.crossings.wanted[executor.model.training], ())
        executor.require_open()
        executor.revival.settle()
        with Uninterrupted():
            executor.begin_round()
            for s in executor.stages:
                promises[s.number] = s.actor.infer.remote((executor.round, parts, wanted[s.number]))

    def _end(self, promises: dict[int, Any]) -> None:
        """Note how far the stages' clocks went."""
        executor = self.executor
        executor.require_open()
        ended = answers([(s, promises[s.number]) for s in executor.stages], executor.timeout_s)
        with Uninterrupted():
            for stage, moves in zip(executor.stages, ended, strict=True):
                stage.note_reads(moved(stage.clocks, moves))
            promises.clear()

    def _receive(self) -> Values | None:
        """What the last stage gave, of this round."""
        executor = self.executor
        if not executor.launcher.replies.poll(int(LOOK_SECONDS * 1e3)):
            return None
        with Uninterrupted():
            frames = receive_frames(executor.launcher.replies, self.lent)
        executor.traffic.received += bytes_of(frames)
        content = decode(frames, LETTERS).content
        return content if isinstance(content, Values) and content.round == executor.round else None


def _look(promises: Mapping[int, Any]) -> None:
    """Raise what a stage failed with, or that it is gone."""
    ended, _ = ray.wait(list(promises.values()), num_returns=len(promises), timeout=0)
    for promise in ended:
        given([promise], None)
