"""TileWorker: hosts tiles of any layers and obeys the messages of ``messages.py``.

One worker lives in this process (``LocalExecutor``) or in a Ray actor (``TileActor``); it knows neither.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossgrid.kernels.backends import BackendName, Cuda, backend_of

from ..disk.arrays import read_arrays, write_arrays
from ..errors import ProtocolError
from .layer import HostedLayer
from .layer_spec import LayerSpec
from .messages import (
    Backward,
    Counters,
    Done,
    Drift,
    Forget,
    Forward,
    LetPass,
    Loaded,
    LoadSnapshot,
    LoadState,
    LoadStored,
    LookAtStored,
    Message,
    Program,
    ReadSnapshot,
    ReadState,
    ReadWeights,
    Reply,
    Saved,
    SaveState,
    Stats,
    Update,
    WriteStored,
    WriteWeights,
)
from .snapshot import load_snapshot, snapshot_of
from .values import are_arrays, as_array

DONE = Done()


@dataclass(slots=True)
class Clock:
    """How long a worker worked, and how long it waited for work in between: its bubbles."""

    started: float | None = None
    stopped: float = 0.0
    busy_seconds: float = 0.0

    def add(self, start: float) -> None:
        """Note a piece of work that began at ``start`` and ends now."""
        if self.started is None:
            self.started = start
        self.stopped = time.perf_counter()
        self.busy_seconds += self.stopped - start

    def shared_counters(self) -> dict[str, float]:
        """Seconds from the first piece of work to the end of the last, and those of them without work."""
        run_seconds = 0.0 if self.started is None else self.stopped - self.started
        return {"run_seconds": run_seconds, "waiting_seconds": run_seconds - self.busy_seconds}


class TileWorker:
    """Hosts layers' tiles and obeys messages about them."""

    def __init__(self, device: BackendName = "cpu", late: bool = False) -> None:
        """``late``: nobody waits for a card; what its kernels find wrong is said when somebody looks."""
        self.device: BackendName = device
        backend = backend_of(device)
        self.updates = backend.new_updates() if late and isinstance(backend, Cuda) else None
        self.layers: dict[int, HostedLayer] = {}
        self.clock = Clock()

    def host(self, layer: int, spec: LayerSpec, blocks: Sequence[int]) -> None:
        """Build the tiles ``blocks`` of a layer: draw their devices, weights zero."""
        self.layers[layer] = HostedLayer(spec, blocks, self.device, self.updates)

    def counts_alone(self, layer: int) -> bool:
        """Whether a scrape can read a layer's counters on a card while others give it work."""
        hosted = self.layers.get(layer)
        return self.updates is not None and hosted is not None and hosted.counts_alone()

    def raise_found(self) -> None:
        """Wait for a card that nobody else waits for, and say what its kernels found wrong.

        Raises:
            InputError: the layer, the step, and what it was.
        """
        if self.updates is not None:
            self.updates.raise_found()

    def handle(self, message: Message[Any]) -> Reply:
        """Do what the message asks for.

        Raises:
            ProtocolError: its layer is not hosted here, or it does not fit the layer; nothing has changed.
            InputError: kernels on a card found something wrong before, and nobody was told.
        """
        start = time.perf_counter()
        layer = self.layers.get(getattr(message, "layer", -1))
        if layer is None:
            raise self._not_hosted(message)
        reply: Reply = DONE
        match message:
            case Forward():
                reply = layer.forward(message)
                self.clock.add(start)
            case Backward():
                reply = layer.backward(message)
                self.clock.add(start)
            case Update():
                layer.update(message)
                self.clock.add(start)
            case WriteWeights(w=w) if not are_arrays(w):
                layer.set_weights(message)  # of a digital trainer on a card, in every step
            case Forget(passes=passes):
                layer.forget(passes)
            case Stats():
                reply = Counters(layer.counters(self.clock.shared_counters()))
            case _:  # no step of training waits for it
                self.raise_found()
                reply = _outside_of_steps(layer, message)
        return reply

    def _not_hosted(self, message: Any) -> ProtocolError:
        number = getattr(message, "layer", None)
        return ProtocolError(
            f"{type(message).__name__}: layer {number} is not hosted here; hosted are {[*self.layers]}"
        )


def _outside_of_steps(layer: HostedLayer, message: Message[Any]) -> Reply:
    """Do what no step of training asks for."""
    reply: Reply = DONE
    match message:
        case ReadWeights() | WriteWeights():
            reply = _weights(layer, message)
        case Program() | Drift():
            layer.program(message)
        case LookAtStored() | WriteStored():
            reply = _stored(layer, message)
        case LetPass():
            layer.let_pass(message)
        case ReadState() | LoadState() | ReadSnapshot() | LoadSnapshot():
            reply = _state(layer, message)
        case SaveState() | LoadStored():
            reply = _save(layer, message) if isinstance(message, SaveState) else _load(layer, message)
        case _:
            raise ProtocolError(f"{type(message).__name__} is no message about a layer's tiles")
    return reply


def _weights(layer: HostedLayer, message: ReadWeights | WriteWeights) -> Reply:
    """Give or take what the tiles hold."""
    if isinstance(message, ReadWeights):
        return layer.weights()
    layer.set_weights(message)
    return DONE


def _stored(layer: HostedLayer, message: LookAtStored | WriteStored) -> Reply:
    """Read what a file has for the tiles."""
    if isinstance(message, LookAtStored):
        return layer.look_at_stored(message)
    layer.write_stored(message)
    return DONE


def _state(layer: HostedLayer, message: ReadState | LoadState | ReadSnapshot | LoadSnapshot) -> Reply:
    """Give or take what makes other tiles these."""
    match message:
        case ReadState():
            return layer.state()
        case ReadSnapshot():
            return snapshot_of(layer)
        case LoadState():
            layer.load_state(message)
        case LoadSnapshot():
            load_snapshot(layer, message)
    return DONE


def _save(layer: HostedLayer, message: SaveState) -> Saved:
    """Write everything that changes into a part of a saved run."""
    state = layer.state()
    values = [as_array(each) for each in state.values]
    part = write_arrays(message.folder, message.sign, values)
    if part is None:
        return Saved((), (), (), b"", 0)
    kinds: Any = tuple(each.dtype.str for each in values)
    return Saved(state.names, kinds, tuple(each.shape for each in values), part.digest, part.size)


def _load(layer: HostedLayer, message: LoadStored) -> Loaded:
    """Read a state, once it is known to be one of these tiles."""
    layer.require_shapes(message, message.arrays)
    arrays = read_arrays(message.arrays, message.verify)
    if arrays is not None:
        layer.load_state(LoadState(message.layer, message.names, arrays))
    return Loaded(arrays is not None)
