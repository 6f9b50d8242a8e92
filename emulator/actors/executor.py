"""Tiles in Ray actors: Ray places the processes and notices their death, ZeroMQ carries the tensors.

An actor that dies is started again and told again what its predecessor was told since its last snapshot
(``history.py``); its replies are the same bits, so nobody who waits learns of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ray
import zmq

from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.errors import CrossgridError

from ..config.recovery import Recovery
from ..errors import BY_NAME, ENDED, BackendError, ProtocolError, TileError
from ..hosts.executor import Addition, Hosting, Keeper, Recovered, Ticket
from ..hosts.interrupts import Uninterrupted
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Answer, Failed, Message, Process, ReadSnapshot, Stop, answer_to
from ..wire.cluster import nodes, start_ray, this_machine, wait_until_gone
from ..wire.directory import RunDirectory
from ..wire.letters import Letter, encode, send
from ..wire.pulses import Pulses
from .adding import Adders
from .history import History
from .host import Host, sent_whole
from .launch import Launcher
from .mailbox import Mailbox, flow_of
from .packing import ActorPlan, plan_actors
from .revival import LOOK_SECONDS, Revival


@dataclass(slots=True)
class Waiting:
    """The ticket of a message on its way to an actor."""

    executor: RayExecutor
    host: int
    number: int
    answer: type  # the reply that it gets if it is obeyed

    def result(self, failures: bool = True) -> Any:
        return self.executor.wait(self.host, self.number, self.answer, failures)


class RayExecutor:
    """Tile actors, each with a socket of its own, and the mailbox that all of them answer to."""

    on_card, findings = False, None  # of this process

    def __init__(
        self, specs: Sequence[LayerSpec], tiles_per_actor: int | Literal["auto"], timeout_s: float,
        device: BackendName = "cpu", recovery: Recovery | None = None,
    ) -> None:  # fmt: skip
        """Nothing runs yet: whoever has it closes it, however far ``start`` came.

        Raises:
            ConfigError: this machine, where Ray is to be started on it, cannot bear so many actors.
        """
        self.specs, self.tiles_per_actor = specs, tiles_per_actor
        self.timeout_s, self.device, self.recovery = timeout_s, device, recovery
        self.keeper: Keeper | None = None  # the front-end keeps the weights that are trained digitally
        self.owner, self.owns_ray = os.getpid(), not ray.is_initialized()
        if self.owns_ray:
            plan_actors(specs, tiles_per_actor, [this_machine()], device == "cuda")
        self.directory = RunDirectory()
        self.hosts: list[Host] = []
        self.launcher = Launcher(timeout_s, device)
        self.pulses, self.patient = Pulses(), False
        self.mailbox: Mailbox | None = None
        self.recovered, self.revival = Recovered(), Revival(self)
        self.hostings: list[Hosting] = [{} for _ in specs]

    def start(self) -> None:
        """Start the actors of these layers' tiles and connect to them.

        Raises:
            ConfigError: the nodes cannot bear so many actors.
            BackendError: Ray or the actors do not start.
        """
        if self.owns_ray:
            start_ray()
        plans = plan_actors(self.specs, self.tiles_per_actor, nodes(), self.device == "cuda")
        self._start_actors(plans)
        for number, plan in enumerate(plans):
            for layer, _, blocks in plan.parts:
                self.hostings[layer][number] = blocks
        self.adders = Adders(self, self.specs)

    def _start_actors(self, plans: Sequence[ActorPlan]) -> None:
        here = ray.get_runtime_context().get_node_id()
        flows = [flow_of(plan.parts) for plan in plans]
        alone = all(plan.node == here for plan in plans)
        self.mailbox = Mailbox(self.directory.path, flows, here, alone, lambda number: self.host(number).sent)
        self.launcher.reserve(plans)
        numbered = [(k, plan, flow) for k, (plan, flow) in enumerate(zip(plans, flows, strict=True))]
        for plan, flow, running in zip(
            plans, flows, self.launcher.start(numbered, self.mailbox.address), strict=True
        ):
            recovery, history = self.recovery, None
            if recovery is not None:
                history = History(recovery, max(recovery.log_bytes // len(plans), 1))
            self.hosts.append(Host(plan, flow, running, history))
            self.pulses.watch(running.address.endpoint)

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> Ticket[Answer]:
        """Send a message to an actor, and wait while that has as many messages waiting as it may have.

        Of one whose reply is not ``wanted`` the failure is raised by a later wait; see also ``settle``.
        """
        actor = self.host(host)
        with actor.lock:
            self._keep_short(host, message)
            number = self._post(host, message, wanted)
        return Waiting(self, host, number, answer_to(message))

    def glance(self, host: int, message: Message[Answer]) -> Ticket[Answer]:
        """As ``submit``: who waits here keeps nobody from anything."""
        return self.submit(host, message)

    def host(self, number: int) -> Host:
        """The driver's end of an actor.

        Raises:
            BackendError: the emulation has ended.
        """
        try:
            return self.hosts[number]
        except IndexError:
            raise BackendError(ENDED) from None

    @property
    def mail(self) -> Mailbox:
        """Where all actors answer to."""
        assert self.mailbox is not None
        return self.mailbox

    def adding(self, layer: int, vectors: int, along_row: bool) -> Addition:
        """A read of all tiles of a layer: its actors add what they can, where that spares enough."""
        return self.adders.begin(layer, vectors, along_row)

    def _post(self, number: int, message: Any, wanted: bool) -> int:
        """Send a message and remember it; its number. The host's lock is held."""
        host = self.host(number)
        host.sent += 1
        frames: Sequence[Any] = encode(Letter(message, host.sent, wanted))
        if host.failure is not None:
            raise host.failure
        epoch, sent, since = host.epoch, False, time.monotonic()
        try:
            if host.history is not None:
                frames = host.history.add(host.sent, message, frames)
            while not sent and host.epoch == epoch:  # a successor is told it with all others
                with Uninterrupted():
                    sent = sent_whole(host.socket, frames)
                if not sent:
                    self._wait_for_room(number, since)
        except BaseException:
            if host.history is not None and not sent and host.epoch == epoch:
                host.history.withdraw(host.sent)
            raise
        return host.sent

    def _wait_for_room(self, number: int, since: float) -> None:
        """Receive for a while, so that an actor may receive too; an error where it died for good."""
        host = self.host(number)
        self.mail.receive_waiting(LOOK_SECONDS)
        self.revival.look_after(number, since)
        if host.failure is not None:
            raise host.failure

    def _keep_short(self, number: int, message: Any) -> None:
        """Ask for a snapshot where one is due, and forget what was told before one that has come."""
        host = self.host(number)
        history = host.history
        if history is None or host.failure is not None:
            return
        if history.asked:
            self.take_snapshot(number, history)
        elif history.due(message):
            history.asked_before = self.adders.begun
            for layer, _, _ in host.plan.parts:
                self._post(number, ReadSnapshot(layer), True)

    def take_snapshot(self, number: int, history: History) -> None:
        """Go on from a snapshot that was asked for, if it is here and no read from before is under way."""
        if history.asked_before > self.adders.settled:  # parts that actors keep are in no snapshot
            return
        replies = self.mail.take_all(number, [*history.asked])
        if replies is not None:
            history.take(replies)
            kept = [each.history for each in self.hosts if each.history is not None]
            self.recovered.log_bytes = sum(each.size for each in kept)
            self.recovered.snapshot_bytes = sum(each.snapshot_bytes for each in kept)
            told = history.told
            self.mail.forget(number, told[0].number if told else self.host(number).sent + 1)

    def settle(self) -> CrossgridError | None:
        """Wait until all that was posted is done; what it failed with, if nobody was told yet."""
        errors: list[CrossgridError] = []
        for number in range(len(self.hosts)):
            try:
                self.submit(number, Process()).result(failures=False)
            except BackendError as error:
                errors.append(error)
            while (failed := self.mail.failure(number)) is not None:
                errors.append(self._error(number, failed))
        return errors[0] if errors else None

    def wait(self, number: int, message: int, answer: type, failures: bool) -> Any:
        """The reply to a message, or the error that it ended with; see ``Ticket`` for ``failures``.

        Raises:
            TileError: the actor died too often, or did not answer in time.
            ProtocolError: the reply cannot be read, or is none to this message.
        """
        host = self.host(number)
        since = time.monotonic()
        while (reply := self.mail.take(number, message, LOOK_SECONDS)) is None:
            self.revival.look_after(number, since)
            if host.failure is not None:
                raise host.failure
        posted = self.mail.failure(number) if failures else None
        if posted is not None:
            raise self._error(number, posted)
        if isinstance(reply, Failed):
            raise self._error(number, reply)
        if not isinstance(reply, answer):
            raise ProtocolError(
                f"{host.where} replied with {type(reply).__name__} where {answer.__name__} was asked for"
            )
        return reply

    def _error(self, number: int, failed: Failed) -> CrossgridError:
        """What an actor failed with, as it is raised here."""
        return BY_NAME.get(failed.error, TileError)(f"{self.host(number).label}: {failed.text}")

    def make_updates(self) -> None:
        """Updates were made when they were sent."""

    def raise_found(self) -> None:
        """Actors say with each reply what was wrong."""

    def recall(self, number: int, message: Message[Answer]) -> Answer | None:
        """What an actor that is lost for good would answer, see ``Revival.recall``."""
        return self.revival.recall(number, message)

    def forgive(self) -> None:
        """Give actors that were stopped one more chance, and those that are slow all time: all comes home."""
        self.patient = True
        for host in self.hosts:
            if not host.dead:
                host.failure = None

    def processes(self) -> list[dict[str, float]]:
        """Each actor's process: ``pid`` and the ``cpu_seconds`` that it has used."""
        tickets = [self.submit(number, Process()) for number in range(len(self.hosts))]
        return [{"pid": used.pid, "cpu_seconds": used.cpu_seconds} for used in (t.result() for t in tickets)]

    def close(self) -> None:
        """End all actors, wait until they are gone, and stop Ray where this executor started it.

        In a process that was forked off nothing is ended: what is in it belongs to its parent.
        """
        if os.getpid() != self.owner:
            return
        running = ray.is_initialized()
        listening = [host.running.serving for host in self.hosts if host.failure is None]
        here = [host.address.pid for host in self.hosts if not host.address.endpoint.public_key]
        stopped = [host for host in self.hosts if host.failure is not None and not host.dead]
        for host in self.hosts:
            host.failure = host.failure or TileError(ENDED)
            with host.lock, contextlib.suppress(zmq.ZMQError):  # a scrape of the metrics may be under way
                send(host.socket, Letter(Stop(), 0, False), zmq.NOBLOCK)
        if listening and running:
            ray.wait(listening, num_returns=len(listening), timeout=5)
        for host in self.hosts:
            host.running.kill(host in stopped and host.address.pid in here)
        if self.mailbox is not None:
            self.mailbox.close()
        self.pulses.close()
        if running:
            self.launcher.close()
        self.hosts.clear()
        if self.owns_ray and ray.is_initialized():
            ray.shutdown()
        wait_until_gone(here)
        self.directory.close()
