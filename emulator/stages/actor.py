"""StageActor: one stage of a model, its torch modules beside their tiles, in a process of its own.

Ray calls its methods, one after the other; what micro-batches bring comes through a socket from the stage
before and leaves through another one to the next.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import numba
import ray
import torch
import zmq
from ray import cloudpickle
from torch import Tensor, nn

from ..actors.addresses import ActorAddress, Endpoint, Flow, listen
from ..actors.lent import Lent
from ..actors.wire import Letter, receive, send
from ..errors import ProtocolError
from ..hosts.grid import Ticks, TileGrid
from ..hosts.moving import move
from ..model.analog_model import analog_matrices
from ..model.filling import Filling
from ..model.joining import flatten
from ..nn.matrix import AnalogMatrix
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Message
from .cut import Cut
from .letters import LETTERS, Abandon, Values
from .passing import Passages

#: how long a stage listens at once
LISTEN_MS = 1000

#: the name of a micro-batch's input among its values
INPUT = "x"

#: the logical time of layers, by their numbers
Clocks = dict[int, tuple[int, ...]]

#: what may be under way between two stages
FLOW = Flow(high_water=1000, buffer_bytes=1 << 20)


class Abandoned(RuntimeError):
    """Another stage died or failed: the round was given up."""


class StageActor:
    """One stage of a model."""

    def __init__(self, stage: int, threads: int, directory: str | None) -> None:
        """Listen in ``directory`` on the driver's node, or, without one, on this node's address."""
        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.get_num_threads()))
        self.stage, self.threads = stage, threads
        context: Any = zmq.Context.instance()
        self.inputs: Any = context.socket(zmq.PULL)
        FLOW.apply(self.inputs)
        self.inputs.rcvtimeo = LISTEN_MS
        self.endpoint = listen(self.inputs, directory, f"stage-{stage}-{os.getpid()}")
        self.outputs: Any = None
        self.lent = Lent()
        self.wanted: frozenset[str] = frozenset()

    def where(self) -> ActorAddress:
        """Where it listens, and which process it is."""
        return ActorAddress(self.endpoint, ray.get_runtime_context().get_node_id(), os.getpid())

    def load(self, packed: bytes, cut: Cut, specs: Mapping[str, LayerSpec], weights: str | None) -> None:
        """Hold this stage's part of a model, cut into tiles as ``specs`` say; numbers may come from files."""
        model: nn.Module = cloudpickle.loads(packed)
        model.eval()
        self.layers: dict[int, AnalogMatrix] = {}
        filling = None
        if weights is not None:
            filling = Filling(model, weights, lambda name: cut.stage_of_parameter(name) in (None, self.stage))
            filling.begin()
        for number, (name, matrix) in enumerate(analog_matrices(model)):
            if name not in specs:
                continue
            if filling is not None:
                filling.fill(matrix)
            self.layers[number] = matrix
            _take_spec(matrix, specs[name])
        self.passages = Passages(model, cut, self.stage)
        self.last = self.stage == cut.count - 1

    def connect(self, next_one: Endpoint) -> None:
        """Send what this stage makes to ``next_one``: the next stage, or the driver."""
        if self.outputs is not None:
            self.outputs.close(linger=0)
        self.outputs = next_one.connected(FLOW)

    def want(self, names: Sequence[str]) -> None:
        """The values that the next stage is handed."""
        self.wanted = frozenset(names)

    def infer(self, number: int, batches: int) -> Clocks:
        """Let the micro-batches of a round through; the layers' clocks afterwards.

        Raises:
            Abandoned: another stage died or failed.
            CrossgridError: this one did.
        """
        for batch in range(batches):
            received = self._next(number, batch)
            x = received.pop(INPUT)
            found = self.passages.run(x, received, self.wanted)
            if self.last:
                leaves = flatten(found)[0]
                made = {str(n): leaf for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
            else:
                made = {INPUT: x, **found}
            send(self.outputs, Letter(Values.of(number, batch, made), batch, False, self.stage))
        return self.clocks()

    def _next(self, number: int, batch: int) -> dict[str, Tensor]:
        """The values of a micro-batch."""
        while True:
            try:
                letter = receive(self.inputs, LETTERS, self.lent)
            except zmq.Again:
                continue
            match letter.content:
                case Abandon(round=given_up) if given_up == number:
                    raise Abandoned
                case Values(round=of_round, batch=found) if of_round == number:
                    if found != batch:
                        raise ProtocolError(
                            f"stage {self.stage} got micro-batch {found} where {batch} is next"
                        )
                    return letter.content.tensors()

    def clocks(self) -> Clocks:
        """The logical time of each layer."""
        return {number: astuple(matrix.grid.ticks) for number, matrix in self.layers.items()}

    def set_clocks(self, clocks: Clocks) -> None:
        """Let the layers go on at that time."""
        for number, ticks in clocks.items():
            self.layers[number].grid.ticks = Ticks(*ticks)

    def program(self, layers: Sequence[int]) -> Clocks:
        """Write the weights of layers to their devices; the clocks afterwards."""
        for number in layers:
            self.layers[number].program()
        return self.clocks()

    def drift(self, layers: Sequence[int], seconds: float) -> Clocks:
        """Let time pass for layers; the clocks afterwards."""
        for number in layers:
            self.layers[number].drift(seconds)
        return self.clocks()

    def weights(self, layer: int) -> Floats:
        """What a layer multiplies by, [out, in]."""
        return self.layers[layer].matrix_weights()

    def ask(self, layer: int, message: Message[Any]) -> Any:
        """What the tiles of a layer reply."""
        grid = self.layers[layer].grid
        return grid.executor.submit(0, replace(message, layer=grid.layer)).result()  # type: ignore[type-var]

    def changing(self, layer: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What has changed in a layer, in plain values and arrays, see ``HardwareAwareTiles.changing``."""
        return self.layers[layer].analog_tile.changing()

    def peak_bytes(self) -> int:
        """The most memory that the process has had."""
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _take_spec(matrix: AnalogMatrix, spec: LayerSpec) -> None:
    """Let a matrix be on the tiles of ``spec``, which has the places on a chip."""
    old = matrix.grid
    spec = replace(spec, key=old.spec.key)
    ends = [
        [(t.out_start, t.out_stop, t.in_start, t.in_stop) for t in each.tiles] for each in (old.spec, spec)
    ]
    if ends[0] == ends[1] and old.spec.rpu_config == spec.rpu_config:
        old.spec = spec
        return
    new = TileGrid.local(spec, old.ticks)
    move(old, new)
    matrix.analog_tile.grid = new
