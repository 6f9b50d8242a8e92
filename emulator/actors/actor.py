"""TileActor: a thin shell around a ``TileWorker`` that answers messages on a socket until it is told to stop.

It reads requests from a socket of its own and pushes replies to the driver's. On the driver's node both
are files in a private directory; between nodes they are TCP with CURVE keys that are handed out through Ray.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import ray
import zmq

from crossgrid.kernels.backends import BackendName

from ..tiles.messages import (
    REQUESTS,
    Backward,
    Done,
    Failed,
    Forward,
    Parts,
    Peers,
    Process,
    ReadParts,
    Reply,
    Stop,
    Sums,
    Totals,
    Usage,
)
from ..tiles.worker import TileWorker
from ..wire.addresses import ActorAddress, DriverAddress, Flow, listen
from ..wire.directory import is_abandoned
from ..wire.lent import Lent
from ..wire.letters import Letter, receive, send
from .adding import Gathering
from .packing import Part

#: how long an actor listens before it looks whether its driver is still there
LISTEN_MS = 5000


class TileActor:
    """One physical tile (or a bank of them) in a process of its own."""

    def __init__(
        self, number: int, parts: Sequence[Part], threads: int, driver: DriverAddress, flow: Flow,
        device: BackendName, epoch: int,
    ) -> None:  # fmt: skip
        import numba  # here: the driver knows this class and computes nothing

        from crossgrid.kernels.machine.lean_numba import load_only

        load_only()
        numba.set_num_threads(min(threads, numba.get_num_threads()))
        self.number, self.epoch = number, epoch
        self.worker = TileWorker(device)
        for layer, spec, blocks in parts:
            self.worker.host(layer, spec, blocks)
        ray_context = ray.get_runtime_context()
        node, actor = ray_context.get_node_id(), ray_context.get_actor_id()
        assert actor is not None
        here = node == driver.node
        self.directory = driver.directory if here else ""  # of the run's sockets, on the driver's node
        context: Any = zmq.Context.instance()
        self.requests: Any = context.socket(zmq.PULL)
        flow.apply(self.requests)
        self.requests.rcvtimeo = LISTEN_MS
        endpoint = listen(self.requests, driver.directory if here else None, actor[:16])
        self.replies: Any = (driver.here if here else driver.elsewhere).connected(flow)
        self.lent = Lent()
        self.gathering = Gathering(number, self._add)
        self.address = ActorAddress(endpoint, node, os.getpid())

    def where(self) -> ActorAddress:
        """The socket's address."""
        return self.address

    def serve(self) -> None:
        """Answer messages until one says stop, or the driver on this node is gone."""
        while not isinstance((letter := self._next()).content, Stop):
            try:
                reply = self.answer(letter.content)
            except Exception as error:
                reply = Failed(type(error).__name__, str(error))
            if letter.wanted or isinstance(reply, Failed):
                send(self.replies, Letter(reply, letter.number, letter.wanted, self.number, self.epoch))
        self.gathering.close()
        for socket in (self.requests, self.replies):
            socket.close(linger=0)

    def _add(self, totals: Totals, read: int) -> None:
        """Send the driver what was added of a read."""
        send(self.replies, Letter(totals, read, False, self.number, self.epoch))

    def _next(self) -> Letter:
        """The next message; where the driver is gone, that the actor shall stop."""
        while True:
            try:
                return receive(self.requests, REQUESTS, self.lent)
            except zmq.Again:
                if self.directory and is_abandoned(self.directory):
                    return Letter(Stop(), 0, False)

    def answer(self, message: Any) -> Reply:
        """The reply to one message; to one that could not be read, why."""
        match message:
            case Failed():
                return message
            case Process():
                return Usage(os.getpid(), time.process_time())
            case Peers():
                self.gathering.meet(message)
            case Parts():
                self.gathering.take(message)
            case ReadParts():
                return self.gathering.own(message)
            case Forward(gather=gather) | Backward(gather=gather) if gather is not None:
                sums = self.worker.handle(message)
                assert isinstance(sums, Sums)
                return self.gathering.share(message, sums)
            case _:
                return self.worker.handle(message)
        return Done()
