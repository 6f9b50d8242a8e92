"""The driver's side of stages: where they start, what they are told, and what happens where one dies.

Ray carries what is said to one stage; micro-batches go through sockets, from the driver to the first stage,
from each to the next, and from the last one back. A stage is a function of what it was given: its part of the
model, the programming and the drifts that it was told, and its layers' clocks. So one that dies is started
again, told the same, and the round of micro-batches that was under way begins anew: the same bits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import ray
import zmq
from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..actors.directory import RunDirectory
from ..actors.launch import start_ray, wait_until_gone
from ..actors.lent import Lent
from ..actors.wire import Letter, receive, send
from ..config.recovery import Recovery
from ..errors import BackendError, ProtocolError, TileError
from ..hosts.executor import Answered, Hosting, Keeper, Recovered
from ..hosts.grid import TileGrid
from ..hosts.interrupts import Uninterrupted
from ..model.joining import flatten
from ..nn.dropout import addressed
from ..nn.matrix import AnalogMatrix
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Answer, Message, ReadState, ReadWeights, Stats
from .cut import Cut
from .launch import STEP, Stage, StageGone, StageLauncher, answers, given
from .letters import LETTERS, Abandon, Values
from .passing import Passages
from .trainer import StageTrainer
from .training import INPUT

LOG = logging.getLogger("crossgrid")

#: seconds that the driver listens before it looks whether the stages live
LOOK_SECONDS = 0.02

#: micro-batches of a round: what is computed again at most where a stage dies
ROUND = 64


class StageExecutor:
    """A model in stages: each whole layer is at one of them."""

    def __init__(
        self, model: nn.Module, cut: Cut, specs: Sequence[LayerSpec], grids: Sequence[TileGrid],
        weights: str | None, timeout_s: float, recovery: Recovery | None, update_delay: int = 0,
    ) -> None:  # fmt: skip
        """Start the stages.

        Args:
            specs, grids: of all analog matrices, in the model's order: where their tiles are to be, and are.
            weights: files with the numbers of a model that has none.
            update_delay: steps that pulsed updates are late by.

        Raises:
            ConfigError: a stage is too large for its node.
            BackendError: Ray or a stage does not start.
        """
        self.model, self.cut, self.brings_home = model, cut, weights is None
        self.timeout_s, self.recovery = timeout_s, recovery
        self.owner, self.owns_ray = os.getpid(), not ray.is_initialized()
        self.recovered = Recovered()
        self.keeper: Keeper | None = self
        self.round, self.known, self.busy = 0, dict[Any, Any](), False
        self.wanted: dict[bool, tuple[tuple[str, ...], ...]] = {}  # what stages hand on, training or not
        self.stages: list[Stage] = []
        self.directory = RunDirectory()
        self.launcher = StageLauncher(cut, weights, self.directory.path, update_delay, timeout_s)
        self.trainer = StageTrainer(self)
        self.lent = Lent()
        try:
            if self.owns_ray:
                start_ray()
            self.stages = self.launcher.place(model, specs, grids)
            self.stage_of_layer = {layer: stage for stage in self.stages for layer in stage.layers}
            self.launcher.start(self.stages)
            self.launcher.connect(self.stages, range(cut.count))
            for stage, clocks in zip(self.stages, self.tell_all("clocks"), strict=True):
                stage.clocks = clocks
        except StageGone as error:
            self.close()
            raise BackendError(
                "a stage of the model died while it started; see Ray's logs (memory?)"
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def hostings(self) -> list[Hosting]:
        """For each layer the stage that has all its blocks."""
        found: dict[int, Hosting] = {}
        for stage in self.stages:
            for number, spec in zip(stage.layers, stage.specs.values(), strict=True):
                found[number] = {stage.number: [tile.block for tile in spec.tiles]}
        return [found[number] for number in sorted(found)]

    def _tell(self, layers: Sequence[int], what: str, *more: Any) -> None:
        """Let the stages of ``layers`` do what changes their devices, side by side; remember it."""
        while True:
            asked = []
            for stage in self.stages:
                own = [k for k in stage.layers if k in layers]
                if own:
                    asked.append((stage, (own, *more), getattr(stage.actor, what).remote(own, *more)))
            try:
                clocks = answers([(stage, promise) for stage, _, promise in asked], self.timeout_s)
            except StageGone:
                self.revive(also=[stage for stage, *_ in asked])  # those that live may have done it
                continue
            for (stage, arguments, _), after in zip(asked, clocks, strict=True):
                stage.told.append((stage.clocks, what, arguments))
                stage.clocks = after
            return

    def program(self, layers: Sequence[int]) -> None:
        """Write the trained weights of layers to their devices."""
        self._tell(layers, "program")

    def apply_late(self) -> None:
        """Pulse the devices for all updates that still wait for their time."""
        if self.launcher.update_delay:
            self._tell([*self.stage_of_layer], "apply_late")

    def drift(self, layers: Sequence[int], seconds: float) -> None:
        """Let time pass for layers."""
        self._tell(layers, "drift", seconds)

    def weights_of(self, layer: int) -> Floats:
        """What a layer multiplies by, [out, in]."""
        found: Floats = np.array(self._ask(layer, "weights", layer))  # Ray's arrays cannot be written to
        return found

    def changing(self, layer: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What has changed in a layer, see ``HardwareAwareTiles.changing``."""
        found: tuple[dict[str, Any], dict[str, Any]] = self._ask(layer, "changing", layer)
        return found

    def leave(self, matrix: AnalogMatrix) -> None:
        """Bring the tiles of a matrix home; of a model whose numbers are in files those that learnt."""
        grid = matrix.grid
        learnt = self.trainer.has_trained and matrix.parameter.requires_grad
        if not (self.brings_home or learnt):
            matrix.analog_tile.grid = TileGrid.absent(grid.spec)
            return
        plain, arrays = self.changing(grid.layer)
        matrix.analog_tile.grid = TileGrid.local(grid.spec)
        matrix.analog_tile.take(plain, {name: np.array(values) for name, values in arrays.items()})

    def _ask(self, layer: int, what: str, *arguments: Any) -> Any:
        """What the stage of a layer answers."""
        while True:
            stage = self.stage_of_layer[layer]
            try:
                promise = getattr(stage.actor, what).remote(*arguments)
                return answers([(stage, promise)], self.timeout_s)[0]
            except StageGone:
                self.revive()

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> Answered[Answer]:
        """Ask the tiles of a layer.

        Raises:
            ConfigError: a message that would change them: they are their stage's alone.
        """
        if not isinstance(message, (ReadWeights, ReadState, Stats)):
            raise ConfigError(
                "the layers of this model are in stages: call emulation.infer(x); to train, in the "
                "place of loss.backward() and optimizer.step(): "
                "loss = emulation.train_step(x, y, criterion, optimizer)"
            )
        if self.busy:
            raise TileError("the stages are busy with micro-batches; ask again when infer is done")
        return Answered(self._ask(message.layer, "ask", message.layer, message))

    def infer(self, parts: Iterator[Tensor], depth: int) -> Iterator[tuple[Any, int]]:
        """The model's outputs of micro-batches, in order, and how many samples each has."""
        while True:
            batch = [part for part, _ in zip(parts, range(ROUND), strict=False)]
            if not batch:
                return
            backs = [self.path(part) for part in batch]
            done = 0
            while done < len(batch):
                for leaves in self._round(batch, depth, done):
                    yield backs[done](leaves), len(batch[done])
                    done += 1

    def path(self, x: Tensor) -> Any:
        """What puts the tensors of an output into its place, for an input of that shape.

        Raises:
            ConfigError: the stages cannot compute it.
        """
        training = self.model.training
        key = (tuple(x.shape), x.dtype, training)
        if key not in self.known:
            passages = Passages(self.model, self.cut, None)
            try:
                with addressed(self.model, 0):
                    needs, output = passages.find_needs(x)
            finally:
                passages.remove()
            leaves, back = flatten(output)
            for leaf in leaves:
                if not isinstance(leaf, (Tensor, bool, int, float, str, type(None))):
                    raise ConfigError(
                        f"the model's output holds a {type(leaf).__name__}, which stages cannot hand on; "
                        "leave it away (of transformers' models: config.use_cache = False)"
                    )
            wanted = tuple(needs.crossing(number + 1) for number in range(self.cut.count - 1))
            if wanted != self.wanted.setdefault(training, wanted):
                raise ConfigError(
                    f"an input of shape {key[0]} takes another path through the model than those before; "
                    "give it to an emulation of its own"
                )
            self.known[key] = lambda found: back(
                [found[str(n)] if isinstance(leaf, Tensor) else leaf for n, leaf in enumerate(leaves)]
            )
        return self.known[key]

    def _round(self, parts: Sequence[Tensor], depth: int, skip: int) -> Iterator[dict[str, Tensor]]:
        """The outputs of micro-batches from ``skip`` on; fewer where a stage died and was replaced."""
        self.round, self.busy = self.round + 1, True
        wanted = (*self.wanted[self.model.training], ())
        promises = {
            s.number: s.actor.infer.remote(self.round, len(parts), wanted[s.number]) for s in self.stages
        }
        sent = got = 0
        heard = time.monotonic()
        try:
            while got < len(parts):
                while sent < min(len(parts), got + depth + self.cut.count - 1):
                    values = Values.of(self.round, sent, {INPUT: parts[sent]})
                    with Uninterrupted():
                        send(self.stages[0].socket, Letter(values, sent, False))
                    sent += 1
                found = self._receive()
                if found is None:
                    self._look(promises)
                    if time.monotonic() - heard > self.timeout_s:
                        self.require_stopped(promises, f"gave nothing for {self.timeout_s:g} s")
                        raise StageGone
                    continue
                heard = time.monotonic()
                if found.batch != got:
                    raise ProtocolError(f"the stages gave micro-batch {found.batch} where {got} is next")
                got += 1
                if got > skip:
                    yield found.tensors()
            ended = answers([(s, promises[s.number]) for s in self.stages], self.timeout_s)
            for stage, clocks in zip(self.stages, ended, strict=True):
                stage.clocks = clocks
            promises.clear()
        except StageGone:
            self.give_up(promises)
            self.revive()
        finally:
            self.give_up(promises)
            self.busy = False

    def _receive(self) -> Values | None:
        """What the last stage gave, of this round."""
        if not self.launcher.replies.poll(int(LOOK_SECONDS * 1e3)):
            return None
        with Uninterrupted():
            content = receive(self.launcher.replies, LETTERS, self.lent).content
        return content if isinstance(content, Values) and content.round == self.round else None

    def _look(self, promises: Mapping[int, Any]) -> None:
        """Raise what a stage failed with, or that it is gone."""
        ended, _ = ray.wait(list(promises.values()), num_returns=len(promises), timeout=0)
        for promise in ended:
            given([promise], None)

    def require_stopped(self, promises: dict[int, Any], what: str) -> None:
        """Leave a round that takes too long, and end the stages that do not leave it: they are stopped.

        Raises:
            TileError: all left it: none is stopped, and one is too slow.
        """
        if not self.give_up(promises):
            raise TileError(
                f"the stages {what}, and none is stopped: one is too slow: raise timeout_s, which is for "
                "one micro-batch, or give smaller ones"
            )

    def give_up(self, promises: dict[int, Any]) -> bool:
        """Let the stages leave a round; afterwards their clocks are those of before it.

        Whether one is stopped: it did not leave in time, and was ended.
        """
        if not promises:
            return False
        for stage in self.stages:
            with Uninterrupted(), contextlib.suppress(zmq.ZMQError):
                send(stage.socket, Letter(Abandon(self.round), 0, False), zmq.NOBLOCK)
        _, waiting = ray.wait(list(promises.values()), num_returns=len(promises), timeout=self.timeout_s)
        stopped = [stage for stage in self.stages if promises[stage.number] in waiting]
        promises.clear()
        for stage in stopped:
            stage.end(f"did not leave a round within {self.timeout_s:g} s")
        for stage in self.stages:
            if not stage.lost:
                with contextlib.suppress(StageGone):
                    answers([(stage, stage.actor.set_clocks.remote(stage.clocks))], self.timeout_s)
        return bool(stopped)

    def revive(self, also: Sequence[Stage] = ()) -> None:
        """Start the stages again that are gone, and others; let them go on where the last round ended.

        Raises:
            TileError: a stage died too often, or nothing is to be done about deaths.
        """
        began = time.monotonic()
        while True:
            try:
                self._replace(also)
                break
            except StageGone:  # one more died meanwhile
                also = self.stages
        self.recovered.seconds += time.monotonic() - began

    def _replace(self, also: Sequence[Stage]) -> None:
        gone = [stage for stage in self.stages if stage.find_out(self.timeout_s)]
        for stage in gone:
            self._require_hope(stage)
            LOG.warning("%s %s; it is started again", stage.where, stage.lost)
            stage.end(stage.lost)  # what Ray cannot reach may come back
            stage.socket.close(linger=0)
            self.recovered.restarts += 1  # here: a further death meanwhile begins this anew
        learnt = any(what == STEP for _, what, _ in self.stages[0].told)
        others = [s for s in self.stages if s not in gone and (learnt or s in also)]
        self.launcher.start(gone)
        self.launcher.connect(self.stages, range(self.cut.count))
        self.launcher.load(others)
        self.trainer.build([*gone, *others])
        self._again([*gone, *others])

    def _require_hope(self, stage: Stage) -> None:
        recovery, now = self.recovery, time.monotonic()
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
        waiting = {stage.number: deque(stage.told) for stage in stages}
        while any(waiting.values()):
            for stage in stages:
                queue = waiting[stage.number]
                while queue and queue[0][1] != STEP:
                    clocks, what, arguments = queue.popleft()
                    answers([(stage, stage.actor.set_clocks.remote(clocks))], self.timeout_s)
                    answers([(stage, getattr(stage.actor, what).remote(*arguments))], self.timeout_s)
            steps = [queue.popleft() for queue in waiting.values() if queue]
            if steps:
                pairs = zip(stages, steps, strict=True)
                answers([(s, s.actor.set_clocks.remote(clocks)) for s, (clocks, *_) in pairs], self.timeout_s)
                self.trainer.repeat(steps[0][2][0])
        answers([(s, s.actor.set_clocks.remote(s.clocks)) for s in stages], self.timeout_s)

    def snapshot(self) -> None:
        """Let all stages go on from here where one dies, and forget what they were told before."""
        made = [s.actor.snapshot.options(num_returns=2).remote() for s in self.stages]
        asked = [(stage, states) for stage, (_, states) in zip(self.stages, made, strict=True)]
        answers(asked, self.timeout_s)
        for stage, (part, states) in zip(self.stages, made, strict=True):
            stage.packed, stage.states = part, states
            stage.told.clear()

    def tell_all(self, what: str, *arguments: Any) -> list[Any]:
        """What the stages answer.

        Raises:
            StageGone: one died, or is stopped.
        """
        return answers([(s, getattr(s.actor, what).remote(*arguments)) for s in self.stages], self.timeout_s)

    def ask_all(self, what: str, *arguments: Any) -> list[Any]:
        """What the stages answer, which changes nothing or may be done twice."""
        while True:
            try:
                return self.tell_all(what, *arguments)
            except StageGone:
                self.revive()

    def settle(self) -> CrossgridError | None:
        """Whatever was told is done."""
        return None

    def recall(self, host: int, message: Message[Answer]) -> Answer | None:
        """What a stage had is started again, or gone."""
        return None

    def forgive(self) -> None:
        """Stages are asked again anyway."""

    def peak_bytes(self) -> list[int]:
        """The most memory that each stage's process has had."""
        return given([stage.actor.peak_bytes.remote() for stage in self.stages], self.timeout_s)

    def close(self) -> None:
        """End all stages, and Ray where it was started for them."""
        if os.getpid() != self.owner:
            return
        self.trainer.stop()
        here = [s.address.pid for s in self.stages if s.address and not s.address.endpoint.public_key]
        for stage in self.stages:
            if stage.socket is not None:
                stage.socket.close(linger=0)
            if stage.actor is not None and ray.is_initialized():
                with contextlib.suppress(Exception):  # it may be gone
                    ray.kill(stage.actor)
        self.launcher.replies.close(linger=0)
        self.stages.clear()
        if self.owns_ray and ray.is_initialized():
            ray.shutdown()
        wait_until_gone(here)
        self.directory.close()
