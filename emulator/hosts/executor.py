"""Where tiles live. The front-end speaks to an executor; a worker behind it does the work.

``LocalExecutor`` has one worker in this process. ``RayExecutor`` (``actors/executor.py``) has one in every
tile actor. Both take the same messages, in the same order, and give the same bits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from numpy.typing import NDArray

from crossgrid.kernels.backends import BackendName
from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Answer, Message, Stats, Sums
from ..tiles.worker import TileWorker

if TYPE_CHECKING:
    from typing_extensions import Self

#: which of a layer's blocks each host holds, by the host's number
Hosting = dict[int, list[int]]

Answered_co = TypeVar("Answered_co", covariant=True)


class Ticket(Protocol[Answered_co]):
    """A message on its way."""

    def result(self, failures: bool = True) -> Answered_co:
        """Wait for the reply. An error in the worker is raised here.

        With ``failures`` so is that of a message before it that wanted no reply.
        """
        ...


@dataclass(slots=True)
class Recovered:
    """What hosts that died have cost, and what is kept for those that may."""

    restarts: int = 0
    seconds: float = 0.0  # from the notice of a death until its successor was told everything
    log_bytes: int = 0  # of messages since the last snapshots
    snapshot_bytes: int = 0


@dataclass(slots=True)
class Traffic:
    """Bytes of letters that went through this process's sockets."""

    sent: int = 0
    received: int = 0


class Keeper(Protocol):
    """Another process that has layers whole: what they are trained to, and what was programmed."""

    def program(self, layers: Sequence[int]) -> None:
        """Write the trained weights of layers to their devices."""
        ...

    def drift(self, layers: Sequence[int], seconds: float) -> None:
        """Let time pass for layers."""
        ...

    def weights_of(self, layer: int) -> Floats:
        """What a layer multiplies by, [out, in]."""
        ...

    def changing(self, layer: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What has changed in a layer, in plain values and arrays."""
        ...


class Addition:
    """A read of a layer's tiles: who adds the partial sums. This one leaves them all to the front-end."""

    gather: tuple[int, int] | None = None  # what the tiles' hosts are told, see ``Forward``

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The read is done, or given up."""

    def completed(self, replies: Sequence[Sums]) -> Sequence[Sums]:
        """All sums of the read, from what the hosts replied."""
        return replies


#: whatever is read, the front-end adds
HERE = Addition()


class Executor(Protocol):
    """Hosts that obey messages."""

    recovered: Recovered
    keeper: Keeper | None  # of whole layers; None: the front-end keeps what tiles do not
    on_card: bool  # whether tensors of this process's card are read as they are, and nobody waits for it
    findings: Any  # what kernels there find wrong (``Findings``), where nobody waits for it

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> Ticket[Answer]:
        """Send a message to a host. Messages to one host are obeyed in order.

        One whose reply is not ``wanted`` is not waited for; its failure is raised by a later ``result()``.
        """
        ...

    def glance(self, host: int, message: Message[Answer]) -> Ticket[Answer]:
        """Ask what changes nothing, from any thread: who must not wait or be brought back refuses.

        Raises:
            BackendError: the host has something else to do.
        """
        ...

    def adding(self, layer: int, vectors: int, along_row: bool) -> Addition:
        """A read of all tiles of a layer begins, forward (along rows of blocks) or backward."""
        ...

    def settle(self) -> CrossgridError | None:
        """Wait until all that was sent is done; what it failed with, if nobody was told yet."""
        ...

    def make_updates(self) -> None:
        """Begin what waited to be done with others: all updates of a step were sent."""
        ...

    def raise_found(self) -> None:
        """Wait for the card, where nobody else does, and raise what its kernels found wrong."""
        ...

    def recall(self, host: int, message: Message[Answer]) -> Answer | None:
        """What a host that is lost for good would answer, where that is known."""
        ...

    def forgive(self) -> None:
        """The model is about to leave: give hosts that were too slow one more chance."""
        ...

    def close(self) -> None:
        """End all hosts."""
        ...


@dataclass(slots=True)
class Answered(Generic[Answer]):
    """The ticket of a message that was answered at once."""

    reply: Answer

    def result(self, failures: bool = True) -> Answer:
        return self.reply


class LocalExecutor:
    """One worker in this process, host 0.

    Its kernels use all processors themselves, so messages of several threads wait for each other.
    """

    def __init__(self, device: BackendName = "cpu") -> None:
        import torch  # here: tile actors know this module, and load no torch

        self._threads, self._set_threads = torch.get_num_threads, torch.set_num_threads
        self.worker = TileWorker(device, late=True)
        self.findings = None if self.worker.updates is None else self.worker.updates.findings
        self.on_card = self.findings is not None
        self.recovered = Recovered()
        self.keeper: Keeper | None = None
        self.lock = threading.Lock()

    def place(self, layer: int, spec: LayerSpec) -> Hosting:
        """Build all tiles of a layer here."""
        blocks = [tile.block for tile in spec.tiles]
        self.worker.host(layer, spec, blocks)
        return {0: blocks}

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> Answered[Answer]:
        assert host == 0
        if isinstance(message, Stats) and self.worker.counts_alone(message.layer):
            counters: Any = self.worker.handle(message)
            return Answered(counters)
        threads = self._threads()
        with self.lock:
            reply: Any = self.worker.handle(message)
        if self._threads() != threads:  # numba's began, and OpenMP gave torch as many: its sums follow them
            self._set_threads(threads)
        return Answered(reply)

    def glance(self, host: int, message: Message[Answer]) -> Answered[Answer]:
        return self.submit(host, message)

    def adding(self, layer: int, vectors: int, along_row: bool) -> Addition:
        return HERE

    def settle(self) -> None:
        """What is sent is done at once, and raises."""

    def make_updates(self) -> None:
        """Launch the updates of all layers on a card."""
        if self.worker.updates is not None:
            with self.lock:
                self.worker.updates.make(ends_step=True)

    def raise_found(self) -> None:
        """Raise what the card's kernels found wrong."""
        with self.lock:
            self.worker.raise_found()

    def recall(self, host: int, message: Message[Answer]) -> None:
        """A worker in this process is not lost."""

    def forgive(self) -> None:
        """A worker in this process is never too slow."""

    def close(self) -> None:
        self.worker.layers.clear()


class Absent:
    """No host at all: of layers whose numbers are in a file still."""

    on_card, findings = False, None

    def __init__(self) -> None:
        self.recovered = Recovered()
        self.keeper: Keeper | None = None

    def submit(self, host: int, message: Message[Answer], wanted: bool = True) -> NoReturn:
        """There is nobody who could obey.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "the model was built within cg.deferred() and has no numbers yet: give them with "
            "cg.emulate(model, weights=FILE_OR_DIRECTORY)"
        )

    def glance(self, host: int, message: Message[Answer]) -> NoReturn:
        self.submit(host, message)

    def adding(self, layer: int, vectors: int, along_row: bool) -> Addition:
        return HERE

    def settle(self) -> None:
        """Nothing was sent."""

    def make_updates(self) -> None:
        """Nothing waits."""

    def raise_found(self) -> None:
        """Nobody computes."""

    def recall(self, host: int, message: Message[Answer]) -> None:
        """There was nobody who could be lost."""

    def forgive(self) -> None:
        """There is nobody who could be too slow."""

    def close(self) -> None:
        """There is nothing to end."""
