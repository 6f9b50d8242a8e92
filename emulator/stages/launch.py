"""Starting the processes of stages: on which node each is, and which part of the model it gets."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import zmq
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..actors.addresses import ActorAddress, listen
from ..actors.launch import nodes
from ..actors.packing import CROSSPOINT_BYTES, Node
from ..errors import BackendError, TileError
from ..hosts.grid import TileGrid
from ..hosts.warm import warm_kernels
from ..tiles.layer_spec import LayerSpec
from .actor import Clocks, StageActor
from .cut import Cut
from .links import FLOW, Abandoned
from .packing import packed

#: seconds that a stage may take to start, on a busy machine
START_SECONDS = 180.0

#: bytes of a stage with torch and numba before its part, and of a crosspoint that is programmed
STAGE_BYTES, INFERENCE_BYTES = 400 << 20, 5

#: seconds that an answer may take for each crosspoint besides; a busy machine programs one in a tenth of it
SECONDS_A_CROSSPOINT = 1e-6

#: the name of a training step, in which all stages take part, among what they were told
STEP = "step"


class StageGone(Exception):
    """A stage's process is gone: it died, or it was stopped for too long and is ended."""


@dataclass(slots=True)
class Stage:
    """The driver's end of one stage, and of those that follow it where it dies."""

    number: int
    node: Node
    threads: int
    specs: dict[str, LayerSpec]  # of its analog matrices, by name
    layers: list[int]  # their numbers
    clocks: Clocks = field(default_factory=dict)  # of its layers, when the last round ended
    packed: Any = None  # its part of the model, in Ray's store: as it began, or at the last snapshot
    states: Any = None  # of its optimizers at the last snapshot; None: there was none
    actor: Any = None
    address: Any = None
    socket: Any = None
    # what changed it since, when
    told: list[tuple[Clocks, str, tuple[Any, ...]]] = field(default_factory=list)
    deaths: deque[float] = field(default_factory=deque)
    lost: str = ""  # why it is to be replaced, where that is known

    @property
    def where(self) -> str:
        """Which one it is, for messages."""
        address: ActorAddress = self.address
        return f"stage {self.number} (process {address.pid} on node {self.node.name[:8]})"

    @property
    def crosspoints(self) -> int:
        """How many it has."""
        return sum(math.prod(tile.shape) for spec in self.specs.values() for tile in spec.tiles)

    def find_out(self, timeout_s: float) -> bool:
        """Whether its process is there no more; one that does not answer either is ended."""
        if not self.lost:
            with contextlib.suppress(StageGone):
                answers([(self, self.actor.where.remote())], timeout_s)
                return False
            self.lost = self.lost or "died"
        return True

    def end(self, why: str) -> None:
        """End its process, whatever that does: a stopped one does not hear Ray, but the system."""
        self.lost = why
        with contextlib.suppress(Exception):  # it may be gone, and Ray too
            ray.kill(self.actor)
        if not self.address.endpoint.public_key:  # on this machine
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.address.pid, signal.SIGKILL)


class StageLauncher:
    """Starts the stages of one model."""

    def __init__(
        self, cut: Cut, weights: str | None, directory: str, update_delay: int, timeout_s: float
    ) -> None:
        """``weights`` are files with the numbers of a model that has none; sockets are in ``directory``."""
        self.cut, self.weights, self.directory, self.update_delay = cut, weights, directory, update_delay
        self.timeout_s = timeout_s
        context: Any = zmq.Context.instance()
        self.replies = context.socket(zmq.PULL)  # where the last stage sends what comes out
        FLOW.apply(self.replies)

    def place(self, model: nn.Module, specs: Sequence[LayerSpec], grids: Sequence[TileGrid]) -> list[Stage]:
        """The stages, on nodes as they follow each other; ``grids`` are where the layers' tiles are now.

        Raises:
            ConfigError: a stage is too large for its node.
        """
        known, count = nodes(), self.cut.count
        usable = [node for node in known if node.processors >= 1] or known
        homes = [usable[number * len(usable) // count] for number in range(count)]
        alone = {node.name for node in homes} == {ray.get_runtime_context().get_node_id()}
        self.at = self.directory if alone else None
        self.endpoint = listen(self.replies, self.at, "driver")
        of_layer = [self.cut.stage_of_matrix(spec.name) for spec in specs]
        stages = []
        for number, node in enumerate(homes):
            layers = [k for k, stage in enumerate(of_layer) if stage == number]
            stage = Stage(
                number, node, max(1, int(node.processors) // homes.count(node)),
                {specs[k].name: specs[k] for k in layers}, layers,
            )  # fmt: skip
            _require_room(stage, model, self.cut, homes.count(node))
            stage.packed = ray.put(packed(model, self.cut, number, {id(grids[k]) for k in layers}))
            stages.append(stage)
        return stages

    def start(self, stages: Sequence[Stage]) -> None:
        """Start stages and let them load their parts, side by side.

        Raises:
            BackendError: one does not start.
            StageGone: one died meanwhile.
        """
        made: Any = ray.remote(StageActor)
        warming = self.warm([stage for stage in stages if stage.actor is None])
        for stage in stages:
            placed = NodeAffinitySchedulingStrategy(stage.node.name, soft=stage.actor is not None)
            options = made.options(num_cpus=0, scheduling_strategy=placed)
            stage.actor = options.remote(stage.number, stage.threads, self.at)
            stage.lost = ""
        try:
            addresses = given([stage.actor.where.remote() for stage in stages], START_SECONDS)
            for stage, address in zip(stages, addresses, strict=True):
                stage.address, stage.socket = address, address.endpoint.connected(FLOW)
            given(warming, None)
            self.load(stages)
        except ray.exceptions.RayError as error:
            raise BackendError(
                f"stages of the model did not start: {' '.join(str(error).split())!s:.300}; see `ray status`"
            ) from error

    def load(self, stages: Sequence[Stage]) -> None:
        """Let stages load their parts, those of before too: as they began, or were at the last snapshot."""
        asked = []
        for s in stages:
            files = self.weights if s.states is None else None  # a snapshot has all numbers
            how = self.cut, files, self.update_delay
            asked.append((s, s.actor.load.remote(s.packed, s.specs, *how, s.states)))
        answers(asked, max(self.timeout_s, START_SECONDS))

    def warm(self, stages: Sequence[Stage]) -> list[Any]:
        """Compile the kernels once a node, in a process that ends then: the promises of it."""
        specs = {stage.node.name: [*stage.specs.values()] for stage in stages}
        made: Any = ray.remote(warm_kernels)
        return [
            made.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(of_node)
            for node, of_node in specs.items()
        ]

    def connect(self, stages: Sequence[Stage], numbers: Iterable[int]) -> None:
        """Let stages send to the next one or the driver, and to the one before."""
        ends = [None, *(stage.address.endpoint for stage in stages), self.endpoint]
        asked = [(stages[n], stages[n].actor.connect.remote(ends[n + 2], ends[n])) for n in numbers]
        answers(asked, self.timeout_s)


def answers(asked: Sequence[tuple[Stage, Any]], timeout_s: float) -> list[Any]:
    """What stages answer; their errors are raised as they were.

    Raises:
        StageGone: one died, or said nothing for ``timeout_s`` and longer, as large as it is, and was ended.
    """
    promises = [promise for _, promise in asked]
    limit_s = timeout_s + SECONDS_A_CROSSPOINT * max((stage.crosspoints for stage, _ in asked), default=0)
    _, waiting = ray.wait(promises, num_returns=len(promises), timeout=limit_s)
    for stage, promise in asked:
        if promise in waiting:
            stage.end(f"did not answer within {limit_s:g} s")
    if waiting:
        raise StageGone
    return given(promises, None)


def given(promises: Sequence[Any], seconds: float | None) -> list[Any]:
    """What stages give back; their errors are raised as they were.

    Raises:
        StageGone: one died.
    """
    try:
        found: list[Any] = ray.get(list(promises), timeout=seconds)
    except ray.exceptions.RayActorError as error:
        raise StageGone from error
    except ray.exceptions.RayTaskError as error:
        cause: BaseException = error.cause
        if isinstance(cause, (CrossgridError, Abandoned)):
            raise cause from None
        text = f"{type(cause).__name__}: {' '.join(str(cause).split())!s:.300}"
        raise TileError(f"a stage of the model failed: {text}") from None
    return found


def _require_room(stage: Stage, model: nn.Module, cut: Cut, beside: int) -> None:
    """An error where a stage, as one of ``beside`` on its node, needs more memory than there is."""
    weights = sum(
        parameter.numel() * parameter.itemsize
        for name, parameter in model.named_parameters()
        if cut.stage_of_parameter(name) in (None, stage.number)
    )
    crosspoints = sum(
        math.prod(tile.shape) * (CROSSPOINT_BYTES if spec.learns else INFERENCE_BYTES)
        for spec in stage.specs.values()
        for tile in spec.tiles
    )
    needed, free = STAGE_BYTES + weights + crosspoints, stage.node.free_bytes // beside
    if needed > free:
        raise ConfigError(
            f"stage {stage.number} of the model needs about {needed >> 20} MB; {free >> 20} are its share of "
            f"node {stage.node.name[:8]}, on which {beside} stages are: use more nodes, or a smaller model"
        )
