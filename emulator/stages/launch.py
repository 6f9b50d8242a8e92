"""Starting the processes of stages: on which node each is, and which part of the model it gets."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import zmq
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..errors import BackendError, TileError
from ..hosts.grid import TileGrid
from ..hosts.room import Node, Room
from ..hosts.warm import warm_kernels
from ..tiles.layer_spec import LayerSpec
from ..wire.addresses import ActorAddress, listen
from ..wire.cluster import nodes
from ..wire.pulses import NOTICE_SECONDS, Pulses
from .actor import Clocks, StageActor
from .links import FLOW, Abandoned
from .packing import packed
from .passes.cut import Cut
from .training import Manner

#: seconds that a stage may take to start, on a busy machine
START_SECONDS = 180.0

#: bytes of a stage with torch and numba before its part
STAGE_BYTES = 400 << 20

#: seconds that an answer may take for each crosspoint besides; a busy machine programs one in a tenth of it
SECONDS_A_CROSSPOINT = 1e-6

#: seconds between two looks at stages that have not answered yet
LOOK_SECONDS = 0.2

#: the names of a training step, in which all stages take part, and of an inference, of which nothing else
#: stays than what it put on tiles, among what they were told
STEP, READ = "step", "bring"


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
    pulses: Pulses
    beside: range  # the numbers of the stages on its node, which share its processors
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
    manner: Manner | None = None  # of the last training step that it was told whole
    options: dict[int, bytes] = field(default_factory=dict)  # of its optimizers, as it knows them
    sure: bool = True  # whether it is as ``told`` and ``clocks`` say, and not in the middle of something

    @property
    def where(self) -> str:
        """Which one it is, for messages."""
        address: ActorAddress | None = self.address
        if address is None:
            return f"stage {self.number} (on node {self.node.name[:8]})"
        return f"stage {self.number} (process {address.pid} on node {address.node[:8]})"

    @property
    def crosspoints(self) -> int:
        """How many it has."""
        return sum(math.prod(tile.shape) for spec in self.specs.values() for tile in spec.tiles)

    def note_reads(self, after: Clocks) -> None:
        """An inference was made: a successor's tiles are to hold what it put on those of layers it read."""
        read = [layer for layer in self.layers if after[layer][0] != self.clocks[layer][0]]
        brought = (READ, (read,))
        if read and not (self.told and self.told[-1][1:] == brought):
            self.told.append((self.clocks, *brought))
        self.clocks, self.sure = after, True

    @property
    def missed_s(self) -> float:
        """Seconds for which its process has not given a sign of life."""
        return 0.0 if self.address is None else self.pulses.missed_s(self.address.endpoint)

    def find_out(self, timeout_s: float) -> bool:
        """Whether its process is there no more; one that is stopped is ended.

        Raises:
            TileError: it is busy for too long.
        """
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
        if self.address is None:
            return
        self.pulses.forget(self.address.endpoint)
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
        self.timeout_s, self.pulses = timeout_s, Pulses()
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
            beside = range(homes.index(node), homes.index(node) + homes.count(node))
            stage = Stage(
                number, node, max(1, int(node.processors) // len(beside)),
                {specs[k].name: specs[k] for k in layers}, layers, self.pulses, beside,
            )  # fmt: skip
            _require_room(stage, model, self.cut, len(beside))
            stage.packed = ray.put(packed(model, self.cut, number, {id(grids[k]) for k in layers}))
            stages.append(stage)
        return stages

    def start(self, stages: Sequence[Stage]) -> None:
        """Start stages and let them load their parts, side by side.

        Raises:
            BackendError: one does not start, or its node has gone since it was placed there.
            StageGone: one died meanwhile.
        """
        made: Any = ray.remote(StageActor)
        new = [stage for stage in stages if stage.actor is None]
        _require_nodes(new)
        warming = self.warm(new)
        for stage in stages:
            placed = NodeAffinitySchedulingStrategy(stage.node.name, soft=stage.actor is not None)
            # Ray would report each call to its head, a third of what the call itself takes
            options = made.options(num_cpus=0, scheduling_strategy=placed, enable_task_events=False)
            stage.lost, stage.address = "did not start", None  # whatever breaks this off
            processors = max(1, int(stage.node.processors))
            stage.actor = options.remote(stage.number, stage.threads, self.at, stage.beside, processors)
        try:
            addresses = given([stage.actor.where.remote() for stage in stages], START_SECONDS)
            for stage, address in zip(stages, addresses, strict=True):
                stage.address, stage.socket = address, address.endpoint.connected(FLOW)
                self.pulses.watch(address.endpoint)
            given(warming, None)
            self.load(stages)
            for stage in stages:
                stage.lost = ""
        except StageGone:
            _require_nodes(new)
            raise
        except ray.exceptions.RayError as error:
            _require_nodes(new)
            raise BackendError(
                f"stages of the model did not start: {' '.join(str(error).split())!s:.300}; see `ray status`"
            ) from error

    def load(self, stages: Sequence[Stage]) -> None:
        """Let stages load their parts, those of before too: as they began, or were at the last snapshot."""
        asked = []
        for s in stages:
            s.manner, s.options = None, {}
            files = self.weights if s.states is None else None  # a snapshot has all numbers
            how = self.cut, files, self.update_delay
            asked.append((s, s.actor.load.remote(s.packed, s.specs, *how, s.states)))
        answers(asked, max(self.timeout_s, START_SECONDS))

    def close(self) -> None:
        """Listen no more."""
        self.replies.close(linger=0)
        self.pulses.close()

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
        StageGone: one died, or was stopped for ``timeout_s``, and was ended.
        TileError: one lives, and takes longer than ``timeout_s`` and what its size adds.
    """
    promises = waiting = [promise for _, promise in asked]
    limit_s = timeout_s + SECONDS_A_CROSSPOINT * max((stage.crosspoints for stage, _ in asked), default=0)
    began = time.monotonic()
    while waiting:
        _, waiting = ray.wait(promises, num_returns=len(promises), timeout=LOOK_SECONDS)
        late = [stage for stage, promise in asked if promise in waiting]
        if late and require_pace(late, began, limit_s, timeout_s):
            raise TileError(
                f"{late[0].where} did not answer within {limit_s:g} s, and is not stopped: it is too slow: "
                "raise timeout_s"
            )
    return given(promises, None)


def require_pace(stages: Sequence[Stage], began: float, limit_s: float, timeout_s: float) -> bool:
    """Whether stages that we have waited for since ``began`` live, and take longer than they may.

    Raises:
        StageGone: one was stopped for ``timeout_s``, and was ended.
    """
    missed = [(stage, stage.missed_s) for stage in stages]
    stopped = [stage for stage, seconds in missed if seconds > timeout_s]
    for stage in stopped:
        stage.end(f"was stopped for {timeout_s:g} s")
    if stopped:
        raise StageGone
    # who was stopped of late may not be known to be
    return time.monotonic() - began > limit_s + NOTICE_SECONDS and not any(s for _, s in missed)


def given(promises: Sequence[Any], seconds: float | None) -> list[Any]:
    """What stages give back; their errors are raised as they were.

    Raises:
        StageGone: one died, or with its node what it gave back.
    """
    try:
        found: list[Any] = ray.get(list(promises), timeout=seconds)
    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
        raise StageGone from error
    except ray.exceptions.RayTaskError as error:
        cause: BaseException = error.cause
        if isinstance(cause, (CrossgridError, Abandoned)):
            raise cause from None
        text = f"{type(cause).__name__}: {' '.join(str(cause).split())!s:.300}"
        raise TileError(f"a stage of the model failed: {text}") from None
    return found


def _require_nodes(stages: Sequence[Stage]) -> None:
    """An error where a node that stages were placed on is there no more."""
    living = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    for stage in stages:
        if stage.node.name not in living:
            raise BackendError(
                f"node {stage.node.name[:8]}, on which stage {stage.number} of the model was to start, has "
                f"gone; {len(living)} nodes are left (`ray status`): call cg.emulate again, which places anew"
            )


def _require_room(stage: Stage, model: nn.Module, cut: Cut, beside: int) -> None:
    """An error where a stage, as one of ``beside`` on its node, needs more memory than there is."""
    own = [p for name, p in model.named_parameters() if cut.stage_of_parameter(name) in (None, stage.number)]
    room = Room()
    tile_bytes = sum(room.of_tiles(spec, [t.block for t in spec.tiles]) for spec in stage.specs.values())
    part = tile_bytes + sum(parameter.nbytes for parameter in own)
    needed, free = STAGE_BYTES + part, stage.node.free_bytes // beside
    if needed > free:
        weights = sum(parameter.numel() for parameter in own)
        fit = weights * max(0, free - STAGE_BYTES) // max(part, 1)
        raise ConfigError(
            f"stage {stage.number} of the model needs about {needed >> 20} MB; {free >> 20} are its share of "
            f"node {stage.node.name[:8]}, on which {beside} stages are: about {fit:,} of its {weights:,} "
            "weights fit there; use more nodes, a smaller model, or begin stages elsewhere (stages=[names])"
        )
