"""The same bytes over different transports: seconds of a round trip, and of a broadcast. Medians."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
import zmq

from crossgrid.emulator.tiles.messages import REPLIES, REQUESTS, Done, Stop, Weights, WriteWeights

ROUNDS = 60


def median_seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median time of ``work``, after five that do not count."""
    taken = []
    for _ in range(rounds + 5):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[5:])


@ray.remote(num_cpus=0)
class Echo:
    """Gives back what it is given."""

    def echo(self, x: Any) -> Any:
        return x

    def take(self, x: Any) -> float:
        return float(x[-1])

    @ray.method(tensor_transport="gloo")
    def tensor(self, floats: int) -> Any:
        """A tensor that stays in this process until another actor asks for it."""
        import torch

        return torch.ones(floats)

    @ray.method(tensor_transport="gloo")
    def echo_tensor(self, x: Any) -> Any:
        return x

    def serve(self, directory: str) -> None:
        """Answer on a socket until a message is empty, as a tile actor does."""
        from crossgrid.emulator.wire.lent import Lent
        from crossgrid.emulator.wire.letters import Letter, receive, send

        lent = Lent()
        socket: Any = zmq.Context.instance().socket(zmq.PAIR)
        socket.bind(f"ipc://{directory}/{ray.get_runtime_context().get_actor_id()}")
        while True:
            letter = receive(socket, REQUESTS, lent)
            if isinstance(letter.content, Stop):
                break
            back = Weights((0,), letter.content.w) if letter.wanted else Done()
            send(socket, Letter(back, letter.number, wanted=False))
        socket.close(linger=0)


class Sockets:
    """Actors that serve, and our ends of their sockets."""

    def __init__(self, actors: int) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.actors = [Echo.remote() for _ in range(actors)]
        self.sockets: list[Any] = []
        self.serving = [actor.serve.remote(self.directory.name) for actor in self.actors]
        for actor in self.actors:
            socket: Any = zmq.Context.instance().socket(zmq.PAIR)
            socket.connect(f"ipc://{self.directory.name}/{actor._actor_id.hex()}")
            self.sockets.append(socket)

    def ask(self, x: np.ndarray, back: bool) -> None:
        """Send ``x`` to all, as weights that they shall keep, and wait for all; ``back``: for ``x`` again."""
        from crossgrid.emulator.wire.lent import Lent
        from crossgrid.emulator.wire.letters import Letter, receive, send

        lent = Lent()
        for socket in self.sockets:
            send(socket, Letter(WriteWeights(0, (0,), [x]), number=0, wanted=back))
        for socket in self.sockets:
            receive(socket, REPLIES, lent)

    def close(self) -> None:
        """End the actors."""
        from crossgrid.emulator.wire.letters import Letter, send

        for socket in self.sockets:
            send(socket, Letter(Stop(), number=0, wanted=False))
        ray.get(self.serving)
        for socket in self.sockets:
            socket.close(linger=0)
        self.directory.cleanup()


def sockets(bytes_: int) -> float:
    """Our data plane: a msgpack header and raw frames over ZeroMQ."""
    ends = Sockets(1)
    x = np.ones(bytes_ // 4, np.float32)
    found = median_seconds(lambda: ends.ask(x, True))
    ends.close()
    return found


def classic(bytes_: int) -> float:
    """A call of an actor's method; large arrays go through Ray's object store."""
    actor = Echo.remote()
    x = np.ones(bytes_ // 4, np.float32)
    return median_seconds(lambda: ray.get(actor.echo.remote(x)))


def direct(bytes_: int) -> float:
    """Ray Direct Transport with Gloo. It moves torch tensors between actors, never to or from the driver:

    the tensor is made in one actor, read by a second and its answer by the first.
    """
    from ray.experimental.collective import create_collective_group, destroy_collective_group

    front, tile = Echo.remote(), Echo.remote()
    group = create_collective_group([front, tile], backend="gloo")
    floats = bytes_ // 4
    found = median_seconds(
        lambda: ray.get(front.take.remote(tile.echo_tensor.remote(front.tensor.remote(floats))))
    )
    destroy_collective_group(group)
    return found


def broadcast_sockets(bytes_: int, actors: int) -> float:
    """The same array through each actor's socket."""
    ends = Sockets(actors)
    x = np.ones(bytes_ // 4, np.float32)
    found = median_seconds(lambda: ends.ask(x, False), 20)
    ends.close()
    return found


def broadcast_store(bytes_: int, actors: int) -> float:
    """The array once into Ray's object store, its name to each actor."""
    echoes = [Echo.remote() for _ in range(actors)]
    x = np.ones(bytes_ // 4, np.float32)

    def work() -> None:
        shared = ray.put(x)
        ray.get([echo.take.remote(shared) for echo in echoes])

    return median_seconds(work, 20)


ROUND_TRIPS = {
    "sockets (this project)": sockets,
    "classic Ray call": classic,
    "Ray Direct Transport, Gloo": direct,
}
BROADCASTS = {"sockets (this project)": broadcast_sockets, "ray.put and classic calls": broadcast_store}
