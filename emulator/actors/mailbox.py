"""The driver's end of the sockets: a mailbox for the replies of all actors, and how much may be under way."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ray
import zmq

from ..errors import ENDED, BackendError
from ..hosts.interrupts import Uninterrupted
from ..tiles.messages import REPLIES, Failed, Reply, Totals
from ..wire.addresses import DriverAddress, Endpoint, Flow
from ..wire.lent import Lent
from ..wire.letters import Letter, receive
from .packing import Part

LOG = logging.getLogger("crossgrid")

#: vectors of a message that the limits are sized for
VECTORS = 64

#: how long a receiver waits at once
PATIENCE_MS = 50

#: bytes that may wait for one actor; a driver with 100 slow actors still fits into memory
WAITING_BYTES = 16 << 20


def flow_of(parts: Sequence[Part]) -> Flow:
    """The limits of an actor's sockets, from the widths of the tiles that it hosts."""
    widest = 0
    for _, spec, blocks in parts:
        tiles = [spec.tiles[block] for block in blocks]
        inputs = sum({tile.column: tile.shape[1] for tile in tiles}.values())
        outputs = sum({tile.row: tile.shape[0] for tile in tiles}.values())
        widest = max(widest, 4 * VECTORS * max(inputs, outputs))
    return Flow(
        high_water=min(max(WAITING_BYTES // widest, 4), 1000), buffer_bytes=min(max(widest, 1 << 16), 1 << 23)
    )


class Mailbox:
    """Replies of all actors, for many threads: whoever waits receives for the others too."""

    def __init__(
        self, directory: str, flows: Sequence[Flow], node: str, alone: bool, sent: Callable[[int], int]
    ) -> None:
        """Listen in ``directory``, and, unless the driver's node is ``alone``, on the network.

        ``sent`` tells how many messages an actor was sent.
        """
        self.heard: dict[int, float] = {}  # when each actor said something last
        self.epochs: dict[int, int] = {}  # how often each was restarted: its predecessors are not listened to
        self.answered: dict[int, set[int]] = {}  # messages whose reply came: a successor repeats it
        self._sent = sent
        self._expected: set[int] = set()  # reads of which actors add sums
        self._replies: dict[tuple[int, int], Reply] = {}
        self._failures: dict[int, deque[Failed]] = {}
        self._arrived = threading.Condition()
        self._lent = Lent()
        self._receiving = False
        self._closed = False
        self._poller = zmq.Poller()
        self._sockets: list[Any] = []
        limits = Flow(max(flow.high_water for flow in flows), max(flow.buffer_bytes for flow in flows))
        here, elsewhere = Endpoint(f"ipc://{directory}/driver"), Endpoint("")
        self._listen(limits).bind(here.address)
        if not alone:
            socket = self._listen(limits)
            public, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_publickey, socket.curve_server = public, True
            host = ray.util.get_node_ip_address()
            elsewhere = Endpoint(f"tcp://{host}:{socket.bind_to_random_port(f'tcp://{host}')}", public)
        self.address = DriverAddress(node, directory, here, elsewhere)

    def _listen(self, limits: Flow) -> Any:
        socket: Any = zmq.Context.instance().socket(zmq.PULL)
        limits.apply(socket)
        socket.rcvtimeo = PATIENCE_MS
        self._poller.register(socket, zmq.POLLIN)
        self._sockets.append(socket)
        return socket

    def take(self, actor: int, message: int, seconds: float) -> Reply | None:
        """The reply to a message; None if it took too long.

        Raises:
            BackendError: the mailbox was closed meanwhile.
        """
        deadline, key = time.monotonic() + seconds, (actor, message)
        while True:
            with Uninterrupted():
                with self._arrived:
                    if self._closed:
                        raise BackendError(ENDED)
                    found = self._replies.pop(key, None)
                    left = deadline - time.monotonic()
                    if found is not None or left <= 0:
                        return found
                    if self._receiving:
                        self._arrived.wait(min(left, PATIENCE_MS / 1e3))
                        continue
                    self._receiving = True
                found = self._receive(left, key)
                if found is not None:
                    return found

    def expect(self, read: int) -> None:
        """Actors that add sums of a read will send them."""
        with self._arrived:
            self._expected.add(read)

    def expect_no_more(self, read: int, adders: Iterable[int]) -> None:
        """Whatever actors send of a read is dropped."""
        with self._arrived:
            self._expected.discard(read)
            for actor in adders:
                self._replies.pop((actor, -read), None)

    def take_total(self, actor: int, read: int, seconds: float) -> Totals | None:
        """What an actor added of a read; None if it took too long."""
        found = self.take(actor, -read, seconds)
        return found if isinstance(found, Totals) else None

    def take_all(self, actor: int, messages: Sequence[int]) -> dict[int, Reply] | None:
        """The replies to several messages once all are here, else None; it does not wait."""
        with self._arrived:
            if any((actor, message) not in self._replies for message in messages):
                return None
            return {message: self._replies.pop((actor, message)) for message in messages}

    def forget(self, actor: int, before: int) -> None:
        """Messages before that one will not be repeated: forget which of them were answered."""
        with self._arrived:
            self.answered[actor] = {n for n in self.answered.get(actor, ()) if n >= before}

    def receive_waiting(self, seconds: float) -> None:
        """Receive what arrives within ``seconds``, so that no actor stands still because we do."""
        with Uninterrupted():
            with self._arrived:
                if self._receiving or self._closed:
                    self._arrived.wait(seconds)
                    return
                self._receiving = True
            self._receive(seconds)

    def close(self) -> None:
        """Stop listening, once nobody receives: ZeroMQ aborts the process where a socket in use is closed."""
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
            self._arrived.wait_for(lambda: not self._receiving)
        for socket in self._sockets:
            socket.close(linger=0)

    def failure(self, actor: int) -> Failed | None:
        """The first failure of a message to that actor that nobody waited for and nobody was told of.

        An actor answers in order: after the reply to a message, the failures of all before it are here.
        """
        if not self._failures:
            return None  # without the lock: those of before the reply were there with it
        with self._arrived:
            waiting = self._failures.get(actor)
            return waiting.popleft() if waiting else None

    def _receive(self, seconds: float, key: tuple[int, int] | None = None) -> Reply | None:
        """Receive what comes first; only the one thread that set ``_receiving`` is here.

        Returns the reply ``key``, (actor, message), if it is here then.
        """
        received: list[Letter] = []
        try:
            for socket in self._ready(seconds):
                received.append(receive(socket, REPLIES, self._lent))
        except zmq.Again:
            pass  # nothing came
        finally:
            with self._arrived:
                self._receiving = False
                for letter in received:
                    self._deliver(letter)
                self._arrived.notify_all()
                found = None if key is None else self._replies.pop(key, None)
        return found

    def _ready(self, seconds: float) -> list[Any]:
        """The sockets to receive from; the only one waits by itself, which is faster than to ask first."""
        if len(self._sockets) == 1:
            return self._sockets
        return [socket for socket, _ in self._poller.poll(min(round(seconds * 1e3), PATIENCE_MS))]

    def _deliver(self, letter: Letter) -> None:
        actor, reply = letter.sender, letter.content
        if letter.number == 0:  # of no message of ours: somebody else wrote to the actor, or to us
            LOG.warning("actor %d: %s", actor, getattr(reply, "text", reply))
            return
        if letter.epoch != self.epochs.get(actor, 0):
            return  # of a predecessor that was held up; its successor answers
        self.heard[actor] = time.monotonic()
        if isinstance(reply, Totals):  # of a read, not of a message
            if letter.number in self._expected:
                self._replies[actor, -letter.number] = reply
            return
        answered = self.answered.setdefault(actor, set())
        if letter.number in answered or letter.number > self._sent(actor):
            return
        if letter.wanted or isinstance(reply, Failed):
            answered.add(letter.number)
        if letter.wanted:
            self._replies[actor, letter.number] = reply
        elif isinstance(reply, Failed):  # only failures come back without being asked for
            self._failures.setdefault(actor, deque()).append(reply)
