"""Where the sockets of a run listen, and how much may be under way between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
import zmq

from .letters import FRAME_BYTES


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a socket listens."""

    address: str
    public_key: bytes = b""  # of its CURVE key pair; empty on one node

    def connected(self, flow: Flow) -> Any:
        """A socket that sends there."""
        socket: Any = zmq.Context.instance().socket(zmq.PUSH)
        flow.apply(socket)
        if self.public_key:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = self.public_key
        socket.connect(self.address)
        return socket


def listen(socket: Any, directory: str | None, name: str) -> Endpoint:
    """Bind a socket: to a file in a private directory, or, between nodes, to TCP with a CURVE key pair."""
    if directory is not None:
        endpoint = Endpoint(f"ipc://{directory}/{name}")
        socket.bind(endpoint.address)
        return endpoint
    # who knows the public key of a CURVE server may speak to it; only Ray hands it out
    public, secret = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey, socket.curve_server = public, secret, True
    host = ray.util.get_node_ip_address()
    return Endpoint(f"tcp://{host}:{socket.bind_to_random_port(f'tcp://{host}')}", public)


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
