"""Tiles in Ray actors: Ray places the processes and notices their death, ZeroMQ carries the tensors.

``TileActor`` is a thin shell around a ``TileWorker``: it answers messages on a socket until it is told to
stop. On the driver's node the socket is a file in a private directory, between nodes it is TCP with CURVE
keys that are handed out through Ray.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import zmq

from ..kernels.errors import ConfigError
from .errors import BY_NAME, BackendError, TileError
from .layer_spec import LayerSpec
from .wire import COPY_BYTES, pack, unpack
from .worker import Arrays, Header, TileWorker

#: bytes of its own that a tile actor with numpy and numba needs, before its tiles
ACTOR_BYTES = 110 << 20

#: the part of one layer that an actor hosts: its number, its specification, the blocks
Part = tuple[int, LayerSpec, list[int]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where an actor's socket is."""

    endpoint: str
    public_key: bytes  # empty on one node
    node: str
    pid: int


class TileActor:
    """One physical tile (or a bank of them) in a process of its own."""

    def __init__(self, parts: Sequence[Part], directory: str, driver_node: str) -> None:
        import numba

        numba.set_num_threads(1)  # the actors themselves are the parallelism
        self.worker = TileWorker()
        for layer, spec, blocks in parts:
            self.worker.host(layer, spec, blocks)
        self.socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self.address = self._bind(directory, driver_node)

    def _bind(self, directory: str, driver_node: str) -> Address:
        context = ray.get_runtime_context()
        node, actor = context.get_node_id(), context.get_actor_id()
        assert actor is not None
        if node == driver_node:
            endpoint, public = f"ipc://{directory}/{actor[:16]}", b""
            self.socket.bind(endpoint)
        else:
            public, secret = zmq.curve_keypair()
            self.socket.curve_server = True
            self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
            host = ray.util.get_node_ip_address()
            endpoint = f"tcp://{host}:{self.socket.bind_to_random_port(f'tcp://{host}')}"
        return Address(endpoint, public, node, os.getpid())

    def where(self) -> Address:
        """The socket's address."""
        return self.address

    def serve(self) -> None:
        """Answer messages until one says stop."""
        while True:
            frames = self.socket.recv_multipart(copy=False)
            header, arrays = unpack([frame.buffer for frame in frames])
            if header["op"] == "stop":
                break
            wanted = header["wanted"]
            try:
                answer, out = self._answer(header, arrays)
            except Exception as error:
                answer, out = {"error": type(error).__name__, "message": str(error)}, []
                wanted = True
            if wanted:
                _send(self.socket, {**answer, "id": header["id"]}, out)
        self.socket.close(linger=0)

    def _answer(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        if header["op"] == "process":
            return {"pid": os.getpid(), "cpu_seconds": time.process_time()}, []
        return self.worker.handle(header, arrays)


def _send(socket: zmq.Socket[bytes], header: Header, arrays: Arrays) -> None:
    large = any(array.nbytes > COPY_BYTES for array in arrays)
    socket.send_multipart(pack(header, arrays), copy=not large)


@dataclass(slots=True)
class Host:
    """The driver's end of one actor."""

    actor: Any
    address: Address
    socket: zmq.Socket[bytes]
    serving: Any  # Ray's promise of serve(): kept as long as the actor lives
    label: str  # which tiles of which layers, for messages
    sent: int = 0
    replies: dict[int, tuple[Header, Arrays]] = field(default_factory=dict)
    failures: deque[tuple[Header, Arrays]] = field(default_factory=deque)
    lock: Any = field(default_factory=threading.RLock)


@dataclass(slots=True)
class Waiting:
    """The ticket of a message on its way to an actor."""

    executor: RayExecutor
    host: int
    number: int

    def result(self) -> tuple[Header, Arrays]:
        return self.executor.wait(self.host, self.number)


class RayExecutor:
    """One tile actor a host, each with a socket of its own."""

    def __init__(self, hosts: Sequence[Sequence[Part]], timeout_s: float) -> None:
        """Start an actor for every entry of ``hosts`` and connect to it.

        Raises:
            BackendError: Ray or the actors do not start, or the machine cannot bear so many.
        """
        _require_memory(len(hosts))
        self.timeout_s = timeout_s
        self.owns_ray = not ray.is_initialized()
        self.directory = tempfile.mkdtemp(prefix="crossgrid-")
        self.hosts: list[Host] = []
        try:
            self._start_ray()
            self._start_actors(hosts)
        except BaseException:
            self.close()
            raise

    def _start_ray(self) -> None:
        if not self.owns_ray:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            raise BackendError(
                f"Ray does not start: {error}; run `crossgrid doctor`, or use backend='local'"
            ) from error

    def _start_actors(self, hosts: Sequence[Sequence[Part]]) -> None:
        driver_node = ray.get_runtime_context().get_node_id()
        actor_class = ray.remote(num_cpus=0)(TileActor)
        actors: list[Any] = [actor_class.remote(list(parts), self.directory, driver_node) for parts in hosts]
        try:
            addresses = ray.get([actor.where.remote() for actor in actors], timeout=max(self.timeout_s, 120))
        except Exception as error:
            for actor in actors:
                ray.kill(actor)
            raise BackendError(
                f"{len(actors)} tile actors did not start: {error}; see `ray status`, "
                "or pack tiles with tiles_per_actor='auto'"
            ) from error
        for actor, address, parts in zip(actors, addresses, hosts, strict=True):
            socket: Any = zmq.Context.instance().socket(zmq.DEALER)
            if address.public_key:
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = address.public_key
            socket.connect(address.endpoint)
            self.hosts.append(Host(actor, address, socket, actor.serve.remote(), _label(parts)))

    def submit(self, host: int, header: Header, arrays: Arrays) -> Waiting:
        """Send a message to an actor and expect a reply."""
        return Waiting(self, host, self._send(host, header, arrays, wanted=True))

    def post(self, host: int, header: Header, arrays: Arrays) -> None:
        """Send a message that needs no reply; if it fails, the next wait on this actor raises."""
        self._send(host, header, arrays, wanted=False)

    def _send(self, number: int, header: Header, arrays: Arrays, wanted: bool) -> int:
        host = self.hosts[number]
        with host.lock:
            host.sent += 1
            _send(host.socket, {**header, "id": host.sent, "wanted": wanted}, arrays)
            return host.sent

    def wait(self, number: int, message: int) -> tuple[Header, Arrays]:
        """The reply to a message, or the error that it ended with.

        Raises:
            TileError: the actor died or did not answer in time.
        """
        host = self.hosts[number]
        deadline = time.monotonic() + self.timeout_s
        with host.lock:
            while message not in host.replies and not host.failures:
                if host.socket.poll(1000):
                    self._receive(host)
                else:
                    self._require_alive(host, deadline)
            header, arrays = host.failures.popleft() if host.failures else host.replies.pop(message)
        if "error" in header:
            raise BY_NAME.get(header["error"], TileError)(f"{host.label}: {header['message']}")
        return header, arrays

    def _receive(self, host: Host) -> None:
        frames = host.socket.recv_multipart(copy=False)
        header, arrays = unpack([frame.buffer for frame in frames])
        if "error" in header:
            host.failures.append((header, arrays))
        else:
            host.replies[header["id"]] = (header, arrays)

    def _require_alive(self, host: Host, deadline: float) -> None:
        ended, _ = ray.wait([host.serving], timeout=0)
        where = f"the actor of {host.label} (process {host.address.pid} on node {host.address.node[:8]})"
        if ended:
            raise TileError(f"{where} died; the other tiles' weights can still be read")
        if time.monotonic() > deadline:
            raise TileError(
                f"{where} did not answer within {self.timeout_s:g} s; it hangs or is too slow: "
                "raise timeout_s or put fewer tiles into an actor"
            )

    def processes(self) -> list[dict[str, float]]:
        """Each actor's process: ``pid`` and the ``cpu_seconds`` that it has used."""
        tickets = [self.submit(number, {"op": "process"}, []) for number in range(len(self.hosts))]
        return [{k: header[k] for k in ("pid", "cpu_seconds")} for header, _ in (t.result() for t in tickets)]

    def close(self) -> None:
        """End all actors, wait until they are gone, and stop Ray where this executor started it."""
        for host in self.hosts:
            with contextlib.suppress(zmq.ZMQError):
                host.socket.send_multipart(pack({"op": "stop"}, []), flags=zmq.NOBLOCK)
        if self.hosts and ray.is_initialized():
            ray.wait([host.serving for host in self.hosts], num_returns=len(self.hosts), timeout=5)
        for host in self.hosts:
            host.socket.close(linger=0)
            if ray.is_initialized():
                ray.kill(host.actor)
        here = [host.address.pid for host in self.hosts if not host.address.public_key]
        self.hosts.clear()
        if self.owns_ray and ray.is_initialized():
            ray.shutdown()
        _wait_until_gone(here)
        shutil.rmtree(self.directory, ignore_errors=True)


def _label(parts: Sequence[Part]) -> str:
    names = [f"tile {spec.tiles[b].label} of layer {spec.name}" for _, spec, blocks in parts for b in blocks]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _require_memory(actors: int) -> None:
    import psutil

    available = psutil.virtual_memory().available
    if actors * ACTOR_BYTES > available:
        raise ConfigError(
            f"{actors} tile actors need about {actors * ACTOR_BYTES >> 20} MB, {available >> 20} are free; "
            f"at most {available // ACTOR_BYTES} actors fit; pack tiles with tiles_per_actor='auto'"
        )


def _wait_until_gone(pids: Sequence[int], seconds: float = 10.0) -> None:
    import psutil

    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
