"""What a layer is to its tiles: its cut into blocks and the way its inputs reach them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from ..chip import cut
from ..kernels.unfold import Window
from .configs import InferenceRPUConfig, RPUConfig


@dataclass(frozen=True, slots=True)
class TileSpec:
    """One block of a layer's weight matrix, W[out_start:out_stop, in_start:in_stop], on its own tile."""

    block: int  # number within the layer, row-major: the tile's part of its random key
    row: int  # number of its block of outputs
    column: int  # number of its block of inputs
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
    """A layer as its tiles see it."""

    name: str
    key: int
    out_size: int
    in_size: int
    rows: int
    columns: int
    tiles: tuple[TileSpec, ...]
    patches: Window | None  # of a convolution: how its kernel moves
    rpu_config: RPUConfig

    @property
    def learns(self) -> bool:
        """Whether the tiles themselves are trained; if not, their weights are, digitally."""
        return not isinstance(self.rpu_config, InferenceRPUConfig)

    def channels(self, column: int) -> tuple[int, int]:
        """The input features (of a convolution: channels) that block ``column`` of the inputs needs."""
        tile = self.tiles[column]
        if self.patches is None:
            return tile.in_start, tile.in_stop
        size = self.patches.size
        return tile.in_start // size, -(-tile.in_stop // size)


def grid_of_blocks(name: str, out_size: int, in_size: int, max_out: int, max_in: int) -> tuple[TileSpec, ...]:
    """``W[out_size, in_size]`` cut in both dimensions into near-equal blocks, in row-major order."""
    ins = cut(in_size, max_in)
    return tuple(
        TileSpec(row * len(ins) + column, row, column, o0, o1, i0, i1, f"{name}/{row},{column}")
        for row, (o0, o1) in enumerate(cut(out_size, max_out))
        for column, (i0, i1) in enumerate(ins)
    )
