"""What a layer is to its tiles: its cut into blocks and the way its inputs reach them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crossgrid.kernels.patches.unfold import Window

from ..config.rpu import InferenceRPUConfig, RPUConfig

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
    in_start: int
    in_stop: int
    label: str  # "layer/row,column", or the place on a chip
    chip: int = 0  # number of the chip that it is on

    @property
    def shape(self) -> tuple[int, int]:
        return self.out_stop - self.out_start, self.in_stop - self.in_start


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer as its tiles see it.

    The rows of a grouped convolution's weight W[out_size, in_size] belong to ``groups`` equal parts, each of
    which reads channels of its own: they are cut one by one, group after group, and share no tile.
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

    @property
    def learns(self) -> bool:
        """Whether the tiles themselves are trained; if not, their weights are, digitally."""
        return not isinstance(self.rpu_config, InferenceRPUConfig)

    def channels(self, column: int) -> tuple[int, int]:
        """The input features (of a convolution: channels) that block ``column`` of the inputs needs."""
        tile = self.tile_in(column)
        if self.patches is None:
            return tile.in_start, tile.in_stop
        size = self.patches.size
        first = column // self.columns * (self.in_size // size)  # channel of the group
        return first + tile.in_start // size, first - (-tile.in_stop // size)

    def features(self, column: int) -> slice:
        """What block ``column`` reads of its channels' patches."""
        assert self.patches is not None
        tile = self.tile_in(column)
        start = tile.in_start % self.patches.size
        return slice(start, start + tile.in_stop - tile.in_start)

    def tile_in(self, column: int) -> TileSpec:
        """The first tile of block ``column`` of the inputs."""
        group, place = divmod(column, self.columns)
        return self.tiles[group * self.rows * self.columns + place]

    def shapes(self, name: str) -> list[LayerShape]:
        """What a mapper places for the layer ``name``: a matrix for each group."""
        from crossgrid.chip import LayerShape

        names = [name] if self.groups == 1 else [f"{name}[{group}]" for group in range(self.groups)]
        return [LayerShape(each, self.out_size // self.groups, self.in_size, reuse=1) for each in names]


def grid_of_blocks(
    name: str, out_size: int, in_size: int, max_out: int, max_in: int, groups: int = 1
) -> tuple[TileSpec, ...]:
    """``W[out_size, in_size]`` cut in both dimensions into near-equal blocks, in row-major order.

    Of several groups each is cut for itself.
    """
    from crossgrid.chip import cut

    height = out_size // groups
    ins, outs = cut(in_size, max_in), cut(height, max_out)
    tiles: list[TileSpec] = []
    for group in range(groups):
        first = group * height
        for row, (o0, o1) in enumerate(outs, start=group * len(outs)):
            for column, (i0, i1) in enumerate(ins, start=group * len(ins)):
                label = f"{name}/{row},{column}"
                tiles.append(TileSpec(len(tiles), row, column, first + o0, first + o1, i0, i1, label))
    return tuple(tiles)


def placed(spec: LayerSpec, name: str, plan: MappingPlan, rpu_config: RPUConfig) -> LayerSpec:
    """The layer ``name`` as a plan cuts it and places it on a chip's tiles."""
    tiles: list[TileSpec] = []
    rows = columns = 0
    for group, shape in enumerate(spec.shapes(name)):
        blocks = [b for b in plan.blocks_of(shape.name) if b.copy == 0]  # copies hold the same
        columns = sum(block.out_start == 0 for block in blocks)
        rows, first = len(blocks) // columns, group * shape.out
        tiles += [
            TileSpec(
                group * len(blocks) + b.index, group * rows + b.index // columns,
                group * columns + b.index % columns, first + b.out_start, first + b.out_stop,
                b.in_start, b.in_stop, str(b.tile), b.tile.chip,
            )
            for b in blocks
        ]  # fmt: skip
    return replace(spec, name=name, tiles=tuple(tiles), rows=rows, columns=columns, rpu_config=rpu_config)
