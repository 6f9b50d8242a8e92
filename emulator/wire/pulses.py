"""Which processes are stopped, and which are merely busy.

ZeroMQ answers a heartbeat (PING and PONG of ZMTP 3.1) in a thread of its own: it does so however long Python
computes, and not where the whole process is stopped or its machine is gone. So there is one more connection
to where each process listens, through which nothing but heartbeats passes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..hosts.interrupts import Uninterrupted
from .addresses import Endpoint

#: milliseconds between two heartbeats, and those after which an answer is missed
BEAT_MS, MISSED_MS = 500, 2000

#: seconds within which a missing answer is noticed, with as much again for a busy machine
NOTICE_SECONDS = 2 * (BEAT_MS + MISSED_MS) / 1e3


class Pulses:
    """Listens whether processes are there, by where they listen; for many threads."""

    def __init__(self) -> None:
        self._sockets: dict[bool, tuple[Any, Any]] = {}  # without and with keys; and what happens to it
        self._missed: dict[str, float] = {}  # since when it is known that there is no answer
        self._lock = threading.Lock()

    def watch(self, endpoint: Endpoint) -> None:
        """Ask the process that listens there from now on."""
        with Uninterrupted(), self._lock:
            self._missed[endpoint.address] = time.monotonic()  # until it has answered once
            socket = self._socket(bool(endpoint.public_key))
            if endpoint.public_key:
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = endpoint.public_key
            socket.connect(endpoint.address)

    def _socket(self, keyed: bool) -> Any:
        """The one that asks; keys, once set, are a socket's for good."""
        if keyed not in self._sockets:
            socket: Any = zmq.Context.instance().socket(zmq.PUSH)
            socket.heartbeat_ivl, socket.heartbeat_timeout = BEAT_MS, MISSED_MS
            events = zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED
            self._sockets[keyed] = socket, socket.get_monitor_socket(events)
        return self._sockets[keyed][0]

    def forget(self, endpoint: Endpoint) -> None:
        """It is gone."""
        with Uninterrupted(), self._lock:
            self._missed.pop(endpoint.address, None)
            with contextlib.suppress(zmq.ZMQError, KeyError):  # it was not watched
                self._sockets[bool(endpoint.public_key)][0].disconnect(endpoint.address)

    def missed_s(self, endpoint: Endpoint) -> float:
        """Seconds for which it has been known that the process does not answer; 0: it does."""
        with Uninterrupted(), self._lock:
            for _, events in self._sockets.values():
                while events.poll(0):
                    self._note(recv_monitor_message(events))
            since = self._missed.get(endpoint.address)
        return 0.0 if since is None else time.monotonic() - since

    def _note(self, event: Any) -> None:
        address = event["endpoint"].decode()
        if event["event"] == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._missed.pop(address, None)
        else:
            self._missed.setdefault(address, time.monotonic())

    def close(self) -> None:
        """Ask nobody any more."""
        with Uninterrupted(), self._lock:
            for socket, events in self._sockets.values():
                socket.disable_monitor()
                events.close(linger=0)
                socket.close(linger=0)
            self._sockets.clear()
