"""What a hosted layer consists of: groups of equal tiles, and the passes that are kept to go backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from crossgrid.kernels.analog_mvm.rows import NO_BLOCK
from crossgrid.kernels.patches.unfold import channels_last

from .bank import Floats, Index, Mask, TileBank
from .gradients import Gradients
from .layer_spec import TileSpec


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

    def reading(self, feed: Mapping[int, Floats]) -> tuple[list[TileSpec], list[int], Index]:
        """The tiles whose columns are fed, these columns, and which of them each tile of the bank reads."""
        columns = [column for column in self.columns if column in feed]
        block = {column: k for k, column in enumerate(columns)}
        x_of_tile = np.array([block.get(tile.column, NO_BLOCK) for tile in self.tiles], np.intp)
        return [tile for tile in self.tiles if tile.column in block], columns, x_of_tile

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
    vectors: int
    image_shape: tuple[int, ...]
    channels_last: bool  # how the images were stored: their gradient is alike, so that nobody must convert it
    gradients: dict[int, list[Gradients]] = field(default_factory=dict)  # of each backward pass, one a group
    versions: dict[int, list[int]] = field(
        default_factory=dict
    )  # of tensors that are not copied, see ``layer``

    @classmethod
    def of(cls, x: Floats) -> Kept:
        """What a pass that is about to read ``x`` will keep."""
        return cls([], [], [], 0, tuple(x.shape), isinstance(x, np.ndarray) and channels_last(x))
