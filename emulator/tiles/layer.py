"""HostedLayer: the tiles of one layer that live in one worker, in banks of equal tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.backends import BackendName, Cuda, backend_of
from crossgrid.kernels.errors import InputError

from ..errors import ProtocolError
from .bank import Floats, Mask, TileBank
from .constants import with_constants, without_constants
from .gradients import Gradients, joined, seen_by_tiles
from .group import Group, Kept
from .layer_spec import LayerSpec, TileSpec
from .messages import (
    Backward,
    Drift,
    Forward,
    Largest,
    LetPass,
    LoadSnapshot,
    LoadState,
    LoadStored,
    LookAtStored,
    Program,
    State,
    Sums,
    Update,
    Weights,
    WriteStored,
    WriteWeights,
)
from .stored import read_blocks
from .sums import partial_sums
from .values import as_array, as_kind_of, library, lined_up, require_widths, stacked, zeros_beside


def _versions(gradients: Sequence[Gradients]) -> list[int]:
    """How often each tensor was written to in place."""
    tensors: list[Any] = [each.d_XBO for each in gradients]
    return [each._version for each in tensors]


class HostedLayer:
    """The tiles of one layer that live in this worker.

    Every method that a message comes to checks it whole before anything changes.
    """

    def __init__(
        self, spec: LayerSpec, blocks: Sequence[int], device: BackendName = "cpu", updates: Any = None
    ) -> None:
        """``updates``: what layers on a card have in common where nothing waits for it."""
        self.spec, self.backend = spec, backend_of(device)
        if updates is not None and isinstance(self.backend, Cuda):
            self.backend = self.backend.reporting(updates, spec.name)
        tiles = [spec.tiles[block] for block in sorted(blocks)]
        self.groups = []
        for shape in sorted({tile.shape for tile in tiles}, reverse=True):
            alike = [tile for tile in tiles if tile.shape == shape]
            bank = TileBank(spec.key, [t.block for t in alike], *shape, spec.rpu_config, device, self.backend)
            self.groups.append(Group(bank, alike))
        self.columns = sorted({tile.column for tile in tiles})
        self.rows = sorted({tile.row for tile in tiles})
        in_row, in_column = Counter(tile.row for tile in tiles), Counter(tile.column for tile in tiles)
        self.complete_rows = {row for row, count in in_row.items() if count == spec.columns}
        self.complete_columns = {column for column, count in in_column.items() if count == spec.rows}
        # the width of each hosted block: of an input that features or images give, of a vector, of a gradient
        self.feed_widths = [last - first for first, last in map(spec.channels, self.columns)]
        self.in_widths = [spec.tile_in(column).shape[1] for column in self.columns]
        # what a block reads of the patches of its channels
        self.features = {c: spec.features(c) for c in self.columns} if spec.patches is not None else {}
        self.out_widths = [spec.tile_out(row).shape[0] for row in self.rows]
        self.kept: dict[int, Kept] = {}

    def forward(self, message: Forward) -> Sums:
        """Read all tiles: y = W x."""
        record, modify, learn = message.record, message.modify, message.learn
        feed = self._feeds(message)
        kept = None if record is None else Kept.of(next(iter(feed.values())))
        if modify is None and kept is None and not self.spec.learns:
            self._nobody_trains()
        parts: dict[tuple[int, int], Floats] = {}
        for group in self.groups:
            tiles, columns, x_of_tile = group.tiles, group.columns, group.x_of_tile
            if message.columns is not None:
                tiles, columns, x_of_tile = group.reading(feed)
            if not tiles:
                continue
            x_XBI = self._input_blocks(columns, feed, message, keep=learn)
            w_TOI = None if modify is None else group.modified(modify)
            y_TBO, at_bound_TBO = group.bank.forward(
                x_XBI, x_of_tile, message.tick, w_TOI, bounded=kept is not None
            )
            if kept is not None:
                kept.x_XBI += [x_XBI] if learn else []
                kept.w_TOI.append(w_TOI)
                kept.at_bound_TBO.append(at_bound_TBO)
                kept.vectors = x_XBI.shape[1]
            for k, tile in enumerate(tiles):
                parts[tile.row, tile.column] = y_TBO[k]
        if record is not None and kept is not None:
            self.kept[record] = kept
        blocks, masks = ((), []) if kept is None or self.spec.learns else self._masks(kept)
        return Sums(*partial_sums(parts, self.complete_rows, along_row=True), blocks, masks)

    def _nobody_trains(self) -> None:
        """Give the memory of modified weights back."""
        for group in self.groups:
            group.forget_modified()
            group.bank.memory.release()

    def _feeds(self, message: Forward) -> dict[int, Floats]:
        """The input of each hosted column, where the tiles compute; images where they are unfolded."""
        axes, patches = 2, None
        if message.modify is not None and self.spec.learns:
            raise ProtocolError(
                f"Forward of {self.spec.name}: its weights are pulsed, not modified for a mini-batch"
            )
        columns, widths = self.columns, self.feed_widths
        if message.columns is not None:
            columns, widths = self._vectors_of(message.columns, message.record)
        elif self.spec.patches is not None:
            patches, axes = self.spec.patches, 2 + len(self.spec.patches.kernel)
        require_widths("Forward", self.spec.name, "x", message.x, widths, axes)
        x = self._where_tiles_are(message.x, images=patches is not None)
        return dict(zip(columns, x, strict=True))

    def _vectors_of(self, columns: Sequence[int], record: int | None) -> tuple[list[int], list[int]]:
        """Hosted columns that are read alone, and their widths."""
        if not columns or not set(columns) <= set(self.columns) or len({*columns}) < len(columns):
            raise ProtocolError(
                f"Forward of {self.spec.name}: columns {[*columns]!r:.80} of blocks are read, {self.columns} "
                "are here"
            )
        if record is not None:
            raise ProtocolError(f"Forward of {self.spec.name}: a read of some columns alone is not recorded")
        return [*columns], [self.in_widths[self.columns.index(column)] for column in columns]

    def _where_tiles_are(self, values: list[Any], images: bool = False) -> list[Any]:
        """Values as the tiles' kernels take them: arrays on a processor, tensors on a card; images unfolded
        later, from wherever they are in memory."""
        if not self.backend.on_card:
            return [as_array(each) for each in values]
        if images:
            return [self.backend.patches.images(each) for each in values]
        return [self.backend.analog_mvm.ready(each, np.float32) for each in values]

    def placed(self, values: NDArray[Any]) -> Any:
        """Values that were remembered elsewhere, of whatever type, where the tiles compute."""
        return self.backend.analog_mvm.ready(values, values.dtype) if self.backend.on_card else values

    def _masks(self, kept: Kept) -> tuple[tuple[int, ...], list[Mask]]:
        """The blocks with results at the ADC's bound, and which: the digital trainer asks for them.

        Where nobody waits for a card also blocks without any.
        """
        found = [
            (tile.block, mask_BO)
            for group, mask_TBO in zip(self.groups, kept.at_bound_TBO, strict=False)
            if mask_TBO is not None
            for tile, mask_BO in zip(group.tiles, mask_TBO, strict=True)
            if self.backend.late or mask_BO.any()
        ]
        masks = [mask_BO if self.backend.late else as_array(mask_BO) for _, mask_BO in found]
        return tuple(block for block, _ in found), masks

    def backward(self, message: Backward) -> Sums:
        """Read all tiles backward where asked for; keep the gradients of each hosted row for an update.

        Where the outputs are scaled, tiles read a d and keep d / a, so that an update moves a W by d x^T
        whatever a is.
        """
        kept = self._kept(message.record)
        gradient, factor = self._gradients(message, kept)
        parts: dict[tuple[int, int], Floats] = {}
        of_pass: list[Gradients] = []
        for group, w_TOI, mask_TBO in zip(self.groups, kept.w_TOI, kept.at_bound_TBO, strict=True):
            d_XBO = lined_up([gradient[row] for row in group.rows])
            a_X1O = None
            if factor:
                a_X1O = as_kind_of(stacked([factor[row] for row in group.rows])[:, None], d_XBO)
            if message.number is not None:
                of_pass.append(
                    self._seen(d_XBO if a_X1O is None else d_XBO / a_X1O, group.d_of_tile, mask_TBO)
                )
            if message.read:
                seen = self._seen(d_XBO if a_X1O is None else d_XBO * a_X1O, group.d_of_tile, mask_TBO)
                z_TBI = group.bank.backward(seen.d_XBO, seen.d_of_tile, message.tick, w_TOI, seen.none_TBO)
                for k, tile in enumerate(group.tiles):
                    parts[tile.row, tile.column] = self._input_gradient(tile, z_TBI[k], kept)
        if message.number is not None:
            kept.gradients[message.number] = of_pass
            if self.backend.on_card:
                kept.versions[message.number] = _versions(of_pass)
        if not message.read:
            return Sums((), (), [], (), [])
        return Sums(*partial_sums(parts, self.complete_columns, along_row=False), (), [])

    def _seen(self, d_XBO: Floats, d_of_tile: Any, mask_TBO: Mask | None) -> Gradients:
        """The gradients that tiles see; a card's kernels leave out what a mask says."""
        if self.backend.on_card:
            return Gradients(d_XBO, d_of_tile, mask_TBO)
        return seen_by_tiles(d_XBO, d_of_tile, mask_TBO)

    def _require_unwritten(self, passes: list[tuple[Kept, int]]) -> None:
        """Refuse gradients of others that were written to since they went backward: no copy was taken."""
        for kept, number in passes:
            now = _versions(kept.gradients[number])
            if now != kept.versions.get(number, now):
                raise InputError(
                    f"{self.spec.name}: a gradient that went backward was written to in place before the "
                    "optimizer's step; give the hook or the code that does so a copy (gradient.clone())"
                )

    def _gradients(self, message: Backward, kept: Kept) -> tuple[dict[int, Floats], dict[int, Floats]]:
        """The gradients and factors of each hosted row, where the tiles compute."""
        name = self.spec.name
        require_widths("Backward", name, "d", message.d, self.out_widths, 2)
        if len(message.d[0]) != kept.vectors:
            raise ProtocolError(
                f"Backward of {name}: d has {len(message.d[0])} vectors; record {message.record} has "
                f"{kept.vectors}"
            )
        if message.a:
            require_widths("Backward", name, "a", message.a, self.out_widths, 1)
        if message.number is not None and not kept.x_XBI:
            raise ProtocolError(f"Backward of {name}: record {message.record} was not kept to learn from")
        gradients, factors = self._where_tiles_are(message.d), self._where_tiles_are(message.a)
        return dict(zip(self.rows, gradients, strict=True)), dict(zip(self.rows, factors, strict=False))

    def update(self, message: Update) -> None:
        """Apply kept passes in order and forget their records."""
        applied, missing = [], []
        for record, number in message.passes:
            kept = self._kept(record)
            applied.append((kept, number))
            if number not in kept.gradients:
                missing.append((record, number))
        if missing or not applied:
            raise ProtocolError(
                f"Update of {self.spec.name}: of its passes {missing!r:.80} are not kept, or there are none"
            )
        if self.backend.on_card:
            self._require_unwritten(applied)
        for k, group in enumerate(self.groups):
            x = [kept.x_XBI[k] for kept, _ in applied]
            d_XBO, d_of_tile, none_TBO = joined([kept.gradients[number][k] for kept, number in applied])
            if not group.bank.takes_masks:
                d_XBO, d_of_tile, none_TBO = seen_by_tiles(d_XBO, d_of_tile, none_TBO)
            x_XBI = x[0] if len(x) == 1 else library(x[0]).concatenate(x, axis=1)
            group.bank.update(
                x_XBI, group.x_of_tile, d_XBO, d_of_tile, message.learning_rate, message.tick, none_TBO
            )
        for record, _ in message.passes:
            self.kept.pop(record, None)  # of several passes, too

    def forget(self, passes: Sequence[tuple[int, int | None]]) -> None:
        """Drop whole records (record, None), or one pass's gradients (record, number)."""
        for record, number in passes:
            if number is None:
                self.kept.pop(record, None)
            elif record in self.kept:
                self.kept[record].gradients.pop(number, None)

    def weights(self) -> Weights:
        """What the tiles hold: copies, as they go on changing."""
        tiles = self._by_block()
        held = [as_array(group.bank.cell.weights[k]).copy() for group, k in tiles.values()]
        return Weights(tuple(tiles), held)

    def set_weights(self, message: WriteWeights) -> None:
        """Write all tiles' weights; every device clips to its own bounds."""
        w_of_block = self._of_all_blocks("WriteWeights", message.blocks, message.w)
        for group in self.groups:
            group.forget_modified()
            group.bank.set_weights([w_of_block[tile.block] for tile in group.tiles])

    def program(self, message: Program | Drift) -> None:
        """Hold what programming leaves: right after it, or some time later."""
        if self.spec.learns:
            raise ProtocolError(f"{self.spec.name}: its weights are pulsed, not programmed")
        targets = self._of_all_blocks(type(message).__name__, message.blocks, message.targets)
        drifted = (message.seconds, message.tick) if isinstance(message, Drift) else None
        for group in self.groups:
            group.forget_modified()
            group.bank.program([targets[tile.block] for tile in group.tiles], message.programmed, drifted)

    def look_at_stored(self, message: LookAtStored) -> Largest:
        """The largest magnitudes that a file has for these tiles."""
        largest: dict[int, Floats] = {}
        for block, w_OI in read_blocks(self.spec, [*self._by_block()], message.weight, message.bias):
            row, found_O = self.spec.tiles[block].row, np.abs(w_OI).max(axis=1)
            largest[row] = np.maximum(largest[row], found_O) if row in largest else found_O
        return Largest(tuple(largest), [*largest.values()])

    def write_stored(self, message: WriteStored) -> None:
        """Write what a file says, or hold what programming that leaves."""
        if self.spec.learns and message.programmed is not None:
            raise ProtocolError(f"{self.spec.name}: its weights are pulsed, not programmed")
        for group in self.groups:
            blocks = [tile.block for tile in group.tiles]
            held = dict(read_blocks(self.spec, blocks, message.weight, message.bias))
            for a_O in message.scale:
                for tile in group.tiles:
                    a_O1 = (a_O if len(a_O) == 1 else a_O[tile.out_start : tile.out_stop])[:, None]
                    held[tile.block] = (held[tile.block] / a_O1).astype(np.float32)
            group.forget_modified()
            if message.programmed is None:
                group.bank.set_weights([*held.values()])
            else:
                group.bank.program([*held.values()], message.programmed, message.aged)

    def let_pass(self, message: LetPass) -> None:
        """Let devices that drift be left alone for a while."""
        for group in self.groups:
            group.bank.cell.drift(message.time, message.tick)

    def _of_all_blocks(
        self, what: str, blocks: Sequence[int], w: Sequence[Floats]
    ) -> dict[int, NDArray[np.float32]]:
        """The matrix of each hosted block, or an error where they are not all there."""
        given = dict(zip(blocks, w, strict=True))
        shapes = {tile.block: tile.shape for group in self.groups for tile in group.tiles}
        wrong = {block: tuple(w_OI.shape) for block, w_OI in given.items() if w_OI.shape != shapes.get(block)}
        if wrong or given.keys() != shapes.keys():
            raise ProtocolError(
                f"{what} of {self.spec.name}: blocks {[*given]!r:.80}, of shapes {wrong!r:.80}, do not fit; "
                f"hosted are {shapes!r:.200}"
            )
        return given

    def state(self) -> State:
        """Everything that changes in the tiles."""
        named = [
            ((block, name), values)
            for block, (group, k) in self._by_block().items()
            for name, values in group.bank.state(k).items()
        ]
        return State(tuple(name for name, _ in named), [values for _, values in named])

    def load_state(self, message: LoadState | LoadSnapshot) -> None:
        """Take over the states of all tiles."""
        self.require_shapes(message, message.values)
        states: dict[int, dict[str, NDArray[Any]]] = {}
        for (block, name), values in zip(message.names, message.values, strict=True):
            states.setdefault(block, {})[name] = as_array(values)
        for group in self.groups:
            group.forget_modified()
            group.bank.load_state([states[tile.block] for tile in group.tiles])

    def require_shapes(self, message: LoadSnapshot | LoadState | LoadStored, values: Sequence[Any]) -> None:
        """An error unless these are the arrays that a state of the tiles here has."""
        shapes_of: dict[int, dict[str, tuple[int, ...]]] = {}
        for (block, name), each in zip(message.names, values, strict=True):
            shapes_of.setdefault(block, {})[name] = tuple(each.shape)
        for block, (group, k) in self._by_block().items():
            given, optional = shapes_of.get(block, {}), group.bank.given_shapes()
            shapes = {n: each.shape for n, each in group.bank.state(k).items() if n not in optional}
            shapes |= {name: shape for name, shape in optional.items() if name in given}
            if given != shapes:
                raise ProtocolError(
                    f"{type(message).__name__} of {self.spec.name}: the state of block {block} has "
                    f"{given!r:.200}; it must have {shapes!r:.200}"
                )

    def averages(self) -> list[Floats]:
        """Running averages of inputs, which alone every read moves: of each group forward and backward."""
        return [each for group in self.groups for each in group.bank.averages()]

    def set_averages(self, averages: Sequence[Floats]) -> None:
        """Take over what ``averages`` gave."""
        for group, *both in zip(self.groups, averages[::2], averages[1::2], strict=True):
            group.bank.set_averages(*both)

    def counts_alone(self) -> bool:
        """Whether to look at the counters neither writes nor computes anything."""
        return all(
            each.saturation_known for group in self.groups for each in group.bank.cell.populations().values()
        )

    def counters(self, of_process: Mapping[str, float]) -> dict[int, dict[str, float]]:
        """What each block's tile has done, with what all tiles of the process share."""
        found: dict[int, dict[str, float]] = {}
        for group in self.groups:
            stats = group.bank.look()
            for k, tile in enumerate(group.tiles):
                counted = {f.name: float(getattr(stats, f.name)[k]) for f in fields(stats)}
                found[tile.block] = {**counted, **of_process}
        return found

    def _by_block(self) -> dict[int, tuple[Group, int]]:
        """For each hosted block its group and its place there."""
        return {tile.block: (group, k) for group in self.groups for k, tile in enumerate(group.tiles)}

    def _kept(self, record: int) -> Kept:
        if record not in self.kept:
            raise ProtocolError(
                f"{self.spec.name}: record {record} is not kept here; run the forward pass again"
            )
        return self.kept[record]

    def _input_blocks(
        self, columns: list[int], feed: Mapping[int, Floats], message: Forward, keep: bool
    ) -> Floats:
        """x[columns, B, in] of some columns; a copy of the feeds where it is to be kept."""
        vectors = message.columns is not None
        cut = not vectors and self.spec.patches is not None
        blocks = [self._patches(c, feed[c]) if cut else feed[c] for c in columns]
        if self.spec.bias_column and not vectors:
            constants = [self.spec.constants(c) for c in columns]
            blocks = [
                with_constants(x_BI, groups, message.constant) if groups else x_BI
                for x_BI, groups in zip(blocks, constants, strict=True)
            ]
        return blocks[0][None] if len(blocks) == 1 and (cut or not keep) else stacked(blocks)

    def _patches(self, column: int, images: Floats) -> Floats:
        """What block ``column`` reads of its channels [B, channels, ...]."""
        patches = self.spec.patches
        assert patches is not None
        if not images.shape[1]:  # the block is a bias alone
            return zeros_beside(images, (self.spec.vectors(images.shape), 0))
        return self.backend.patches.unfold(images, patches)[:, self.features[column]]

    def _input_gradient(self, tile: TileSpec, z_BI: Floats, kept: Kept) -> Floats:
        constants = self.spec.constants(tile.column)
        if constants:
            z_BI = without_constants(z_BI, constants)
        patches = self.spec.patches
        if patches is None:
            return z_BI
        first, last = self.spec.channels(tile.column)
        if first == last:
            return zeros_beside(z_BI, (kept.image_shape[0], 0, *kept.image_shape[2:]))
        if z_BI.shape[1] != (last - first) * patches.size:
            full = zeros_beside(z_BI, (z_BI.shape[0], (last - first) * patches.size))
            full[:, self.features[tile.column]] = z_BI
            z_BI = full
        batch, _, *size = kept.image_shape
        return self.backend.patches.fold(
            z_BI, batch, last - first, tuple(size), patches, last=kept.channels_last
        )
