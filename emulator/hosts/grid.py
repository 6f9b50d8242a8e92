"""TileGrid: one layer's tiles. Cuts the input, calls the hosts, adds the partial sums in fixed order.

The grid also counts the layer's logical time: how many vectors were read forward, read backward and
applied as updates. These ticks address all noise, so they are assigned here, in program order, and travel
with the messages.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.errors import ConfigError, InputError
from crossgrid.kernels.finite import all_finite

from ..errors import BackendError
from ..tiles.bank import Floats, Mask
from ..tiles.layer_spec import LayerSpec, TileSpec
from ..tiles.worker import Arrays, Header
from .executor import Executor, LocalExecutor, Placement
from .records import BackwardPass, Dropped, Record

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
    placement: Placement
    ticks: Ticks = field(default_factory=Ticks)
    update_delay: int = 0  # steps that updates are late by
    late: deque[Header] = field(default_factory=deque)  # updates that wait for their time
    gate: Any = None  # while batches are pipelined: lets micro-batches through in order
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _dropped: deque[Dropped] = field(default_factory=deque)
    _feeds: list[tuple[int, list[slice]]] = field(init=False)  # for each host what its tiles read of an input
    _gradients: list[tuple[int, list[slice]]] = field(init=False)

    def __post_init__(self) -> None:
        self._feeds = [
            (host, [slice(*self.spec.channels(column)) for column in sorted({tile.column for tile in tiles})])
            for host, tiles in self._held()
        ]
        self._gradients = [
            (host, [self._out(row) for row in sorted({tile.row for tile in tiles})])
            for host, tiles in self._held()
        ]

    def _held(self) -> Iterator[tuple[int, list[TileSpec]]]:
        """Each host and the tiles that it holds."""
        for host, blocks in self.placement.items():
            yield host, [self.spec.tiles[block] for block in blocks]

    @classmethod
    def local(cls, spec: LayerSpec, ticks: Ticks | None = None) -> TileGrid:
        """The layer's tiles in this process, devices drawn, weights zero."""
        executor = LocalExecutor()
        return cls(spec, executor, 0, executor.place(0, spec), ticks or Ticks())

    def forward(
        self, x: Floats, keep: bool, modify: int | None = None, learn: bool = False
    ) -> tuple[Floats, Record | None]:
        """y[vectors, out] of features x[B, in] or images x[B, channels, ...]; kept to go backward or not.

        ``modify`` numbers a mini-batch of hardware-aware training: its weights are modified for it;
        ``learn`` says that the tiles keep the inputs too, for a pulsed update.
        """
        self.require_finite("input", x)
        vectors = self._vectors(x)
        with self._turn("forward"):
            self._tell_dropped()
            record = Record(next(self._numbers), self._dropped) if keep else None
            header: Header = {
                "op": "forward", "layer": self.layer, "tick": self.ticks.forward,
                "record": record.number if record else None, "learn": learn, "modify": modify,
                "vectors": False,
            }  # fmt: skip
            self.ticks.forward += vectors
            tickets = [
                self.executor.submit(host, header, [x[:, part] for part in parts])
                for host, parts in self._feeds
            ]
        replies = [ticket.result() for ticket in tickets]
        if record is not None:
            record.at_bound = _masks(replies)
        return self._add_rows(replies), record

    def read_vectors(self, x_BI: Floats) -> Floats:
        """y[B, out] of plain vectors x[B, in], also of a convolution's tiles."""
        self.require_finite("input", x_BI)
        header: Header = {
            "op": "forward", "layer": self.layer, "tick": self.ticks.forward,
            "record": None, "learn": False, "modify": None, "vectors": True,
        }  # fmt: skip
        tickets = [
            self.executor.submit(
                host,
                header,
                [self._in(x_BI, column) for column in sorted({tile.column for tile in tiles})],
            )
            for host, tiles in self._held()
        ]
        y_BO = self._add_rows([ticket.result() for ticket in tickets])
        self.ticks.forward += y_BO.shape[0]
        return y_BO

    def backward(
        self,
        record: Record,
        d_BO: Floats,
        image_shape: tuple[int, ...] | None,
        scale_O: Floats | None = None,
        keep: bool = False,
    ) -> tuple[Floats | None, BackwardPass | None]:
        """z = W^T d, shaped like the layer's input ``image_shape`` (not computed where that is None).

        Where outputs are scaled by a, y = a W x, the tiles read a d, and keep d / a for an update: it moves
        a W by the learning rate times d x^T, whatever a is. They keep it if asked to.
        """
        self.require_finite("gradient", d_BO)
        if record.applied or record.dropped is not self._dropped:
            why = "whose update was already applied" if record.applied else "of before its tiles moved"
            raise InputError(
                f"{self.spec.name}: backward through a forward pass {why}; run the forward pass again"
            )
        with self._turn("backward"):
            kept = BackwardPass(next(self._numbers), record, d_BO.shape[0]) if keep else None
            header: Header = {
                "op": "backward", "layer": self.layer, "tick": self.ticks.backward,
                "record": record.number, "pass": kept.number if kept else None,
                "need_input": image_shape is not None, "scaled": scale_O is not None,
            }  # fmt: skip
            tickets = [
                self.executor.submit(
                    host,
                    header,
                    [d_BO[:, part] for part in parts]
                    + ([] if scale_O is None else [scale_O[part] for part in parts]),
                )
                for host, parts in self._gradients
            ]
            if image_shape is not None:
                self.ticks.backward += d_BO.shape[0]
        replies = [ticket.result() for ticket in tickets]
        return None if image_shape is None else self._add_columns(replies, image_shape), kept

    def update(self, learning_rate: float, passes: Sequence[BackwardPass]) -> None:
        """Pulse all devices for ``passes``, in the order in which they went forward.

        With ``update_delay`` N it waits until N more updates followed: the tiles read N + 1 times with the
        weights of before, whatever the processes do, so the result is as reproducible as without.
        """
        if not passes:
            return
        if any(p.record.applied or p.record.dropped is not self._dropped for p in passes):
            raise InputError(
                f"{self.spec.name}: a pass that went backward was applied before, or its tiles have moved "
                "since; call zero_grad() and run the forward and the backward pass again"
            )
        numbers = sorted((p.record.number, p.number) for p in passes)
        header: Header = {
            "op": "update", "layer": self.layer, "tick": self.ticks.update,
            "passes": [[*pair] for pair in numbers], "learning_rate": learning_rate,
        }  # fmt: skip
        self.late.append(header)
        self.ticks.update += sum(p.vectors for p in passes)
        for p in passes:
            p.record.applied = True
        self.apply_late(keep=self.update_delay)

    def let_pass(self, time: float) -> None:
        """Let pulsed devices that drift (``DriftParameter``) be left alone for ``time``."""
        self.apply_late()
        header: Header = {"op": "let_pass", "layer": self.layer, "tick": self.ticks.drift, "time": time}
        self.ticks.drift += 1
        self._ask_all(header)

    def apply_late(self, keep: int = 0) -> None:
        """Pulse the devices for all updates but the last ``keep``."""
        while len(self.late) > keep:
            header = self.late.popleft()
            for host in self.placement:
                self.executor.post(host, header, [])

    def weights(self) -> Floats:
        """The whole weight matrix [out, in] as the products see it, without their noise."""
        w_OI = np.empty((self.spec.out_size, self.spec.in_size), np.float32)
        for header, arrays in self._ask_all({"op": "weights", "layer": self.layer}):
            for block, values in zip(header["blocks"], arrays, strict=True):
                self.spec.take(block, values, w_OI)
        return w_OI

    def set_weights(self, w_OI: Floats) -> None:
        """Write the weight matrix [out, in]; every device clips to its own bounds."""
        self.require_finite("weight", w_OI)
        wanted = (self.spec.out_size, self.spec.in_size)
        if w_OI.shape != wanted:
            raise InputError(
                f"{self.spec.name}: weights of shape {w_OI.shape} cannot be set, the layer holds {wanted}"
            )
        self._write({"op": "set_weights", "layer": self.layer}, w_OI)

    def program(self, targets_OI: Floats, programmed: int, drifted: tuple[float, int] | None) -> None:
        """Leave what programming ``targets_OI`` gives, or what is left (seconds, tick) later."""
        self.require_finite("weight", targets_OI)
        header: Header = {
            "op": "program", "layer": self.layer, "programmed": programmed,
            "drifted": None if drifted is None else [*drifted],
        }  # fmt: skip
        self._write(header, targets_OI)

    def _write(self, header: Header, w_OI: Floats) -> None:
        tickets = [
            self.executor.submit(
                host, {**header, "blocks": blocks}, [self.spec.held(b, w_OI) for b in blocks]
            )
            for host, blocks in self.placement.items()
        ]
        for ticket in tickets:
            ticket.result()

    def state(self) -> dict[str, NDArray]:
        """Everything that changes, keyed ``"block/name"``: the tiles' states."""
        found = {}
        for header, arrays in self._ask_all({"op": "state", "layer": self.layer}):
            for (block, name), values in zip(header["names"], arrays, strict=True):
                found[f"{block}/{name}"] = values
        return found

    def living(self, what: str) -> tuple[list[tuple[Header, Arrays]], BackendError | None]:
        """What the hosts that still answer reply to ``what``, and why others do not."""
        replies, failure = [], None
        for host in self.placement:
            try:
                replies.append(self.executor.submit(host, {"op": what, "layer": self.layer}, []).result())
            except BackendError as error:
                failure = failure or error
        return replies, failure

    def rescue(self) -> tuple[TileGrid, BackendError | None]:
        """The layer in this process, with all tiles that can still be read; lost ones hold nothing."""
        home = TileGrid.local(self.spec, copy.copy(self.ticks))
        replies, failure = self.living("state")
        state = {} if failure is None else home.state()
        for header, arrays in replies:
            for (block, name), values in zip(header["names"], arrays, strict=True):
                state[f"{block}/{name}"] = values
        home.load_state(state)
        return home, failure

    def load_state(self, state: dict[str, NDArray]) -> None:
        """Take over the states that ``state`` gave, of a grid cut the same way."""
        by_block: dict[int, list[tuple[str, NDArray]]] = {}
        for key, values in state.items():
            block, _, name = key.partition("/")
            by_block.setdefault(int(block), []).append((name, values))
        for host, blocks in self.placement.items():
            entries = [(block, name, values) for block in blocks for name, values in by_block[block]]
            header: Header = {
                "op": "load_state", "layer": self.layer, "names": [[b, name] for b, name, _ in entries],
            }  # fmt: skip
            self.executor.submit(host, header, [values for _, _, values in entries]).result()

    def stats(self) -> dict[int, dict[str, float]]:
        """What each block's tile has done since it was built."""
        found: dict[int, dict[str, float]] = {}
        for header, _ in self._ask_all({"op": "stats"}):
            found.update(header["stats"][self.layer])
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
        return _at_home, (self.spec, self.ticks, self.state())

    def rename(self, name: str) -> None:
        """Call the layer ``name``, as the model does."""
        tiles = tuple(replace(t, label=f"{name}/{t.row},{t.column}") for t in self.spec.tiles)
        self.spec = replace(self.spec, name=name, tiles=tiles)

    def _turn(self, direction: str) -> contextlib.AbstractContextManager[None]:
        return ALONE if self.gate is None else self.gate.turn(direction)

    def _vectors(self, x: Floats) -> int:
        """How many vectors the tiles read for an input."""
        if self.spec.patches is None:
            return x.shape[0]
        return x.shape[0] * math.prod(self.spec.patches.output_size(tuple(x.shape[2:])))

    def _ask_all(self, header: Header) -> list[tuple[Header, Arrays]]:
        tickets = [self.executor.submit(host, header, []) for host in self.placement]
        return [ticket.result() for ticket in tickets]

    def _out(self, row: int) -> slice:
        tile = self.spec.tiles[row * self.spec.columns]
        return slice(tile.out_start, tile.out_stop)

    def _in(self, x_BI: Floats, column: int) -> Floats:
        """What block ``column`` reads of plain vectors; groups that share a tile all read the same."""
        tile, width = self.spec.tile_in(column), self.spec.in_size
        if tile.in_stop > width:
            return np.tile(x_BI, (1, tile.in_stop // width))
        return x_BI[:, tile.in_start : tile.in_stop]

    def _add_rows(self, replies: list[tuple[Header, Arrays]]) -> Floats:
        totals = _add_in_order(replies)
        if len(totals) == 1:
            return totals[0]
        y_BO = np.empty((totals[0].shape[0], self.spec.out_size), np.float32)
        for row, total in totals.items():
            y_BO[:, self._out(row)] = total
        return y_BO

    def _add_columns(self, replies: list[tuple[Header, Arrays]], image_shape: tuple[int, ...]) -> Floats:
        totals = _add_in_order(replies)
        if len(totals) == 1:
            return totals[0].reshape(image_shape)
        z = np.zeros(image_shape, np.float32)
        for column, total in sorted(totals.items()):
            z[:, slice(*self.spec.channels(column))] += total
        return z

    def require_finite(self, what: str, values: NDArray) -> None:
        """Refuse NaN and infinity before anything reaches a tile."""
        if not all_finite(np.asarray(values, np.float32).ravel("K")):
            bad = int(values.size - np.isfinite(values).sum())
            raise InputError(
                f"{self.spec.name}: {bad} of {values.size} entries of the {what} are NaN or infinite; "
                "a tile's converters need finite numbers: check the data and lower the learning rate"
            )

    def _tell_dropped(self) -> None:
        """Let the hosts forget what nobody can ask for any more."""
        if not self._dropped:
            return
        passes = []
        while self._dropped:
            passes.append([*self._dropped.popleft()])
        for host in self.placement:
            self.executor.post(host, {"op": "forget", "layer": self.layer, "passes": passes}, [])


def _masks(replies: list[tuple[Header, Arrays]]) -> dict[int, Mask]:
    """Which results stand at the ADC's bound, of the blocks in which some do."""
    return {
        block: mask
        for header, arrays in replies
        if header["at_bound"]
        for block, mask in zip(header["at_bound"], arrays[len(header["index"]) :], strict=True)
    }


def _at_home(spec: LayerSpec, ticks: Ticks, state: dict[str, NDArray]) -> TileGrid:
    """A grid in this process in the state that another one gave."""
    grid = TileGrid.local(spec, ticks)
    grid.load_state(state)
    return grid


def _add_in_order(replies: list[tuple[Header, Arrays]]) -> dict[int, Floats]:
    """Sum partial results of each line in block order, whichever host they came from."""
    if len(replies) == 1 and len(replies[0][1]) == 1:
        return {replies[0][0]["index"][0][0]: replies[0][1][0]}
    parts: dict[int, dict[int, Floats]] = {}
    for header, arrays in replies:
        for (line, place), values in zip(header["index"], arrays, strict=False):  # masks may follow
            parts.setdefault(line, {})[place] = values
    totals = {}
    for line in sorted(parts):
        ordered = [parts[line][place] for place in sorted(parts[line])]
        total = ordered[0]
        for values in ordered[1:]:
            total = total + values
        totals[line] = total
    return totals
