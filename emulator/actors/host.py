"""The driver's end of one actor."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import zmq

from ..errors import TileError
from ..tiles.worker import TileWorker
from ..wire.addresses import Flow
from ..wire.letters import send_frames
from .history import History
from .launch import Running
from .packing import ActorPlan


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


def sent_whole(socket: zmq.Socket[bytes], frames: Sequence[Any]) -> bool:
    """Send a message whole, or not at all where the socket is full."""
    try:
        send_frames(socket, frames, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True
