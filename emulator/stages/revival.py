"""What becomes of a stage that is gone, or of which nobody knows what it has done: the same stage anew.

A stage is a function of its part of the model, as it began or was at the last snapshot, and of what it was
told since. Whatever breaks off what was told to it, a death, an error or Ctrl-C, it is made anew before it is
told or asked the next thing.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import ray

from ..errors import TileError
from ..hosts.interrupts import Uninterrupted
from .launch import STEP, Stage, StageGone, answers, given

if TYPE_CHECKING:
    from .executor import StageExecutor

LOG = logging.getLogger("crossgrid")


@contextlib.contextmanager
def unsure_within(stages: Iterable[Stage]) -> Iterator[None]:
    """A block that changes stages: where it is broken off, nobody knows what they have done."""
    before = [(stage, stage.sure) for stage in stages]
    for stage, _ in before:
        stage.sure = False
    yield
    for stage, sure in before:
        stage.sure = sure


class Revival:
    """Brings the stages of a model back to where they were."""

    def __init__(self, executor: StageExecutor) -> None:
        self.executor = executor

    def settle(self) -> None:
        """Bring stages back of which nobody knows what they have done.

        Raises:
            TileError: as ``revive``.
        """
        unsure = [stage for stage in self.executor.stages if not stage.sure]
        if unsure:
            self.executor.leave_round()
            self.revive(unsure)

    def revive(self, also: Sequence[Stage] = ()) -> None:
        """Start the stages again that are gone, and bring back others; where the last round ended.

        Raises:
            TileError: a stage died too often, is too slow, or nothing is to be done about deaths.
        """
        began = time.monotonic()
        while True:
            try:
                self._replace(also)
                break
            except StageGone:  # one more died meanwhile
                also = self.executor.stages
        self.executor.recovered.seconds += time.monotonic() - began

    def _replace(self, also: Sequence[Stage]) -> None:
        executor = self.executor
        gone = [stage for stage in executor.stages if stage.find_out(executor.timeout_s)]
        for stage in gone:
            self._require_hope(stage)
            LOG.warning("%s %s; it is started again", stage.where, stage.lost)
            stage.end(stage.lost)  # what Ray cannot reach may come back
            if stage.socket is not None:
                stage.socket.close(linger=0)
            executor.recovered.restarts += 1  # here: a further death meanwhile begins this anew
        learnt = any(what == STEP for _, what, _ in executor.stages[0].told)
        others = [s for s in executor.stages if s not in gone and (learnt or s in also or not s.sure)]
        with unsure_within([*gone, *others]):
            executor.launcher.start(gone)
            executor.launcher.connect(executor.stages, range(executor.cut.count))
            executor.launcher.load(others)
            executor.trainer.build([*gone, *others])
            self._again([*gone, *others])
        for stage in [*gone, *others]:
            stage.sure = True

    def _require_hope(self, stage: Stage) -> None:
        recovery, now = self.executor.recovery, time.monotonic()
        if recovery is None:
            raise TileError(f"{stage.where} {stage.lost}; emulation.recovery = cg.Recovery() starts it again")
        stage.deaths.append(now)
        while stage.deaths[0] < now - recovery.storm_s:
            stage.deaths.popleft()
        if len(stage.deaths) > recovery.restarts:
            raise TileError(
                f"{stage.where} {stage.lost}, for the {len(stage.deaths)}. time in {recovery.storm_s:g} s: "
                "look for the cause in Ray's logs (memory?), or raise emulation.recovery.restarts"
            )

    def _again(self, stages: Sequence[Stage]) -> None:
        """Tell stages that were just loaded what changed them, and where their clocks stand.

        A training step needs all of them: where there was one, all are here.
        """
        timeout_s = self.executor.timeout_s
        waiting = {stage.number: deque(stage.told) for stage in stages}
        while any(waiting.values()):
            for stage in stages:
                queue = waiting[stage.number]
                while queue and queue[0][1] != STEP:
                    clocks, what, arguments = queue.popleft()
                    answers([(stage, stage.actor.set_clocks.remote(clocks))], timeout_s)
                    answers([(stage, getattr(stage.actor, what).remote(*arguments))], timeout_s)
            steps = [queue.popleft() for queue in waiting.values() if queue]
            if steps:
                pairs = zip(stages, steps, strict=True)
                answers([(s, s.actor.set_clocks.remote(clocks)) for s, (clocks, *_) in pairs], timeout_s)
                self.executor.trainer.repeat(steps[0][2][0])
        answers([(s, s.actor.set_clocks.remote(s.clocks)) for s in stages], timeout_s)

    def snapshot(self) -> None:
        """Let all stages go on from here where one dies, and forget what they were told before.

        What is made on another node is copied to this one: it would go with that node.
        """
        stages = self.executor.stages
        made = [s.actor.snapshot.options(num_returns=2).remote() for s in stages]
        asked = [(stage, states) for stage, (_, states) in zip(stages, made, strict=True)]
        answers(asked, self.executor.timeout_s)
        here = ray.get_runtime_context().get_node_id()
        kept = [
            each if stage.address.node == here else [ray.put(given([ref], None)[0]) for ref in each]
            for stage, each in zip(stages, made, strict=True)
        ]
        with Uninterrupted():
            for stage, (part, states) in zip(stages, kept, strict=True):
                stage.packed, stage.states = part, states
                stage.told.clear()
