"""What a layer is to its tiles: its cut into blocks and the way its inputs reach them. Pure data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossgrid.kernels.patches.unfold import Window

from ..config.rpu import InferenceRPUConfig, RPUConfig
from .values import zeros_beside

if TYPE_CHECKING:  # a tile actor reads specifications and knows no chips
    from crossgrid.chip import LayerShape, MappingPlan


@dataclass(frozen=True, slots=True)
class TileSpec:
    """One block of a layer's weight matrix, W[out_start:out_stop, in_start:in_stop], on its own tile."""

    block: int  # number within the layer, row-major: the tile's part of its random key
    row: int  # number of its block of outputs, counted through all groups
    column: int  # number of its block of inputs, counted through all groups
    out_start: int
    out_stop: int
    in_start: int  # of its first group's inputs; a tile that several groups share goes beyond them
    in_stop: int
    label: str  # "layer/row,column", or the place on a chip
    chip: int | None = None  # number of the chip that it is on, if it is on one

    @property
    def shape(self) -> tuple[int, int]:
        return self.out_stop - self.out_start, self.in_stop - self.in_start


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer as its tiles see it.

    The rows of a grouped convolution's weight W[out_size, in_size] belong to ``groups`` equal parts, each of
    which reads channels of its own: they are cut one by one, group after group, and share no tile; or
    (``mapping.grouped = "diagonal"``) stand side by side, a tile full of them.
    """

    name: str
    key: int
    out_size: int
    in_size: int
    rows: int  # blocks of outputs in a group
    columns: int  # blocks of inputs in a group
    tiles: tuple[TileSpec, ...]
    patches: Window | None  # of a convolution: how its kernel moves
    rpu_config: RPUConfig
    groups: int = 1
    kept: tuple[int, ...] | None = None  # torch's shape of the weight, where it is not the matrix's
    inputs_first: bool = (
        False  # torch's shape begins with the inputs of all groups: [in, out of a group, ...]
    )
    bias_column: bool = False  # the last of ``in_size`` inputs (of each group) is a constant: W ends with b

    @property
    def width(self) -> int:
        """The inputs (of a group) that a caller gives: all but a bias's constant."""
        return self.in_size - self.bias_column

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape in which torch keeps the layer's weight."""
        if self.kept is not None:
            return self.kept
        if self.patches is None:
            return self.out_size, self.width
        return self.out_size, self.width // self.patches.size, *self.patches.kernel

    def matrix(self, weight: Any) -> Any:
        """W[out, width] of a weight (an array or a tensor) of torch's shape; [W b] is what it is."""
        if self.bias_column and tuple(weight.shape) == (self.out_size, self.in_size):
            return weight
        if self.inputs_first:
            weight = weight.reshape(self.groups, self.width, -1).swapaxes(1, 2)
        return weight.reshape(self.out_size, self.width)

    def weight(self, w_OI: Any) -> Any:
        """The weight as torch shapes it, of the matrix W[out, width] or [W b]: the way back."""
        w_OI = w_OI[:, : self.width]
        if self.inputs_first:
            w_OI = w_OI.reshape(self.groups, -1, self.width).swapaxes(1, 2)
        return w_OI.reshape(self.weight_shape)

    @property
    def learns(self) -> bool:
        """Whether the tiles themselves are trained; if not, their weights are, digitally."""
        return not isinstance(self.rpu_config, InferenceRPUConfig)

    def vectors(self, shape: Sequence[int]) -> int:
        """How many vectors the tiles read for features or images of a shape."""
        if self.patches is None:
            return shape[0]
        return shape[0] * math.prod(self.patches.output_size(tuple(shape[2:])))

    def output_shape(self, shape: Sequence[int], positions: tuple[int, ...] | None) -> tuple[int, ...]:
        """What they give for it: rows [vectors, out], or images of ``positions``."""
        if positions is None:
            return self.vectors(shape), self.out_size
        return shape[0], self.out_size, *positions

    def channels(self, column: int) -> tuple[int, int]:
        """The input features (of a convolution: channels) that block ``column`` of the inputs needs."""
        start, stop = self._given(column)
        if self.patches is None:
            return start, stop
        size = self.patches.size
        first = self.tile_in(column).out_start // (self.out_size // self.groups) * (self.width // size)
        return first + start // size, first - (-stop // size)

    def features(self, column: int) -> slice:
        """What block ``column`` reads of its channels' patches."""
        assert self.patches is not None
        start, stop = self._given(column)
        first = start % self.patches.size
        return slice(first, first + stop - start)

    def _given(self, column: int) -> tuple[int, int]:
        """Where block ``column`` begins and ends among the inputs that a caller gives, without constants."""
        tile = self.tile_in(column)
        if not self.bias_column:
            return tile.in_start, tile.in_stop
        start, stop = (
            place // self.in_size * self.width + min(place % self.in_size, self.width)
            for place in (tile.in_start, tile.in_stop)
        )
        return start, stop

    def constants(self, column: int) -> int:
        """How many of block ``column``'s inputs are a bias's constant: one a group that ends in it."""
        return self.tile_in(column).in_stop // self.in_size if self.bias_column else 0

    def tile_in(self, column: int) -> TileSpec:
        """The first tile of block ``column`` of the inputs."""
        group, place = divmod(column, self.columns)
        return self.tiles[group * self.rows * self.columns + place]

    def tile_out(self, row: int) -> TileSpec:
        """The first tile of block ``row`` of the outputs."""
        return self.tiles[row * self.columns]

    def outputs(self, row: int) -> slice:
        """The outputs that block ``row`` of them holds."""
        tile = self.tile_out(row)
        return slice(tile.out_start, tile.out_stop)

    def shape(self, name: str) -> LayerShape:
        """What a mapper places for the layer ``name``: its matrix, block-diagonal where it has groups."""
        return _layer_shape(name, self.out_size, self.in_size, self.groups, self.rpu_config)

    def held(self, block: int, w_OI: Any) -> Any:
        """What tile ``block`` holds of a weight ``w_OI``, an array or a tensor.

        Between groups that share the tile it is zero.
        """
        tile, width = self.tiles[block], self.in_size
        rows_OI = w_OI[tile.out_start : tile.out_stop]
        if tile.in_stop <= width:
            return rows_OI[:, tile.in_start : tile.in_stop]
        held_OI = zeros_beside(w_OI, tile.shape)
        for group, (outs, ins) in enumerate(self._diagonal(tile)):
            height = outs.stop - outs.start
            held_OI[outs, ins] = rows_OI[group * height : (group + 1) * height]
        return held_OI

    def take(self, block: int, held_OI: NDArray, w_OI: NDArray) -> None:
        """Write to ``w_OI`` what tile ``block`` holds of it."""
        tile = self.tiles[block]
        if tile.in_stop <= self.in_size:
            w_OI[tile.out_start : tile.out_stop, tile.in_start : tile.in_stop] = held_OI
            return
        for outs, ins in self._diagonal(tile):
            w_OI[tile.out_start + outs.start : tile.out_start + outs.stop] = held_OI[outs, ins]

    def _diagonal(self, tile: TileSpec) -> Iterator[tuple[slice, slice]]:
        """The rows and columns of each group that shares the tile."""
        height, width = self.out_size // self.groups, self.in_size
        for group in range(tile.in_stop // width):
            yield slice(group * height, (group + 1) * height), slice(group * width, (group + 1) * width)


def _layer_shape(name: str, out_size: int, in_size: int, groups: int, rpu_config: RPUConfig) -> LayerShape:
    from crossgrid.chip import LayerShape

    return LayerShape(name, out_size, in_size * groups, groups=groups, grouped=rpu_config.mapping.grouped)


def grid_of_blocks(
    name: str, out_size: int, in_size: int, rpu_config: RPUConfig, groups: int = 1
) -> tuple[tuple[TileSpec, ...], int, int]:
    """``W[out_size, in_size]`` cut in both dimensions into near-equal blocks, in row-major order.

    Of several groups each is cut for itself, or several share a tile (``mapping.grouped``). Returns the
    tiles, and how many rows and columns of blocks there are in a group.
    """
    from crossgrid.chip import blocks_of_layer

    limits, shape = rpu_config.mapping, _layer_shape(name, out_size, in_size, groups, rpu_config)
    blocks_B4 = blocks_of_layer(shape, limits.max_output_size, limits.max_input_size)
    rows, columns = _lines(blocks_B4)
    tiles = [
        _tile(k, rows, columns, ends, in_size, out_size // groups, f"{name}/")
        for k, ends in enumerate(blocks_B4.tolist())
    ]
    return tuple(tiles), rows, columns


def _lines(blocks_B4: NDArray) -> tuple[int, int]:
    """Rows and columns of blocks in a group."""
    first = blocks_B4[0]
    return int((blocks_B4[:, 2] == first[2]).sum()), int((blocks_B4[:, 0] == first[0]).sum())


def _tile(
    block: int,
    rows: int,
    columns: int,
    ends: Sequence[int],
    in_size: int,
    height: int,
    label: str,
    chip: int | None = None,
) -> TileSpec:
    """The tile of a block whose ends count through all groups; its inputs then count from its first group."""
    group, rest = divmod(block, rows * columns)
    row, column = group * rows + rest // columns, group * columns + rest % columns
    first = ends[0] // height * in_size
    text = f"{label}{row},{column}" if label.endswith("/") else label
    return TileSpec(block, row, column, ends[0], ends[1], ends[2] - first, ends[3] - first, text, chip)


def placed(spec: LayerSpec, name: str, plan: MappingPlan, rpu_config: RPUConfig) -> LayerSpec:
    """The layer ``name`` as a plan cuts it and places it on a chip's tiles."""
    blocks = [b for b in plan.blocks_of(name) if b.copy == 0]  # copies hold the same
    rows, columns = _lines(np.array([(b.out_start, b.out_stop, b.in_start, b.in_stop) for b in blocks]))
    height = spec.out_size // spec.groups
    tiles = tuple(
        _tile(
            b.index, rows, columns, (b.out_start, b.out_stop, b.in_start, b.in_stop), spec.in_size, height,
            str(b.tile), b.tile.chip,
        )
        for b in blocks
    )  # fmt: skip
    return replace(spec, name=name, tiles=tiles, rows=rows, columns=columns, rpu_config=rpu_config)
