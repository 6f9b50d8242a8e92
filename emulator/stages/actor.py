"""StageActor: one stage of a model, its torch modules beside their tiles, in a process of its own.

Ray calls its methods, one after the other; what micro-batches bring comes through a socket from the stage
before and leaves through another one to the next.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from itertools import groupby, repeat
from operator import add, sub
from typing import Any

import numpy as np
import ray
import torch
from ray import cloudpickle
from torch import Tensor, nn

from ..hosts.executor import LocalExecutor
from ..hosts.grid import Ticks, TileGrid
from ..hosts.moving import move
from ..model.analog_model import analog_matrices
from ..model.filling import Filling
from ..model.joining import flatten
from ..nn.matrix import AnalogMatrix
from ..tiles.bank import Floats
from ..tiles.layer import HostedLayer
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Message
from ..wire.addresses import ActorAddress, Endpoint
from .links import Abandoned, Links
from .optimizers import States
from .packing import SavedStage, packed, saved_stage
from .passes.cut import Cut
from .passes.passing import Passages
from .training import INPUT, Passed, StageTraining

#: of layers, by their numbers, what every read moves: the logical time, and running averages of inputs
Clocks = dict[int, tuple[tuple[int, ...], list[Floats]]]

#: how clocks have moved since they were told last: in the layers' order of how many in a row by how much, and
#: the averages of those where they are others
Moves = tuple[list[tuple[int, tuple[int, ...]]], dict[int, list[Floats]]]


def moves_of(before: Clocks, after: Clocks) -> Moves:
    """What ``moved`` makes ``after`` of ``before`` by; as a rule the same however many layers there are."""
    steps = (tuple(map(sub, ticks, before[layer][0])) for layer, (ticks, _) in after.items())
    averages = {
        layer: found
        for layer, (_, found) in after.items()
        if not all(map(np.array_equal, found, before[layer][1]))
    }
    return [(len([*alike]), step) for step, alike in groupby(steps)], averages


def moved(before: Clocks, moves: Moves) -> Clocks:
    """The clocks that have moved so since ``before``."""
    steps = (step for count, each in moves[0] for step in repeat(each, count))
    return {
        layer: (tuple(map(add, ticks, step)), moves[1].get(layer, averages))
        for (layer, (ticks, averages)), step in zip(before.items(), steps, strict=True)
    }


class StageActor:
    """One stage of a model."""

    def __init__(
        self, stage: int, threads: int, directory: str | None, beside: Sequence[int], processors: int
    ) -> None:
        """Listen in ``directory`` on the driver's node, or, without one, on this node's address.

        ``beside``: the stages on this node, with this one, which share its ``processors``.
        """
        import numba  # here: the driver knows this class and computes nothing

        from crossgrid.kernels.machine.lean_numba import load_only

        load_only()
        self._beside, self._processors, self._threads = beside, processors, threads
        self._most, self._set_threads = numba.get_num_threads(), numba.set_num_threads
        self._set_threads(min(threads, self._most))
        torch.set_num_threads(threads)  # behind numba, which lets OpenMP have all processors
        self.stage, self.links = stage, Links(stage, directory)

    def where(self) -> ActorAddress:
        """Where it listens, and which process it is."""
        return ActorAddress(self.links.endpoint, ray.get_runtime_context().get_node_id(), os.getpid())

    def load(
        self, part: bytes, specs: Mapping[str, LayerSpec], cut: Cut, weights: str | None,
        update_delay: int, states: States | None,
    ) -> None:  # fmt: skip
        """Hold this stage's part of a model, cut into tiles as ``specs`` say; numbers may come from files.

        Pulsed updates are late by ``update_delay`` steps. A snapshot comes with its optimizers' ``states``.
        """
        model: nn.Module = cloudpickle.loads(part)
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
            matrix.grid.update_delay = update_delay
        self.model, self.passages = model, Passages(model, cut, self.stage)
        self.training = StageTraining(model, cut, self.stage, self.passages, states or {})

    def connect(self, onwards: Endpoint, backwards: Endpoint | None) -> None:
        """Send what this stage makes to the next stage or the driver, and gradients to the stage before."""
        self.links.connect(onwards, backwards)

    def infer(self, told: tuple[int, int, Sequence[str]]) -> Moves | None:
        """Let the micro-batches of a round through, and hand on what is wanted; how the clocks have moved.

        None where the round was given up, which nobody waits for.

        Raises:
            CrossgridError: this stage failed.
        """
        number, batches, wanted = told  # in one piece: Ray has some 100 bytes for each argument
        try:
            with contextlib.suppress(Abandoned):
                self.links.begin(number)
                return self._infer(batches, wanted)
            return None
        finally:
            self._set_threads(min(self._threads, self._most))

    def _take_processors(self, batch: int, batches: int) -> None:
        """Let the kernels have those of stages that have no micro-batch yet, or none any more.

        Their results are the same in any number of threads; torch's are not, and it keeps its own.
        """
        moment = batch + self.stage
        working = sum(0 <= moment - stage < batches for stage in self._beside)
        self._set_threads(max(1, min(self._processors // working, self._most)))

    def _infer(self, batches: int, wanted: Sequence[str]) -> Moves:
        self.model.eval()
        for batch in range(batches):
            self._take_processors(batch, batches)
            received = self.links.take(batch).tensors()
            x = received.pop(INPUT)
            found = self.passages.run(x, received, frozenset(wanted))
            if self.training.last:
                leaves = flatten(found)[0]
                made = {str(n): leaf for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
            else:
                made = {INPUT: x, **found}
            self.links.give(batch, made)
        return self._moves()

    def train(self, told: tuple[int, Any]) -> Passed | None:
        """Let the micro-batches of a training step go forward and backward.

        None where the step was given up, which nobody waits for.

        Raises:
            CrossgridError: this stage failed.
        """
        number, step = told
        with contextlib.suppress(Abandoned):
            self.links.begin(number)
            return self.training.pass_through(self.training.step_of(*step), self.links)
        return None

    def of_training(self, what: str, *arguments: Any) -> Any:
        """What ``StageTraining.what`` gives."""
        return getattr(self.training, what)(*arguments)

    def update(self, told: tuple[int, bytes | None]) -> Moves:
        """Let an optimizer move the stage's parameters; how the clocks have moved in the whole step."""
        self.training.step(*told)
        return self._moves()

    def snapshot(self) -> tuple[bytes, States]:
        """What ``load`` goes on from: this stage's part of the model, and its optimizers' states."""
        self.passages.remove()
        try:
            own = {id(matrix.grid) for matrix in self.layers.values()}
            part = packed(self.model, self.passages.cut, self.stage, own)
        finally:
            self.passages.install()
        return part, self.training.states()

    def save(self, directory: str, sign: str, optimizer: int | None) -> SavedStage | None:
        """Write what is this stage's into a saved run; None where it sees another folder under that name."""
        states = {} if optimizer is None else self.training.state(optimizer)
        fleeting = {
            f"{path}.{name}".lstrip(".")
            for path, module in self.model.named_modules()
            for name in module._non_persistent_buffers_set
        }
        numbers = self.training.numbers(learnt=False)
        kept = {name: tensor for name, tensor in numbers.items() if name not in fleeting}
        return saved_stage(self.layers, kept, states, directory, sign, self.stage)

    def clocks(self) -> Clocks:
        """The logical time of each layer, and its tiles' running averages."""
        self._told = {
            number: (astuple(matrix.grid.ticks), _hosted(matrix).averages())
            for number, matrix in self.layers.items()
        }
        return self._told

    def _moves(self) -> Moves:
        return moves_of(self._told, self.clocks())

    def set_clocks(self, clocks: Clocks) -> None:
        """Let the layers go on at that time."""
        for number, (ticks, averages) in clocks.items():
            self.layers[number].grid.ticks = Ticks(*ticks)
            _hosted(self.layers[number]).set_averages(averages)
        self._told = clocks

    def program(self, layers: Sequence[int]) -> Clocks:
        """Write the weights of layers to their devices; the clocks afterwards."""
        for number in layers:
            self.layers[number].program()
        return self.clocks()

    def apply_late(self, layers: Sequence[int]) -> Clocks:
        """Pulse the devices of layers for all updates that wait; the clocks afterwards."""
        for number in layers:
            self.layers[number].grid.apply_late()
        return self.clocks()

    def drift(self, layers: Sequence[int], seconds: float) -> Clocks:
        """Let time pass for layers; the clocks afterwards."""
        for number in layers:
            self.layers[number].drift(seconds)
        return self.clocks()

    def bring(self, layers: Sequence[int]) -> None:
        """Let the tiles of layers hold what an inference puts there; it has read them, and this does not."""
        self.model.eval()
        for number in layers:
            self.layers[number].bring()

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


def _hosted(matrix: AnalogMatrix) -> HostedLayer:
    """The tiles of a matrix, which are in this process."""
    executor = matrix.grid.executor
    assert isinstance(executor, LocalExecutor)
    return executor.worker.layers[matrix.grid.layer]


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
