"""Tiles in Ray actors: Ray places the processes and notices their death, ZeroMQ carries the tensors.

An actor that dies is started again and told again what its predecessor was told since its last snapshot
(``history.py``); its replies are the same bits, so nobody who waits learns of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from ..tiles.messages import REQUESTS, Answer, Failed, Message, Process, ReadSnapshot, Stop, answer_to
from ..tiles.worker import TileWorker
from .adding import Adders
from .addresses import Flow
from .directory import RunDirectory
from .history import History
from .launch import START_SECONDS, Launcher, Running, nodes, start_ray, this_machine, wait_until_gone
from .mailbox import Mailbox, flow_of
from .packing import ActorPlan, plan_actors
from .pulses import NOTICE_SECONDS, Pulses
from .wire import Letter, decode, encode, send, send_frames

LOG = logging.getLogger("crossgrid")

#: seconds that a waiter listens before it looks whether the actor still lives
LOOK_SECONDS = 0.05


@dataclass(slots=True)
class Host:
    """The driver's end of one actor, and of those that follow it where it dies."""

    plan: ActorPlan
    flow: Flow
    running: Running
    history: History | None  # None: what dies is lost
    epoch: int = 0  # how often it was restarted
    deaths: deque[float] = field(default_factory=deque)  # when it died, of late
    sent: int = 0
    dead: bool = False
    failure: TileError | None = None  # set once the actor is known to be dead or to hang, for good
    recalled: TileWorker | None = None  # what a dead one held, told again in this process
    lock: Any = field(default_factory=threading.RLock)  # sockets are not for two threads at once

    @property
    def address(self) -> Any:
        """Where the actor listens, and which process it is."""
        return self.running.address

    @property
    def socket(self) -> Any:
        """The way to it."""
        return self.running.socket

    @property
    def label(self) -> str:
        """Which tiles of which layers it hosts, for messages."""
        return self.plan.label

    @property
    def where(self) -> str:
        """The actor's tiles, process and node, for messages."""
        return f"the actor of {self.label} (process {self.address.pid} on node {self.address.node[:8]})"


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
        self.recovered = Recovered()
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
                    sent = _sent(host.socket, frames)
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
        assert self.mailbox is not None
        self.mailbox.receive_waiting(LOOK_SECONDS)
        self._look_after(number, since)
        if host.failure is not None:
            raise host.failure

    def _keep_short(self, number: int, message: Any) -> None:
        """Ask for a snapshot where one is due, and forget what was told before one that has come."""
        host = self.host(number)
        history = host.history
        assert self.mailbox is not None
        if history is None or host.failure is not None:
            return
        if history.asked:
            self._take_snapshot(number, history)
        elif history.due(message):
            history.asked_before = self.adders.begun
            for layer, _, _ in host.plan.parts:
                self._post(number, ReadSnapshot(layer), True)

    def _take_snapshot(self, number: int, history: History) -> None:
        """Go on from a snapshot that was asked for, if it is here and no read from before is under way."""
        assert self.mailbox is not None
        if history.asked_before > self.adders.settled:  # parts that actors keep are in no snapshot
            return
        replies = self.mailbox.take_all(number, [*history.asked])
        if replies is not None:
            history.take(replies)
            kept = [each.history for each in self.hosts if each.history is not None]
            self.recovered.log_bytes = sum(each.size for each in kept)
            self.recovered.snapshot_bytes = sum(each.snapshot_bytes for each in kept)
            told = history.told
            self.mailbox.forget(number, told[0].number if told else self.host(number).sent + 1)

    def settle(self) -> CrossgridError | None:
        """Wait until all that was posted is done; what it failed with, if nobody was told yet."""
        assert self.mailbox is not None
        errors: list[CrossgridError] = []
        for number in range(len(self.hosts)):
            try:
                self.submit(number, Process()).result(failures=False)
            except BackendError as error:
                errors.append(error)
            while (failed := self.mailbox.failure(number)) is not None:
                errors.append(self._error(number, failed))
        return errors[0] if errors else None

    def wait(self, number: int, message: int, answer: type, failures: bool) -> Any:
        """The reply to a message, or the error that it ended with; see ``Ticket`` for ``failures``.

        Raises:
            TileError: the actor died too often, or did not answer in time.
            ProtocolError: the reply cannot be read, or is none to this message.
        """
        host = self.host(number)
        assert self.mailbox is not None
        since = time.monotonic()
        while (reply := self.mailbox.take(number, message, LOOK_SECONDS)) is None:
            self._look_after(number, since)
            if host.failure is not None:
                raise host.failure
        posted = self.mailbox.failure(number) if failures else None
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

    def _look_after(self, number: int, since: float) -> None:
        """See to an actor that died, or that said nothing for too long while we waited."""
        host = self.host(number)
        assert self.mailbox is not None
        if not host.lock.acquire(blocking=False):
            return  # who sends to it looks after it
        try:
            if host.failure is not None:
                return
            missed_s = self.pulses.missed_s(host.address.endpoint)
            with Uninterrupted():
                if host.running.ended:
                    self._lost(number, "died", dead=True)
                elif missed_s > self.timeout_s:
                    self._lost(number, f"did not answer within {self.timeout_s:g} s; it is stopped and hangs")
            silent_s = time.monotonic() - max(since, self.mailbox.heard.get(number, since))
            slow = silent_s > self.timeout_s + NOTICE_SECONDS and not (missed_s or self.patient)
            if slow and host.failure is None:
                raise TileError(
                    f"{host.where} did not answer within {self.timeout_s:g} s, and is not stopped: it is too "
                    "slow: raise timeout_s or put fewer tiles into an actor"
                )
        finally:
            host.lock.release()

    def _lost(self, number: int, what: str, dead: bool = False) -> None:
        """Start a successor of an actor, or note why there is none. The host's lock is held."""
        host, recovery, began = self.host(number), self.recovery, time.monotonic()
        if recovery is None or host.history is None:
            host.dead = dead
            host.failure = TileError(f"{host.where} {what}; the other tiles' weights can still be read")
            return
        while True:
            host.deaths.append(time.monotonic())
            while host.deaths[0] < time.monotonic() - recovery.storm_s:
                host.deaths.popleft()
            where, times = host.where, len(host.deaths)
            if times > recovery.restarts:
                why = f"{where} {what}, for the {times}. time in {recovery.storm_s:g} s"
                break
            LOG.warning("%s %s; it is started again", where, what)
            try:
                self._restart(number)
            except BackendError as error:
                what = f"died and did not come back ({error!s:.200})"
            else:
                self.recovered.restarts += 1
                self.recovered.seconds += time.monotonic() - began
                return
        host.running.kill(not host.address.endpoint.public_key)
        host.dead = True
        host.failure = TileError(f"{why}; its tiles' state is saved, and comes home on leaving")

    def _restart(self, number: int) -> None:
        """A new actor in the place of one, told what that one was told.

        Raises:
            BackendError: it did not start, or died at once.
        """
        host = self.host(number)
        assert self.mailbox is not None
        assert host.history is not None
        if host.history.asked:
            self._take_snapshot(number, host.history)
        host.running.kill(not host.address.endpoint.public_key)
        self.pulses.forget(host.address.endpoint)
        host.epoch += 1
        for layer, _, _ in host.plan.parts:
            self.adders.forget(layer)
        self.mailbox.epochs[number] = host.epoch % 256
        plan = (number, host.plan, host.flow)
        (host.running,) = self.launcher.start([plan], self.mailbox.address, host.epoch % 256)
        self.pulses.watch(host.address.endpoint)
        self.mailbox.heard[number] = since = time.monotonic()
        for frames in host.history.again(self.mailbox.answered.get(number, ())):
            while not _sent(host.socket, frames):
                self.mailbox.receive_waiting(LOOK_SECONDS)
                silent_s = time.monotonic() - max(since, self.mailbox.heard[number])
                missed_s = self.pulses.missed_s(host.address.endpoint)
                if (
                    host.running.ended
                    or missed_s > self.timeout_s
                    or silent_s > self.timeout_s + START_SECONDS
                ):
                    raise BackendError("its successor died or hangs")
        self.mailbox.heard[number] = time.monotonic()

    def make_updates(self) -> None:
        """Updates were made when they were sent."""

    def raise_found(self) -> None:
        """Actors say with each reply what was wrong."""

    def recall(self, number: int, message: Message[Answer]) -> Answer | None:
        """The answer of an actor that is lost for good, told again in this process; None if nothing is known.

        Raises:
            CrossgridError: what it was told cannot be done here.
        """
        host = self.host(number)
        if host.history is None or not host.dead:
            return None
        if host.recalled is None:
            worker = TileWorker(self.device)
            for layer, spec, blocks in host.plan.parts:
                worker.host(layer, spec, blocks)
            for frames in host.history.again(range(host.sent + 1)):
                with contextlib.suppress(CrossgridError):  # whoever sent it was told, or will be
                    worker.handle(decode(frames, REQUESTS).content)
            host.recalled = worker
        reply: Any = host.recalled.handle(message)
        return reply

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


def _sent(socket: zmq.Socket[bytes], frames: Sequence[Any]) -> bool:
    """Send a message whole, or not at all where the socket is full."""
    try:
        send_frames(socket, frames, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True
