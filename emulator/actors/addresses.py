"""Where the sockets of a run listen, and how much may be under way between them."""

from __future__ import annotations

from dataclasses import dataclass

import zmq

from .wire import FRAME_BYTES


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a socket listens."""

    address: str
    public_key: bytes = b""  # of its CURVE key pair; empty on one node


@dataclass(frozen=True, slots=True)
class Flow:
    """What may be under way between the driver and one actor, in each direction."""

    high_water: int  # messages that wait at each end
    buffer_bytes: int  # of the sockets in the kernel

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Set the limits on a socket that is not bound or connected yet.

        A peer that announces a larger frame is cut off before memory is taken for it.
        """
        socket.maxmsgsize = FRAME_BYTES
        socket.sndhwm = socket.rcvhwm = self.high_water
        socket.sndbuf = socket.rcvbuf = self.buffer_bytes


@dataclass(frozen=True, slots=True)
class DriverAddress:
    """How actors reach the driver."""

    node: str
    directory: str  # private, for sockets on the driver's node
    here: Endpoint
    elsewhere: Endpoint


@dataclass(frozen=True, slots=True)
class ActorAddress:
    """Where an actor listens, and which process it is."""

    endpoint: Endpoint
    node: str
    pid: int
