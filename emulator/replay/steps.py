"""Training steps of a model whose tiles are on this process's card: captured once, then replayed as a graph.

A step that repeats another gives a card the same launches with the same numbers, and changes nothing of the
host but counters. So all its work can be kept as one CUDA graph and started by one call
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs, whole-network capture). A kind of step (the
shapes of a batch, the optimizer's settings, which modules train) is computed as usual twice, captured the
third time, and replayed from then on. Where a model cannot be captured, ``obstacle`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..analog_matrix.mini_batch import mini_batch
from ..analog_matrix.pulsed import PulsedTiles
from ..analog_matrix.weights import AnalogContext
from ..hosts.executor import LocalExecutor
from ..hosts.grid import TileGrid
from ..model.joining import Criterion
from ..nn.dropout import addressed, dropouts, step_key
from ..tiles.bank import TileBank
from .counts import HostCounts, Moves, obstacle, place_of, places, release_memory

#: steps of a kind that are computed as usual first: they compile kernels and take what memory lasts
WARM_STEPS = 2

#: kinds of steps that are remembered: of more, the one that was met first is forgotten
MOST_KINDS = 8


class Graph(Protocol):
    """A step that was captured."""

    def replay(self) -> None:
        """Do it again, with what is in the same memory now."""
        ...


#: does a step's work once without an effect, and gives what repeats it, and its result
Capture = Callable[[Callable[[], Tensor]], tuple[Graph, Tensor]]


def as_cuda_graph(work: Callable[[], Tensor]) -> tuple[Graph, Tensor]:
    """``work`` as a CUDA graph; other threads may use the card meanwhile."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return graph, result


class Kind(NamedTuple):
    """What must be equal for a step to repeat another."""

    batch: tuple[Any, ...]  # shapes and types of inputs and targets
    rules: tuple[Any, int]  # which criterion and which optimizer
    settings: tuple[Any, ...]  # of the optimizer
    modes: tuple[bool, ...]  # of modules and parameters
    places: tuple[int, ...]  # of everything that lasts, in the card's memory


@dataclass(slots=True)
class Captured:
    """A step as a graph, which reads ``x`` and ``y`` and leaves its loss in ``loss``."""

    graph: Graph
    x: Tensor
    y: Tensor
    loss: Tensor
    moves: Moves  # of the host's counters
    rules: tuple[Criterion, torch.optim.Optimizer]  # kept, so that no other gets their address


class CardSteps:
    """Training steps whose losses nobody waits for: 0-d tensors on the card."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[tuple[str, Any]],
        executor: LocalExecutor,
        others: Sequence[tuple[Any, str]],
        capture: Capture = as_cuda_graph,
    ) -> None:
        """``others`` are attributes of the caller's that a step moves by the same every time."""
        self.model, self.executor, self.capture = model, executor, capture
        self.replays = 0
        self._updates: Any = executor.worker.updates
        self._grids: list[tuple[str, TileGrid]] = [(name, layer.grid) for name, layer in layers]
        self._foreign = next((n for n, each in layers if not isinstance(each.analog_tile, PulsedTiles)), None)
        self._others = [*others]
        self._steps: dict[Kind, int | Captured] = {}  # how many steps of a kind there were, or its graph
        self._never = self._obstacle()  # why no step can be replayed
        self.obstacle = self._never  # why the last one was not; None: it was, or soon will be

    def step(self, x: Tensor, y: Any, criterion: Criterion, optimizer: torch.optim.Optimizer) -> Tensor:
        """One step; its loss, for which nobody has waited."""
        self.obstacle = self._never or self._obstacle_now(x, y, optimizer)
        if self.obstacle is not None:
            return self._work(x, y, criterion, optimizer)
        known = self._known(x, y, criterion, optimizer)
        if known is None:
            return self._work(x, y, criterion, optimizer)
        known.x.copy_(x)
        known.y.copy_(y)
        with self.executor.lock:  # a scrape may look at the counters
            known.graph.replay()
            self._counts().move(known.moves)
        self.replays += 1
        return known.loss.clone()

    def _known(
        self, x: Tensor, y: Tensor, criterion: Criterion, optimizer: torch.optim.Optimizer
    ) -> Captured | None:
        """A step of this kind as a graph; None while there were too few of them, or where torch cannot."""
        kind = self._kind(x, y, criterion, optimizer)
        known = self._steps.setdefault(kind, 0)
        if len(self._steps) > MOST_KINDS:
            del self._steps[next(iter(self._steps))]
        if isinstance(known, Captured):
            return known
        captured = None
        if known == WARM_STEPS:
            captured = self._captured(x, y, criterion, optimizer)
        self._steps[kind] = known + 1 if captured is None else captured
        return captured

    def told(self) -> str:
        """How the steps were made, for a report."""
        if self.obstacle is not None:
            return f"training steps are not replayed as one CUDA graph: {self.obstacle}"
        if not self.replays and len(self._steps) == MOST_KINDS:
            return (
                "training steps are not replayed as one CUDA graph: each is of another kind; give them "
                "batches of one shape, one criterion (a function that is not made anew) and one optimizer, "
                "whose learning rate stays for some steps"
            )
        return (
            f"{self.replays:,} training steps were replayed as one CUDA graph each; the seconds are those of "
            "the others"
        )

    def _work(self, x: Tensor, y: Any, criterion: Criterion, optimizer: torch.optim.Optimizer) -> Tensor:
        """What a step is."""
        optimizer.zero_grad()
        with mini_batch(), addressed(self.model, step_key(self.model)):
            loss = criterion(self.model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    def _captured(
        self, x: Tensor, y: Tensor, criterion: Criterion, optimizer: torch.optim.Optimizer
    ) -> Captured | None:
        """A step as a graph, which was not done yet; None, and the reason, where torch cannot."""
        own_x, own_y = x.clone(), y.clone()
        counts, updates = self._counts(), self._updates
        before = counts.read()
        self._release()
        try:
            graph, loss = self.capture(lambda: self._work(own_x, own_y, criterion, optimizer))
        except RuntimeError as error:
            updates.forget()
            self._never = self.obstacle = f"torch could not capture it: {' '.join(str(error).split())!s:.200}"
            return None
        finally:
            moves = counts.since(before)
            counts.move(moves, -1)
            self._release()
        return Captured(graph, own_x, own_y, loss, moves, (criterion, optimizer))

    def _release(self) -> None:
        release_memory([*self._banks()])
        self._updates.pool.release()

    def _counts(self) -> HostCounts:
        ticks = [(g.ticks, name) for _, g in self._grids for name in ("forward", "backward", "update")]
        return HostCounts([*self._banks()], [*self._others, *ticks])

    def _banks(self) -> Iterator[TileBank]:
        for layer in self.executor.worker.layers.values():
            yield from (group.bank for group in layer.groups)

    def _obstacle(self) -> str | None:
        """Why no step of the model can ever be repeated by the card alone."""
        if self._foreign is not None:
            return f"{self._foreign}: its weights are modified for each mini-batch, by numbers of the host's"
        for name, grid in self._grids:
            if grid.update_delay:
                return f"{name}: its updates are {grid.update_delay} steps late"
            for group in self.executor.worker.layers[grid.layer].groups:
                if (why := obstacle(group.bank)) is not None:
                    return f"{name}: {why}"
        return None

    def _obstacle_now(self, x: Tensor, y: Any, optimizer: torch.optim.Optimizer) -> str | None:
        """Why the card cannot do this step alone; the next one may be another."""
        where = place_of(next(self._banks()))
        if not (isinstance(y, Tensor) and x.device == where == y.device):
            return f"its inputs and targets are not all tensors on {where}"
        if dropouts(self.model):
            return "its dropout follows numbers of the host's"
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
            return "its optimizer has hooks"
        plain = isinstance(optimizer, torch.optim.SGD)
        if not plain and not all(group.get("capturable") for group in optimizer.param_groups):
            return "its optimizer counts steps on the host; give it capturable=True where torch has that"
        return None

    def _kind(self, x: Tensor, y: Tensor, criterion: Criterion, optimizer: torch.optim.Optimizer) -> Kind:
        modes = [module.training for module in self.model.modules()]
        lasting = [
            each
            for each in (*self.model.parameters(), *self.model.buffers())
            if not isinstance(each, AnalogContext)
        ]
        return Kind(
            (tuple(x.shape), x.dtype, tuple(y.shape), y.dtype),
            (_rule_of(criterion), id(optimizer)),
            _settings(optimizer),
            (*modes, *(each.requires_grad for each in self.model.parameters())),
            (*(each.data_ptr() for each in lasting), *(p for bank in self._banks() for p in places(bank))),
        )


def _rule_of(criterion: Criterion) -> Any:
    """What a criterion computes: one of torch's that is made anew for each step is the same one.

    Tensors of it are those of one address; it is kept with the step that was captured, and so are they.
    """
    if not (isinstance(criterion, nn.Module) and type(criterion).__module__ == "torch.nn.modules.loss"):
        return id(criterion)
    own = {name: value for name, value in vars(criterion).items() if not name.startswith("_")}
    hooked = any(value for name, value in vars(criterion).items() if name.endswith("_hooks"))
    if hooked or not all(isinstance(value, (int, float, str, type(None))) for value in own.values()):
        return id(criterion)
    tensors = [*criterion.buffers(), *criterion.parameters()]
    return type(criterion), repr(sorted(own.items())), tuple(each.data_ptr() for each in tensors)


def _settings(optimizer: torch.optim.Optimizer) -> tuple[Any, ...]:
    """All that its rule is told, and of which parameters."""
    return tuple(
        (
            *map(id, group["params"]),
            *((name, repr(group[name])) for name in sorted(group) if name != "params"),
        )
        for group in optimizer.param_groups
    )
