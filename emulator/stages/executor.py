"""The driver's side of stages: where they start, what they are told, and what happens where one dies.

Ray carries what is said to one stage; micro-batches go through sockets, from the driver to the first stage,
from each to the next, and from the last one back. A stage is a function of what it was given: its part of the
model, the programming and the drifts that it was told, and its layers' clocks. So one that dies is started
again, told the same, and the round of micro-batches that was under way begins anew: the same bits.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
import zmq
from torch import nn

from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..config.recovery import Recovery
from ..errors import ENDED, BackendError, TileError
from ..hosts.executor import HERE, Addition, Answered, Hosting, Keeper, Recovered, Traffic
from ..hosts.grid import TileGrid
from ..hosts.interrupts import Uninterrupted
from ..nn.matrix import AnalogMatrix
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Answer, Message, ReadState, ReadWeights, Stats
from ..wire.cluster import start_ray, wait_until_gone
from ..wire.directory import RunDirectory
from ..wire.letters import Letter, send
from .inference import StageInference
from .launch import Stage, StageGone, StageLauncher, answers, given, require_pace
from .links import Abandon
from .packing import SavedStage
from .passes.crossings import Crossings
from .passes.cut import Cut
from .revival import Revival, unsure_within
from .trainer import StageTrainer

#: seconds that whoever scrapes waits for its turn, and for a stage
GLANCE_SECONDS = 0.5


class StageExecutor:
    """A model in stages: each whole layer is at one of them."""

    on_card, findings = False, None  # of this process

    def __init__(
        self, model: nn.Module, cut: Cut,
        weights: str | None, timeout_s: float, recovery: Recovery | None, update_delay: int = 0,
    ) -> None:  # fmt: skip
        """Nothing runs yet: whoever has it closes it, however far ``start`` came.

        Args:
            weights: files with the numbers of a model that has none.
            update_delay: steps that pulsed updates are late by.
        """
        self.model, self.cut, self.brings_home = model, cut, weights is None
        self.timeout_s, self.recovery = timeout_s, recovery
        self.owner, self.owns_ray = os.getpid(), not ray.is_initialized()
        self.recovered, self.traffic = Recovered(), Traffic()
        self.keeper: Keeper | None = self
        self.round, self.busy = 0, False
        self.turn = threading.RLock()  # one thread at a time speaks to the stages
        self.leaver: int | None = None  # the thread that brings the model home: no other speaks any more
        self.stages: list[Stage] = []
        self.directory = RunDirectory()
        self.launcher = StageLauncher(cut, weights, self.directory.path, update_delay, timeout_s)
        self.crossings = Crossings(model, cut)
        self.inference, self.trainer, self.revival = StageInference(self), StageTrainer(self), Revival(self)

    def start(self, specs: Sequence[LayerSpec], grids: Sequence[TileGrid]) -> None:
        """Start the stages.

        Args:
            specs, grids: of all analog matrices, in the model's order: where their tiles are to be, and are.

        Raises:
            ConfigError: a stage is too large for its node.
            BackendError: Ray or a stage does not start.
        """
        if self.owns_ray:
            start_ray()
        self.stages = self.launcher.place(self.model, specs, grids)
        self.stage_of_layer = {layer: stage for stage in self.stages for layer in stage.layers}
        try:
            self.launcher.start(self.stages)
            self.launcher.connect(self.stages, range(self.cut.count))
            for stage, clocks in zip(self.stages, self.tell_all("clocks"), strict=True):
                stage.clocks = clocks
        except StageGone as error:
            raise BackendError(
                "a stage of the model died while it started; see Ray's logs (memory?)"
            ) from error

    @property
    def hostings(self) -> list[Hosting]:
        """For each layer the stage that has all its blocks."""
        found: dict[int, Hosting] = {}
        for stage in self.stages:
            for number, spec in zip(stage.layers, stage.specs.values(), strict=True):
                found[number] = {stage.number: [tile.block for tile in spec.tiles]}
        return [found[number] for number in sorted(found)]

    def require_open(self) -> None:
        """Whoever speaks to the stages holds ``turn`` and asks this first, again where it may take long.

        Raises:
            TileError: another thread has left the emulation.
        """
        if self.leaver not in (None, threading.get_ident()):
            raise TileError(ENDED)

    def _tell(self, layers: Sequence[int], what: str, *more: Any) -> None:
        """Let the stages of ``layers`` do what changes their devices, side by side; remember it."""
        with self.turn:
            self._tell_now(layers, what, *more)

    def _tell_now(self, layers: Sequence[int], what: str, *more: Any) -> None:
        while True:
            self.require_open()
            self.revival.settle()
            asked = [
                (stage, own, getattr(stage.actor, what))
                for stage in self.stages
                if (own := [k for k in stage.layers if k in layers])
            ]
            with contextlib.suppress(StageGone), unsure_within(stage for stage, *_ in asked):
                promises = [(stage, method.remote(own, *more)) for stage, own, method in asked]
                clocks = answers(promises, self.timeout_s)
                with Uninterrupted():
                    for (stage, own, _), after in zip(asked, clocks, strict=True):
                        stage.told.append((stage.clocks, what, (own, *more)))
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

    def save(self, directory: str, sign: str, optimizer: torch.optim.Optimizer | None) -> SavedStage | None:
        """Let each stage write what is its own into a saved run, with an optimizer's state of it.

        None where a stage sees another folder under that name.
        """
        number = None if optimizer is None else self.trainer.number_of(optimizer)
        found = SavedStage({}, {}, {})
        for stage, saved in enumerate(self.ask_all("save", directory, sign, number)):
            if saved is None:
                return None
            found.tiles |= saved.tiles
            found.numbers |= {n: v for n, v in saved.numbers.items() if self.trainer.is_owner(n, stage)}
            found.states |= {n: v for n, v in saved.states.items() if self.trainer.is_owner(n, stage)}
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
        with self.turn:
            while True:
                self.require_open()
                self.revival.settle()
                stage = self.stage_of_layer[layer]
                with contextlib.suppress(StageGone):
                    promise = getattr(stage.actor, what).remote(*arguments)
                    return answers([(stage, promise)], self.timeout_s)[0]
                self.revival.revive()

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

    def glance(self, host: int, message: Message[Answer]) -> Answered[Answer]:
        """Ask the tiles of a layer, if their stage has nothing else to do; bring nobody back."""
        assert isinstance(message, Stats)
        if not self.turn.acquire(timeout=GLANCE_SECONDS):
            raise TileError("another thread speaks to the stages")
        try:
            self.require_open()
            stage = self.stage_of_layer[message.layer]
            if self.busy or not stage.sure:
                raise TileError("the stages are busy")
            promise = stage.actor.ask.remote(message.layer, message)
            return Answered(ray.get(promise, timeout=GLANCE_SECONDS))
        except ray.exceptions.RayError as error:
            raise TileError(f"{stage.where} does not answer: {error!s:.200}") from error
        finally:
            self.turn.release()

    def begin_round(self) -> None:
        """From now on the stages are in the middle of something."""
        self.round, self.busy = self.round + 1, True
        self.mark_unsure()

    def mark_unsure(self) -> None:
        """Nobody knows what the stages have done: they are brought back before the next thing is asked."""
        for stage in self.stages:
            stage.sure = False

    def require_pace(self, began: float, limit_s: float, what: str) -> None:
        """An error where nothing has been heard of the stages since ``began``, for longer than may be.

        Raises:
            StageGone: one was stopped, and was ended.
            TileError: none is stopped, and one is too slow.
        """
        if require_pace(self.stages, began, limit_s, self.timeout_s):
            raise TileError(
                f"the stages {what}, and none is stopped: one is too slow: raise timeout_s, which is for "
                "one micro-batch, or give smaller ones"
            )

    def give_up(self, promises: dict[int, Any]) -> None:
        """Let the stages leave a round that is under way; their clocks are those of before it then."""
        with self.turn, Uninterrupted():
            if self.leaver not in (None, threading.get_ident()):
                return  # who leaves has left the round too
            if promises:
                promises.clear()
                self._give_up_round()
            self.busy = False

    def _give_up_round(self) -> None:
        self.leave_round()
        for stage in self.stages:
            stage.sure = True

    def leave_round(self) -> None:
        """Let the stages leave the present round as soon as they can."""
        for stage in self.stages:
            try:
                self.traffic.sent += send(stage.socket, Letter(Abandon(self.round), 0, False), zmq.NOBLOCK)
            except zmq.ZMQError:  # it listens no more
                stage.end("took nothing more from its socket")
            else:  # Ray calls one method of an actor after the other: this one when the round is left
                stage.actor.set_clocks.remote(stage.clocks)
        self.busy = False

    def tell_all(self, what: str, *arguments: Any) -> list[Any]:
        """What the stages answer.

        Raises:
            StageGone: one died, or is stopped.
            TileError: one is too slow.
        """
        return answers([(s, getattr(s.actor, what).remote(*arguments)) for s in self.stages], self.timeout_s)

    def ask_all(self, what: str, *arguments: Any) -> list[Any]:
        """What the stages answer, which changes nothing or may be done twice."""
        with self.turn:
            while True:
                self.require_open()
                self.revival.settle()
                try:
                    return self.tell_all(what, *arguments)
                except StageGone:
                    self.revival.revive()

    def adding(self, layer: int, vectors: int, along_row: bool) -> Addition:
        """Stages have layers whole."""
        return HERE

    def settle(self) -> CrossgridError | None:
        """Whatever was told is done."""
        return None

    def make_updates(self) -> None:
        """Updates were made when they were sent."""

    def raise_found(self) -> None:
        """Stages say with each reply what was wrong."""

    def recall(self, host: int, message: Message[Answer]) -> Answer | None:
        """What a stage had is started again, or gone."""
        return None

    def forgive(self) -> None:
        """Give stages that were too slow one more chance; those that are at it still are to be replaced.

        Other threads are told that the emulation has ended; who speaks to the stages is waited for.
        """
        self.leaver = threading.get_ident()
        with self.turn:
            if self.busy:  # with an inference of another thread, or one that nobody reads to its end
                self._give_up_round()
            for stage in self.stages:
                try:
                    stage.find_out(self.timeout_s)
                except TileError:
                    stage.end("was too slow")

    def peak_bytes(self) -> list[int]:
        """The most memory that each stage's process has had."""
        return given([stage.actor.peak_bytes.remote() for stage in self.stages], self.timeout_s)

    def close(self) -> None:
        """End all stages, and Ray where it was started for them."""
        if os.getpid() != self.owner:
            return
        self.leaver = threading.get_ident()
        with self.turn:
            self._close()

    def _close(self) -> None:
        self.trainer.stop()
        here = [s.address.pid for s in self.stages if s.address and not s.address.endpoint.public_key]
        for stage in self.stages:
            if stage.socket is not None:
                stage.socket.close(linger=0)
            if stage.actor is not None and ray.is_initialized():
                with contextlib.suppress(Exception):  # it may be gone
                    ray.kill(stage.actor)
        self.launcher.close()
        self.stages.clear()
        if self.owns_ray and ray.is_initialized():
            ray.shutdown()
        wait_until_gone(here)
        self.directory.close()
