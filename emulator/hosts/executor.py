"""Where tiles live. The front-end speaks to an executor; a worker behind it does the work.

``LocalExecutor`` has one worker in this process. ``RayExecutor`` (``actors/executor.py``) has one in every
tile actor. Both take the same messages, in the same order, and give the same bits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.errors import CrossgridError

from ..tiles.layer_spec import LayerSpec
from ..tiles.worker import Arrays, Header, TileWorker

#: a layer's tiles by host: for each host number the blocks that it holds
Placement = dict[int, list[int]]


class Ticket(Protocol):
    """A message on its way."""

    def result(self) -> tuple[Header, Arrays]:
        """Wait for the reply. An error in the worker is raised here."""
        ...


class Executor(Protocol):
    """Hosts that answer messages."""

    def submit(self, host: int, header: Header, arrays: Arrays) -> Ticket:
        """Send a message to a host. Messages to one host are answered in order."""
        ...

    def post(self, host: int, header: Header, arrays: Arrays) -> None:
        """Send a message that needs no reply. Its failure is raised by a later ``result()``."""
        ...

    def settle(self) -> CrossgridError | None:
        """Wait until all that was posted is done; what it failed with, if nobody was told yet."""
        ...

    def forgive(self) -> None:
        """Give hosts that were too slow one more chance."""
        ...

    def close(self) -> None:
        """End all hosts."""
        ...


@dataclass(slots=True)
class Answered:
    """The ticket of a message that was answered at once."""

    reply: tuple[Header, Arrays]

    def result(self) -> tuple[Header, Arrays]:
        return self.reply


class LocalExecutor:
    """One worker in this process, host 0.

    Its kernels use all processors themselves, so messages of several threads wait for each other.
    """

    def __init__(self, device: BackendName = "cpu") -> None:
        self.worker = TileWorker(device)
        self.lock = threading.Lock()

    def place(self, layer: int, spec: LayerSpec) -> Placement:
        """Build all tiles of a layer here."""
        blocks = [tile.block for tile in spec.tiles]
        self.worker.host(layer, spec, blocks)
        return {0: blocks}

    def submit(self, host: int, header: dict[str, Any], arrays: Arrays) -> Answered:
        assert host == 0
        with self.lock:
            return Answered(self.worker.handle(header, arrays))

    def post(self, host: int, header: dict[str, Any], arrays: Arrays) -> None:
        self.submit(host, header, arrays)

    def settle(self) -> None:
        """What is posted is done at once, and raises."""

    def forgive(self) -> None:
        """A worker in this process is never too slow."""

    def close(self) -> None:
        self.worker.layers.clear()
