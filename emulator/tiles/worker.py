"""TileWorker: hosts tiles of any layers and answers messages about them.

One worker lives in this process (``LocalExecutor``) or in a Ray actor (``TileActor``); it knows neither.
A message is a header (plain values) and arrays. For one layer the worker holds some of the tiles,
grouped into banks of equal shape.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.analog_mvm.reads.periphery import on_host
from crossgrid.kernels.backends import BackendName, backend_of
from crossgrid.kernels.patches.unfold import channels_last

from .bank import Floats, Index, Mask, TileBank
from .layer_spec import LayerSpec, TileSpec

Header = dict[str, Any]
Arrays = list[NDArray]
PartialSums = tuple[list[list[int]], Arrays]
Gradients = tuple[Floats, Index]  # d[blocks, vectors, out], and which block each tile uses

#: messages that make tiles work; a worker counts as waiting between the first and the last of them
WORK = frozenset({"forward", "backward", "update"})


@dataclass(slots=True)
class Group:
    """Equal tiles of one layer in one bank, and which input and output block each of them uses."""

    bank: TileBank
    tiles: list[TileSpec]
    columns: list[int] = field(init=False)
    rows: list[int] = field(init=False)
    x_of_tile: Index = field(init=False)
    d_of_tile: Index = field(init=False)
    _modified: tuple[int, Floats] | None = field(default=None, init=False)  # of the last mini-batch

    def __post_init__(self) -> None:
        self.columns = sorted({tile.column for tile in self.tiles})
        self.rows = sorted({tile.row for tile in self.tiles})
        self.x_of_tile = np.array([self.columns.index(tile.column) for tile in self.tiles], np.intp)
        self.d_of_tile = np.array([self.rows.index(tile.row) for tile in self.tiles], np.intp)

    def modified(self, tick: int) -> Floats:
        """The weights that the mini-batch ``tick`` sees: one stack for all its reads."""
        if self._modified is None or self._modified[0] != tick:
            self._modified = None  # its memory serves for the next one
            self._modified = tick, self.bank.modified(tick)
        return self._modified[1]

    def forget_modified(self) -> None:
        """The weights change, or nobody trains."""
        self._modified = None


@dataclass(slots=True)
class Kept:
    """One forward pass that may go backward: its inputs if it is trained on, and the gradients that came."""

    x_XBI: list[Floats]  # one stack a group; none where the tiles do not learn from it
    w_TOI: list[Floats | None]  # the weights that this pass saw, where they were not the tiles' own
    at_bound_TBO: list[Mask | None]  # results that stand at the ADC's bound, in groups where there are some
    image_shape: tuple[int, ...]
    channels_last: bool  # how the images were stored: their gradient is alike, so that nobody must convert it
    gradients: dict[int, list[Gradients]] = field(default_factory=dict)  # of each backward pass, one a group


class HostedLayer:
    """The tiles of one layer that live in this worker."""

    def __init__(self, spec: LayerSpec, blocks: Sequence[int], device: BackendName = "cpu") -> None:
        self.spec, self.patches = spec, backend_of(device).patches
        tiles = [spec.tiles[block] for block in sorted(blocks)]
        self.groups = []
        for shape in sorted({tile.shape for tile in tiles}, reverse=True):
            alike = [tile for tile in tiles if tile.shape == shape]
            bank = TileBank(spec.key, [t.block for t in alike], *shape, spec.rpu_config, device)
            self.groups.append(Group(bank, alike))
        self.columns = sorted({tile.column for tile in tiles})
        self.rows = sorted({tile.row for tile in tiles})
        in_row, in_column = Counter(tile.row for tile in tiles), Counter(tile.column for tile in tiles)
        self.complete_rows = {row for row, count in in_row.items() if count == spec.columns}
        self.complete_columns = {column for column, count in in_column.items() if count == spec.rows}
        self.kept: dict[int, Kept] = {}

    def forward(self, header: Header, feeds: Arrays) -> tuple[Header, Arrays]:
        """Read all tiles. ``feeds`` holds the input (features or image channels) of each hosted column.

        ``modify`` is the tick of a hardware-aware mini-batch, whose weights are modified for it; ``vectors``
        says that the feeds are the tiles' own input vectors, whatever the layer is.
        """
        record, modify, learn = header["record"], header["modify"], header["learn"]
        feed = dict(zip(self.columns, feeds, strict=True))
        kept = Kept([], [], [], feeds[0].shape, channels_last(feeds[0]))
        parts: dict[tuple[int, int], Floats] = {}
        for group in self.groups:
            x_XBI = self._input_blocks(group.columns, feed, header["vectors"], learn)
            if modify is None and record is None:
                group.forget_modified()
                group.bank.memory.release()  # nobody trains at present
            w_TOI = None if modify is None else group.modified(modify)
            read = x_XBI, group.x_of_tile, header["tick"], w_TOI
            if record is None:
                y_TBO = on_host(group.bank.forward(*read))
            else:
                y_TBO, bound_TB = group.bank.forward_with_bound(*read)
                y_TBO = on_host(y_TBO)
                kept.x_XBI += [x_XBI] if learn else []
                kept.w_TOI.append(w_TOI)
                kept.at_bound_TBO.append(_at_bound(y_TBO, bound_TB))
            parts.update({(t.row, t.column): y for t, y in zip(group.tiles, y_TBO, strict=True)})
        if record is not None:
            self.kept[record] = kept
        index, sums = _partial_sums(parts, self.complete_rows, along_row=True)
        blocks, masks = ([], []) if self.spec.learns else self._masks(kept)
        return {"index": index, "at_bound": blocks}, sums + masks

    def _masks(self, kept: Kept) -> tuple[list[int], Arrays]:
        """The blocks with results at the ADC's bound, and which: the digital trainer asks for them."""
        found = [
            (tile.block, mask_BO)
            for group, mask_TBO in zip(self.groups, kept.at_bound_TBO, strict=False)
            if mask_TBO is not None
            for tile, mask_BO in zip(group.tiles, mask_TBO, strict=True)
            if mask_BO.any()
        ]
        return [block for block, _ in found], [mask_BO for _, mask_BO in found]

    def backward(self, header: Header, arrays: Arrays) -> PartialSums:
        """Read all tiles backward where asked for; keep the gradients of each hosted row for an update.

        Where the outputs are scaled, ``arrays`` holds each row's factors a after the gradients d: tiles read
        a d and keep d / a, so that an update moves a W by d x^T whatever a is.
        """
        gradient = dict(zip(self.rows, arrays, strict=False))
        factor = dict(zip(self.rows, arrays[len(self.rows) :], strict=False))
        kept, parts = self.kept[header["record"]], {}
        of_pass: list[Gradients] = []
        for group, w_TOI, mask_TBO in zip(self.groups, kept.w_TOI, kept.at_bound_TBO, strict=True):
            d_XBO = _stacked([gradient[row] for row in group.rows])
            a_X1O = np.stack([factor[row] for row in group.rows])[:, None] if factor else None
            if header["pass"] is not None:
                of_pass.append(_seen(d_XBO if a_X1O is None else d_XBO / a_X1O, group, mask_TBO))
            if header["need_input"]:
                seen = _seen(d_XBO if a_X1O is None else d_XBO * a_X1O, group, mask_TBO)
                z_TBI = on_host(group.bank.backward(*seen, header["tick"], w_TOI))
                for tile, z_BI in zip(group.tiles, z_TBI, strict=True):
                    parts[tile.row, tile.column] = self._input_gradient(tile, z_BI, kept)
        if of_pass:
            kept.gradients[header["pass"]] = of_pass
        if not header["need_input"]:
            return [], []
        return _partial_sums(parts, self.complete_columns, along_row=False)

    def update(self, learning_rate: float, tick: int, passes: Sequence[tuple[int, int]]) -> None:
        """Apply the kept passes (record, pass) in order and forget their records."""
        applied = [(self.kept[record], number) for record, number in passes]
        for k, group in enumerate(self.groups):
            x = [kept.x_XBI[k] for kept, _ in applied]
            d, d_of_tile = _joined([kept.gradients[number][k] for kept, number in applied])
            x_XBI = x[0] if len(x) == 1 else np.concatenate(x, axis=1)
            group.bank.update(x_XBI, group.x_of_tile, d, d_of_tile, learning_rate, tick)
        for record in {record for record, _ in passes}:
            del self.kept[record]

    def forget(self, passes: Sequence[tuple[int, int | None]]) -> None:
        """Drop whole records (record, None), or one pass's gradients (record, pass)."""
        for record, number in passes:
            if number is None:
                self.kept.pop(record, None)
            elif record in self.kept:
                self.kept[record].gradients.pop(number, None)

    def by_tile(self) -> dict[int, tuple[Group, int]]:
        """For each hosted block its group and its place there."""
        return {tile.block: (group, k) for group in self.groups for k, tile in enumerate(group.tiles)}

    def _input_blocks(
        self, columns: list[int], feed: Mapping[int, Floats], vectors: bool, keep: bool
    ) -> Floats:
        """x[columns, B, in] of some columns; a copy of the feeds where it is to be kept."""
        patches = None if vectors else self.spec.patches
        if patches is None:
            blocks = [feed[c] for c in columns]
            return blocks[0][None] if len(blocks) == 1 and not keep else _stacked(blocks)
        blocks = [self.patches.unfold(feed[c], patches)[:, self.spec.features(c)] for c in columns]
        return blocks[0][None] if len(blocks) == 1 else np.stack(blocks)

    def _input_gradient(self, tile: TileSpec, z_BI: Floats, kept: Kept) -> Floats:
        patches = self.spec.patches
        if patches is None:
            return z_BI
        first, last = self.spec.channels(tile.column)
        if z_BI.shape[1] != (last - first) * patches.size:
            full = np.zeros((z_BI.shape[0], (last - first) * patches.size), np.float32)
            full[:, self.spec.features(tile.column)] = z_BI
            z_BI = full
        batch, _, *size = kept.image_shape
        return self.patches.fold(z_BI, batch, last - first, tuple(size), patches, last=kept.channels_last)


def _stacked(blocks: list[Floats]) -> Floats:
    """A copy of equal blocks, one after the other."""
    return np.stack(blocks) if len(blocks) > 1 else blocks[0][None].copy()


def _at_bound(y_TBO: Floats, bound_TB: Floats | None) -> Mask | None:
    """Which results stand at the ADC's bound; None where none does."""
    if bound_TB is None:
        return None
    mask_TBO = np.abs(y_TBO) >= bound_TB[:, :, None]
    return mask_TBO.view(np.uint8) if mask_TBO.any() else None


def _seen(d_XBO: Floats, group: Group, mask_TBO: Mask | None) -> Gradients:
    """The gradients that tiles see: none of a result at the ADC's bound, which does not follow its signal."""
    if mask_TBO is None:
        return d_XBO, group.d_of_tile
    return np.where(mask_TBO, np.float32(0), d_XBO[group.d_of_tile]), np.arange(len(group.tiles))


def _joined(gradients: list[Gradients]) -> Gradients:
    """The gradients of several passes one after the other."""
    if len(gradients) == 1:
        return gradients[0]
    of_tiles = [of_tile for _, of_tile in gradients]
    if all(np.array_equal(of_tile, of_tiles[0]) for of_tile in of_tiles[1:]):
        return np.concatenate([d_XBO for d_XBO, _ in gradients], axis=1), of_tiles[0]
    each_TBO = [d_XBO[of_tile] for d_XBO, of_tile in gradients]
    return np.concatenate(each_TBO, axis=1), np.arange(len(of_tiles[0]))


def _partial_sums(
    parts: Mapping[tuple[int, int], Floats], complete: set[int], *, along_row: bool
) -> PartialSums:
    """Add what can be added here, always in block order, so that the sum never depends on the host.

    A row (backward: a column) that is hosted completely gives one array, marked -1; of the others every
    part goes to the driver, which adds them in the same order.
    """
    index: list[list[int]] = []
    arrays: Arrays = []
    if len(parts) == 1 and len(complete) == 1:
        return [[*complete, -1]], [*parts.values()]
    for row, column in sorted(parts) if along_row else sorted(parts, key=lambda rc: (rc[1], rc[0])):
        line, place = (row, column) if along_row else (column, row)
        part = parts[row, column]
        if line not in complete:
            index.append([line, place])
            arrays.append(part)
        elif index and index[-1] == [line, -1]:
            arrays[-1] = arrays[-1] + part
        else:
            index.append([line, -1])
            arrays.append(part)
    return index, arrays


@dataclass(slots=True)
class Clock:
    """How long a worker worked, and how long it waited for work in between: its bubbles."""

    started: float | None = None
    stopped: float = 0.0
    busy_seconds: float = 0.0

    def add(self, start: float, stop: float) -> None:
        """Note a piece of work."""
        if self.started is None:
            self.started = start
        self.stopped = stop
        self.busy_seconds += stop - start

    @property
    def run_seconds(self) -> float:
        """From the beginning of the first piece of work to the end of the last."""
        return 0.0 if self.started is None else self.stopped - self.started


class TileWorker:
    """Hosts layers' tiles and answers messages: ``handle(header, arrays) -> (header, arrays)``."""

    def __init__(self, device: BackendName = "cpu") -> None:
        self.device: BackendName = device
        self.layers: dict[int, HostedLayer] = {}
        self.clock = Clock()
        self.operations: dict[str, Callable[[Header, Arrays], tuple[Header, Arrays]]] = {
            "forward": self._forward,
            "backward": self._backward,
            "update": self._update,
            "forget": self._forget,
            "weights": self._weights,
            "set_weights": self._set_weights,
            "program": self._program,
            "let_pass": self._let_pass,
            "state": self._state,
            "load_state": self._load_state,
            "stats": self._stats,
        }

    def host(self, layer: int, spec: LayerSpec, blocks: Sequence[int]) -> None:
        """Build the tiles ``blocks`` of a layer: draw their devices, weights zero."""
        self.layers[layer] = HostedLayer(spec, blocks, self.device)

    def handle(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        """Do what the message asks for."""
        operation = header["op"]
        start = time.perf_counter()
        answer = self.operations[operation](header, arrays)
        if operation in WORK:
            self.clock.add(start, time.perf_counter())
        return answer

    def _forward(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        return self.layers[header["layer"]].forward(header, arrays)

    def _backward(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        index, out = self.layers[header["layer"]].backward(header, arrays)
        return {"index": index}, out

    def _update(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        self.layers[header["layer"]].update(header["learning_rate"], header["tick"], header["passes"])
        return {}, []

    def _forget(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        self.layers[header["layer"]].forget(header["passes"])
        return {}, []

    def _weights(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        tiles = self.layers[header["layer"]].by_tile()
        return {"blocks": list(tiles)}, [
            on_host(group.bank.cell.weights[k]).copy() for group, k in tiles.values()
        ]

    def _set_weights(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        blocks = dict(zip(header["blocks"], arrays, strict=True))
        for group in self.layers[header["layer"]].groups:
            group.forget_modified()
            group.bank.set_weights([blocks[tile.block] for tile in group.tiles])
        return {}, []

    def _program(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        targets = dict(zip(header["blocks"], arrays, strict=True))
        drifted = None if header["drifted"] is None else (header["drifted"][0], header["drifted"][1])
        for group in self.layers[header["layer"]].groups:
            of_tiles = [targets[tile.block] for tile in group.tiles]
            group.forget_modified()
            group.bank.program(of_tiles, header["programmed"], drifted)
        return {}, []

    def _let_pass(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        for group in self.layers[header["layer"]].groups:
            group.bank.cell.drift(header["time"], header["tick"])
        return {}, []

    def _state(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        names, out = [], []
        for block, (group, k) in self.layers[header["layer"]].by_tile().items():
            for name, values in group.bank.state(k).items():
                names.append([block, name])
                out.append(values)
        return {"names": names}, out

    def _load_state(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        states: dict[int, dict[str, NDArray]] = {}
        for (block, name), values in zip(header["names"], arrays, strict=True):
            states.setdefault(block, {})[name] = values
        for group in self.layers[header["layer"]].groups:
            group.forget_modified()
            group.bank.load_state([states[tile.block] for tile in group.tiles])
        return {}, []

    def _stats(self, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        """What every tile has done: {layer: {block: {counter: value}}}."""
        return {"stats": self.stats()}, []

    def stats(self) -> dict[int, dict[int, dict[str, float]]]:
        run_seconds = self.clock.run_seconds
        shared = {"run_seconds": run_seconds, "waiting_seconds": run_seconds - self.clock.busy_seconds}
        found: dict[int, dict[int, dict[str, float]]] = {}
        for number, layer in self.layers.items():
            tiles = found.setdefault(number, {})
            for group in layer.groups:
                stats = group.bank.look()
                for k, tile in enumerate(group.tiles):
                    own = {f.name: float(getattr(stats, f.name)[k]) for f in fields(stats)}
                    tiles[tile.block] = own | shared
        return found
