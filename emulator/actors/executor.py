"""Tiles in Ray actors: Ray places the processes and notices their death, ZeroMQ carries the tensors."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import ray
import zmq
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.errors import CrossgridError

from ..errors import BY_NAME, BackendError, ProtocolError, TileError
from ..hosts.executor import Hosting, Ticket
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Answer, Failed, Message, Process, Stop, answer_to
from .actor import TileActor
from .addresses import ActorAddress
from .mailbox import Mailbox, flow_of
from .packing import ActorPlan, Node, plan_actors
from .wire import Letter, send

#: seconds that Ray may take to start the first actor, and each further one, on a busy machine
START_SECONDS, START_SECONDS_EACH = 120.0, 4.0


@dataclass(slots=True)
class Host:
    """The driver's end of one actor."""

    actor: Any
    address: ActorAddress
    socket: zmq.Socket[bytes]
    serving: Any  # Ray's promise of serve(): kept as long as the actor lives
    label: str  # which tiles of which layers, for messages
    sent: int = 0
    dead: bool = False
    failure: TileError | None = None  # set once the actor is known to be dead or to hang
    lock: Any = field(default_factory=threading.Lock)  # sockets are not for two threads at once

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

    def __init__(
        self, specs: Sequence[LayerSpec], tiles_per_actor: int | Literal["auto"], timeout_s: float,
        device: BackendName = "cpu",
    ) -> None:  # fmt: skip
        """Start the actors of these layers' tiles and connect to them.

        Raises:
            ConfigError: the nodes cannot bear so many actors.
            BackendError: Ray or the actors do not start.
        """
        self.timeout_s, self.device = timeout_s, device
        self.owns_ray = not ray.is_initialized()
        if self.owns_ray:
            plan_actors(specs, tiles_per_actor, [_this_machine()], device == "cuda")
        self.directory = tempfile.mkdtemp(prefix="crossgrid-")
        self.hosts: list[Host] = []
        self.groups: list[Any] = []  # Ray's placement groups, one a chip
        self.mailbox: Mailbox | None = None
        try:
            if self.owns_ray:
                _start_ray()
            plans = plan_actors(specs, tiles_per_actor, _nodes(), device == "cuda")
            self._start_actors(plans)
        except BaseException:
            self.close()
            raise
        self.hostings: list[Hosting] = [{} for _ in specs]
        for number, plan in enumerate(plans):
            for layer, _, blocks in plan.parts:
                self.hostings[layer][number] = blocks

    def _start_actors(self, plans: Sequence[ActorPlan]) -> None:
        here = ray.get_runtime_context().get_node_id()
        flows = [flow_of(plan.parts) for plan in plans]
        alone = all(plan.node == here for plan in plans)
        self.mailbox = Mailbox(self.directory, flows, here, alone)
        groups = {chip: self._reserve(chip, plans) for chip in {plan.chip for plan in plans}}
        actors: list[Any] = [
            ray.remote(TileActor)
            .options(
                num_cpus=plan.processors,
                num_gpus=plan.cards,
                scheduling_strategy=PlacementGroupSchedulingStrategy(groups[plan.chip]),
            )
            .remote(number, plan.parts, plan.threads, self.mailbox.address, flow, self.device)
            for number, (plan, flow) in enumerate(zip(plans, flows, strict=True))
        ]
        try:
            addresses = ray.get(
                [actor.where.remote() for actor in actors], timeout=self._start_seconds(len(actors))
            )
        except Exception as error:
            for actor in actors:
                ray.kill(actor)
            raise BackendError(
                f"{len(actors)} tile actors did not start: {error}; see `ray status`, "
                "or pack tiles with tiles_per_actor='auto'"
            ) from error
        for actor, address, plan, flow in zip(actors, addresses, plans, flows, strict=True):
            socket: Any = zmq.Context.instance().socket(zmq.PUSH)
            flow.apply(socket)
            if address.endpoint.public_key:
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = address.endpoint.public_key
            socket.connect(address.endpoint.address)
            self.hosts.append(Host(actor, address, socket, actor.serve.remote(), plan.label))

    def _reserve(self, chip: int, plans: Sequence[ActorPlan]) -> Any:
        """A placement group for a chip: all its actors on one node."""
        actors = [plan for plan in plans if plan.chip == chip]
        wanted = {"CPU": sum(a.processors for a in actors), "GPU": sum(a.cards for a in actors)}
        bundle = {name: round(amount, 4) for name, amount in wanted.items() if amount}
        group = placement_group(
            [bundle], strategy="STRICT_PACK", bundle_label_selector=[{"ray.io/node-id": actors[0].node}]
        )
        self.groups.append(group)
        if not group.wait(self._start_seconds(len(actors))):
            raise BackendError(
                f"Ray cannot reserve {bundle} on node {actors[0].node[:8]} for the {len(actors)} actors of "
                f"chip {chip}: others use them, see `ray status`"
            )
        return group

    def _start_seconds(self, actors: int) -> float:
        return max(self.timeout_s, START_SECONDS + START_SECONDS_EACH * actors)

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> Ticket[Answer]:
        """Send a message to an actor, and wait while that has as many messages waiting as it may have.

        Of one whose reply is not ``wanted`` the failure is raised by a later wait; see also ``settle``.
        """
        number, actor = host, self.hosts[host]
        assert self.mailbox is not None
        since = time.monotonic()
        with actor.lock:
            actor.sent += 1
            letter = Letter(message, actor.sent, wanted)
            while actor.failure is None:
                try:
                    send(actor.socket, letter, zmq.NOBLOCK)
                except zmq.Again:
                    self.mailbox.receive_waiting(0.05)
                    self._look_after(number, since)
                else:
                    return Waiting(self, number, letter.number, answer_to(message))
            raise actor.failure

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
            TileError: the actor died or did not answer in time.
            ProtocolError: the reply cannot be read, or is none to this message.
        """
        host = self.hosts[number]
        assert self.mailbox is not None
        since = time.monotonic()
        while (reply := self.mailbox.take(number, message, 0.5)) is None:
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
        return BY_NAME.get(failed.error, TileError)(f"{self.hosts[number].label}: {failed.text}")

    def _look_after(self, number: int, since: float) -> None:
        """Note that an actor died, or that it said nothing for too long while we waited."""
        host = self.hosts[number]
        assert self.mailbox is not None
        ended, _ = ray.wait([host.serving], timeout=0)
        if ended:
            host.dead = True
            host.failure = TileError(f"{host.where} died; the other tiles' weights can still be read")
        elif time.monotonic() - max(since, self.mailbox.heard.get(number, since)) > self.timeout_s:
            host.failure = TileError(
                f"{host.where} did not answer within {self.timeout_s:g} s; it hangs or is too slow: "
                "raise timeout_s or put fewer tiles into an actor"
            )

    def forgive(self) -> None:
        """Give actors that were too slow one more chance."""
        for host in self.hosts:
            if not host.dead:
                host.failure = None

    def processes(self) -> list[dict[str, float]]:
        """Each actor's process: ``pid`` and the ``cpu_seconds`` that it has used."""
        tickets = [self.submit(number, Process()) for number in range(len(self.hosts))]
        return [{"pid": used.pid, "cpu_seconds": used.cpu_seconds} for used in (t.result() for t in tickets)]

    def close(self) -> None:
        """End all actors, wait until they are gone, and stop Ray where this executor started it."""
        running = ray.is_initialized()
        listening = [host.serving for host in self.hosts if host.failure is None]
        here = [host for host in self.hosts if not host.address.endpoint.public_key]
        stopped = [host.address.pid for host in here if host.failure is not None and not host.dead]
        for host in self.hosts:
            host.failure = host.failure or TileError("the emulation has ended; its tiles answer no more")
            with host.lock, contextlib.suppress(zmq.ZMQError):  # a scrape of the metrics may be under way
                send(host.socket, Letter(Stop(), 0, False), zmq.NOBLOCK)
        if listening and running:
            ray.wait(listening, num_returns=len(listening), timeout=5)
        for host in self.hosts:
            host.socket.close(linger=0)
            if running:
                ray.kill(host.actor)
        if self.mailbox is not None:
            self.mailbox.close()
        if running:
            for group in self.groups:
                remove_placement_group(group)
        for pid in stopped:  # a stopped process does not hear Ray
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.hosts.clear()
        if self.owns_ray and ray.is_initialized():
            ray.shutdown()
        _wait_until_gone([host.address.pid for host in here])
        shutil.rmtree(self.directory, ignore_errors=True)


def _start_ray() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 if not set: actors would yield to everything
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise BackendError(
            f"Ray does not start: {error}; run `crossgrid doctor`, or use backend='local'"
        ) from error


def _this_machine() -> Node:
    import psutil
    import torch

    cards = float(torch.cuda.device_count())
    return Node("", os.cpu_count() or 1, cards, psutil.virtual_memory().available)


def _nodes() -> list[Node]:
    """What Ray's living nodes offer; of our own the memory that is free now."""
    here = ray.get_runtime_context().get_node_id()
    free = _this_machine().free_bytes
    return [
        Node(
            node["NodeID"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            free if node["NodeID"] == here else int(node["Resources"].get("memory", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _wait_until_gone(pids: Sequence[int], seconds: float = 10.0) -> None:
    import psutil

    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
