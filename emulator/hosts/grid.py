"""TileGrid: one layer's tiles. Cuts the input, calls the hosts, adds the partial sums in fixed order.

The grid also counts the layer's logical time: how many vectors were read forward, read backward and
applied as updates. These ticks address all noise, so they are assigned here, in program order, and travel
with the messages.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.errors import ConfigError, InputError

from ..disk.arrays import StoredArray
from ..errors import BackendError
from ..tiles.bank import Floats
from ..tiles.layer_spec import LayerSpec, TileSpec
from ..tiles.messages import (
    Answer,
    Backward,
    Done,
    Drift,
    Forget,
    Forward,
    LetPass,
    LoadState,
    Message,
    Program,
    ReadState,
    ReadWeights,
    State,
    Stats,
    Update,
    WriteWeights,
)
from ..tiles.values import as_array, require_finite
from .executor import Absent, Executor, Hosting, LocalExecutor
from .interrupts import Uninterrupted
from .records import BackwardPass, Dropped, Record
from .saved import load_stored
from .sums import add_columns, add_rows
from .vectors import driven, of_block

#: the turn of a batch that is not pipelined with others
ALONE = contextlib.nullcontext()


@dataclass(slots=True)
class Ticks:
    """The layer's logical time, in vectors where nothing else is said."""

    forward: int = 0
    backward: int = 0
    update: int = 0
    drift: int = 0  # times that time was let pass


@dataclass(slots=True)
class TileGrid:
    """A layer's tiles, wherever they are."""

    spec: LayerSpec
    executor: Executor
    layer: int  # the layer's number at its executor
    hosting: Hosting
    ticks: Ticks = field(default_factory=Ticks)
    update_delay: int = 0  # steps that updates are late by
    late: deque[Update] = field(default_factory=deque)  # updates that wait for their time
    gate: Any = None  # while batches are pipelined: lets micro-batches through in order
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _dropped: deque[Dropped] = field(default_factory=deque)
    _feeds: list[tuple[int, list[slice]]] = field(init=False)  # for each host what its tiles read of an input
    _gradients: list[tuple[int, list[slice]]] = field(init=False)
    _rows: int = field(init=False)  # of blocks
    _columns: int = field(init=False)

    def __post_init__(self) -> None:
        self._rows = len({tile.row for tile in self.spec.tiles})
        self._columns = len({tile.column for tile in self.spec.tiles})
        self._feeds = [
            (host, [slice(*self.spec.channels(column)) for column in sorted({tile.column for tile in tiles})])
            for host, tiles in self._held()
        ]
        self._gradients = [
            (host, [self.spec.outputs(row) for row in sorted({tile.row for tile in tiles})])
            for host, tiles in self._held()
        ]

    def _held(self) -> Iterator[tuple[int, list[TileSpec]]]:
        """Each host and the tiles that it holds."""
        for host, blocks in self.hosting.items():
            yield host, [self.spec.tiles[block] for block in blocks]

    @classmethod
    def local(cls, spec: LayerSpec, ticks: Ticks | None = None) -> TileGrid:
        """The layer's tiles in this process, devices drawn, weights zero."""
        executor = LocalExecutor()
        return cls(spec, executor, 0, executor.place(0, spec), ticks or Ticks())

    @classmethod
    def absent(cls, spec: LayerSpec) -> TileGrid:
        """The layer's tiles, nowhere yet: their numbers are in a file."""
        return cls(spec, Absent(), 0, {0: [tile.block for tile in spec.tiles]})

    @property
    def is_absent(self) -> bool:
        """Whether the tiles are nowhere yet."""
        return isinstance(self.executor, Absent)

    @property
    def takes_tensors(self) -> bool:
        """Whether the tiles read tensors of this process's card as they are, and look at them there."""
        return self.executor.on_card

    def _require_finite(self, what: str, values: Floats, looked_at: bool = True) -> None:
        """Refuse NaN and infinity; on a card they are noted, by the kernels where these look at them."""
        if isinstance(values, np.ndarray) or not self.takes_tensors:
            require_finite(self.spec.name, what, values)
        elif not looked_at:
            self.executor.findings.note(self.spec.name, what.upper(), values)

    def forward(
        self, x: Floats, keep: bool, modify: int | None = None, learn: bool = False, constant: Any = 1.0
    ) -> tuple[Floats, Record | None]:
        """y[vectors, out] of features x[B, in] or images x[B, channels, ...]; kept to go backward or not.

        ``modify`` numbers a mini-batch of hardware-aware training: its weights are modified for it;
        ``learn`` says that the tiles keep the inputs too, for a pulsed update; ``constant`` is the input of
        a bias's column.
        """
        self._require_finite("input", x)
        vectors = self.spec.vectors(x.shape)
        with self.executor.adding(self.layer, vectors, True) as adding:
            with self._turn("forward"):
                self._tell_dropped()
                record = Record(next(self._numbers), self._dropped) if keep else None
                number = None if record is None else record.number
                tick, self.ticks.forward = self.ticks.forward, self.ticks.forward + vectors
                tickets = []
                for host, parts in self._feeds:
                    x_of_host = [x[:, part] for part in parts]
                    message = Forward(
                        self.layer, tick, number, learn, modify, None, constant, adding.gather, x_of_host
                    )
                    tickets.append(self.executor.submit(host, message))
            replies = adding.completed([ticket.result() for ticket in tickets])
        if record is not None:
            record.at_bound = {
                b: m for reply in replies for b, m in zip(reply.clipped, reply.masks, strict=True)
            }
        return add_rows(self.spec, replies, self._rows), record

    def read_vectors(self, x_BI: Floats) -> Floats:
        """y[B, out] of plain vectors x[B, in], also of a convolution's tiles.

        Where nothing comes of zeros, tiles of inputs that are all zero are not read: a part of the layer's
        inputs alone takes a part of the time.
        """
        read, tickets = driven(self.spec, x_BI), []
        for host, tiles in self._held():
            columns = sorted(read & {tile.column for tile in tiles})
            if columns:
                x_of_host = [of_block(self.spec, x_BI, column) for column in columns]
                message = Forward(
                    self.layer, self.ticks.forward, None, False, None, tuple(columns), 1.0, None, x_of_host
                )  # fmt: skip
                tickets.append(self.executor.submit(host, message))
        self.ticks.forward += x_BI.shape[0]
        if not tickets:
            return np.zeros((x_BI.shape[0], self.spec.out_size), np.float32)
        return add_rows(self.spec, [ticket.result() for ticket in tickets], self._rows)

    def backward(
        self,
        record: Record,
        d_BO: Floats,
        image_shape: tuple[int, ...] | None,
        scale_O: Any = None,
        keep: bool = False,
    ) -> tuple[Floats | None, BackwardPass | None]:
        """z = W^T d, shaped like the layer's input ``image_shape`` (not computed where that is None).

        Where outputs are scaled by a, y = a W x, the tiles read a d, and keep d / a for an update: it moves
        a W by the learning rate times d x^T, whatever a is. They keep it if asked to.
        """
        self._require_finite("gradient", d_BO)
        if record.applied or record.dropped is not self._dropped:
            why = "whose update was already applied" if record.applied else "of before its tiles moved"
            raise InputError(
                f"{self.spec.name}: backward through a forward pass {why}; run the forward pass again"
            )
        read = image_shape is not None
        with self.executor.adding(self.layer, d_BO.shape[0] if read else 0, False) as adding:
            with self._turn("backward"):
                kept = BackwardPass(next(self._numbers), record, d_BO.shape[0]) if keep else None
                number = None if kept is None else kept.number
                tickets = []
                for host, parts in self._gradients:
                    d_of_host = [d_BO[:, part] for part in parts]
                    a_of_host = [] if scale_O is None else [scale_O[part] for part in parts]
                    message = Backward(
                        self.layer, self.ticks.backward, record.number, number, read, adding.gather,
                        d_of_host, a_of_host,
                    )  # fmt: skip
                    tickets.append(self.executor.submit(host, message))
                if read:
                    self.ticks.backward += d_BO.shape[0]
            replies = adding.completed([ticket.result() for ticket in tickets])
        return None if image_shape is None else add_columns(
            self.spec, replies, self._columns, image_shape
        ), kept

    def update(self, learning_rate: float, passes: Sequence[BackwardPass]) -> None:
        """Pulse all devices for ``passes``, in the order in which they went forward.

        With ``update_delay`` N it waits until N more updates followed: the tiles read N + 1 times with the
        weights of before, whatever the processes do, so the result is as reproducible as without.
        """
        if not passes:
            return
        numbers, vectors = [], 0
        for p in passes:
            if p.record.applied or p.record.dropped is not self._dropped:
                raise InputError(
                    f"{self.spec.name}: a pass that went backward was applied before, or its tiles have "
                    "moved since; call zero_grad() and run the forward and the backward pass again"
                )
            numbers.append((p.record.number, p.number))
            vectors += p.vectors
        numbers.sort()
        self.late.append(Update(self.layer, self.ticks.update, float(learning_rate), tuple(numbers)))
        self.ticks.update += vectors
        for p in passes:
            p.record.applied = True
        # all hosts are told, or an interrupt would leave tiles of one layer that learnt different things
        for message in self._due(self.update_delay):
            with Uninterrupted():
                for host in self.hosting:
                    self.executor.submit(host, message, wanted=False)

    def let_pass(self, time: float) -> None:
        """Let pulsed devices that drift (``DriftParameter``) be left alone for ``time``."""
        self.apply_late()
        tick, self.ticks.drift = self.ticks.drift, self.ticks.drift + 1
        self._ask_all(LetPass(self.layer, tick, float(time)))

    def apply_late(self) -> None:
        """Pulse the devices for all updates that still wait for their time."""
        for message in self._due(0):
            with Uninterrupted():
                for host in self.hosting:
                    self.executor.submit(host, message, wanted=False)

    def _due(self, delay: int) -> list[Update]:
        """The updates that ``delay`` or more others follow: no longer late."""
        return [self.late.popleft() for _ in range(len(self.late) - delay)]

    def weights(self) -> Floats:
        """The whole weight matrix [out, in] as the products see it, without their noise."""
        w_OI = np.empty((self.spec.out_size, self.spec.in_size), np.float32)
        for reply in self._ask_all(ReadWeights(self.layer)):
            for block, values in zip(reply.blocks, reply.w, strict=True):
                self.spec.take(block, values, w_OI)
        return w_OI

    def set_weights(self, w_OI: Any) -> None:
        """Write the weight matrix [out, in]; every device clips to its own bounds.

        Digital weights that are a tensor on this process's card stay there, and nobody waits.
        """
        wanted = (self.spec.out_size, self.spec.in_size)
        if tuple(w_OI.shape) != wanted:
            raise InputError(
                f"{self.spec.name}: weights of shape {tuple(w_OI.shape)} cannot be set, "
                f"the layer holds {wanted}"
            )
        there = self.takes_tensors and not self.spec.learns
        w_OI = w_OI if there else as_array(w_OI)
        self._require_finite("weight", w_OI, looked_at=False)
        self._write(w_OI, lambda blocks, w: WriteWeights(self.layer, blocks, w))

    def program(self, targets_OI: Floats, programmed: int, drifted: tuple[float, int] | None) -> None:
        """Leave what programming ``targets_OI`` gives, or what is left (seconds, tick) later."""
        if drifted is None:
            require_finite(self.spec.name, "weight", targets_OI)
            self._write(targets_OI, lambda blocks, w: Program(self.layer, blocks, w, programmed))
        else:  # they were finite when they were programmed
            self._write(targets_OI, lambda blocks, w: Drift(self.layer, blocks, w, programmed, *drifted))

    def _write(self, w_OI: Floats, message: Callable[[tuple[int, ...], list[Floats]], Message[Done]]) -> None:
        """Send every host the matrices of its blocks, and wait until they are written."""
        tickets = [
            self.executor.submit(host, message(tuple(blocks), [self.spec.held(b, w_OI) for b in blocks]))
            for host, blocks in self.hosting.items()
        ]
        for ticket in tickets:
            ticket.result()

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that changes, keyed ``"block/name"``: the tiles' states."""
        return _by_key(self._ask_all(ReadState(self.layer)))

    def ask_reachable(self, message: Message[Answer]) -> tuple[list[Answer], BackendError | None]:
        """What the hosts reply that still answer, or are known to have held; and why others do not."""
        replies, failure = [], None
        for host in self.hosting:
            try:
                replies.append(self.executor.submit(host, message).result())
            except BackendError as error:
                failure = failure or error
                known = self.executor.recall(host, message)
                replies += [] if known is None else [known]
        return replies, failure

    def rescue(self) -> tuple[TileGrid, BackendError | None]:
        """The layer in this process, with all tiles that can be read or are known; others hold nothing."""
        home = TileGrid.local(self.spec, copy.copy(self.ticks))
        replies, failure = self.ask_reachable(ReadState(self.layer))
        state = {} if failure is None else home.state()
        home.load_state({**state, **_by_key(replies)})
        return home, failure

    def load_state(self, state: Mapping[str, NDArray[Any] | StoredArray]) -> None:
        """Take over the states that ``state`` gave, of a grid cut the same way; all here, or all on disk."""
        by_block: dict[str, list[tuple[str, Any]]] = {str(t.block): [] for t in self.spec.tiles}
        for key, values in state.items():
            block, _, name = key.partition("/")
            if block not in by_block:
                raise ConfigError(
                    f"{self.spec.name}: the saved state has {key!r:.40}, which is none of its "
                    f"{len(by_block)} tiles; build the layer with the same sizes, mapping and chip"
                )
            by_block[block].append((name, values))
        entries = {
            host: [((block, name), values) for block in blocks for name, values in by_block[str(block)]]
            for host, blocks in self.hosting.items()
        }
        if any(isinstance(values, StoredArray) for values in state.values()):
            load_stored(self.executor, self.layer, entries)
            return
        for host, named in entries.items():
            names, held = tuple(name for name, _ in named), [values for _, values in named]
            self.executor.submit(host, LoadState(self.layer, names, held)).result()

    def stats(self, glance: bool = False) -> dict[int, dict[str, float]]:
        """What each block's tile has done since it was built; at a ``glance``, see there.

        Whoever scrapes the metrics is not to be told of an update that failed.
        """
        ask = self.executor.glance if glance else self.executor.submit
        tickets = [ask(host, Stats(self.layer)) for host in self.hosting]
        found: dict[int, dict[str, float]] = {}
        for ticket in tickets:
            found.update(ticket.result(failures=False).tiles)
        return found

    def clock(self) -> dict[str, Any]:
        """Which tiles these are, and the layer's logical time."""
        return {
            "key": self.spec.key,
            "ticks": [*astuple(self.ticks)],
            "blocks": [[*tile.shape] for tile in self.spec.tiles],
        }

    def revived(self, clock: dict[str, Any]) -> TileGrid:
        """This grid at the time of ``clock``, or, of another key, a new one in this process."""
        blocks = [[*tile.shape] for tile in self.spec.tiles]
        if clock["blocks"] != blocks:
            raise ConfigError(
                f"{self.spec.name}: the saved state has tiles {clock['blocks']}, this layer has {blocks}; "
                "build the layer with the same sizes, mapping and chip"
            )
        same = clock["key"] == self.spec.key
        grid = self if same else TileGrid.local(replace(self.spec, key=clock["key"]))
        grid.ticks = Ticks(*clock["ticks"])
        return grid

    def __reduce__(self) -> Any:
        """Copied and pickled, wherever its tiles are, it is a grid in the process of the copy."""
        if self.is_absent:
            return TileGrid.absent, (self.spec,)
        return _at_home, (self.spec, self.ticks, self.state())

    def rename(self, name: str) -> None:
        """Call the layer ``name``, as the model does."""
        tiles = tuple(replace(t, label=f"{name}/{t.row},{t.column}") for t in self.spec.tiles)
        self.spec = replace(self.spec, name=name, tiles=tiles)

    def _turn(self, direction: str) -> contextlib.AbstractContextManager[None]:
        return ALONE if self.gate is None else self.gate.turn(direction)

    def _ask_all(self, message: Message[Answer]) -> list[Answer]:
        tickets = [self.executor.submit(host, message) for host in self.hosting]
        return [ticket.result() for ticket in tickets]

    def _tell_dropped(self) -> None:
        """Let the hosts forget what nobody can ask for any more."""
        if not self._dropped:
            return
        passes = tuple(self._dropped.popleft() for _ in range(len(self._dropped)))
        for host in self.hosting:
            self.executor.submit(host, Forget(self.layer, passes), wanted=False)


def _at_home(spec: LayerSpec, ticks: Ticks, state: dict[str, NDArray[Any]]) -> TileGrid:
    """A grid in this process in the state that another one gave."""
    grid = TileGrid.local(spec, ticks)
    grid.load_state(state)
    return grid


def _by_key(replies: Iterable[State]) -> dict[str, NDArray[Any]]:
    """The arrays of states by block and name."""
    return {
        f"{block}/{name}": values
        for reply in replies
        for (block, name), values in zip(reply.names, reply.values, strict=True)
    }
