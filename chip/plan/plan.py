"""The mapping plan: immutable data that says which block of which layer sits on which tile.

A plan of a large language model has millions of blocks, so blocks are columns of arrays; ``Block``
objects are made when someone asks for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crossgrid.kernels.errors import ConfigError, unknown

from ..description.layout import kind_of_places
from .digital import DigitalWork
from .layer_shape import LayerShape
from .why import reason

if TYPE_CHECKING:
    from ..description.spec import Chip

#: columns of a plan's table and their types; see ``Block`` for what they mean
COLUMNS: dict[str, type] = {
    "layer": np.int32,
    "index": np.int32,
    "copy": np.int32,
    "round": np.int32,
    "out_start": np.int32,
    "out_stop": np.int32,
    "in_start": np.int32,
    "in_stop": np.int32,
    "out_offset": np.int32,
    "in_offset": np.int32,
    "tile": np.int32,
}


#: the kind of a chip's own tiles
HOME = "home"


@dataclass(frozen=True, slots=True, order=True)
class TileAddress:
    """Where a tile is: chip, and row and column of that chip's grid."""

    chip: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.chip}/{self.row},{self.column}"


@dataclass(frozen=True, slots=True)
class TileKind:
    """A kind of tile as a plan has to know it."""

    name: str
    tiles: int  # of one chip, spread among those of other kinds
    tile_out: int
    tile_in: int


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a layer's weight matrix and the tile that holds it."""

    layer: str
    index: int  # number of the block in its layer, row-major
    out_start: int
    out_stop: int
    in_start: int
    in_stop: int
    tile: TileAddress
    why: str
    out_offset: int = 0  # where in the tile it begins, in weights
    in_offset: int = 0
    copy: int = 0  # number of the replica
    round: int = 0  # which programming of the tile, where layers share tiles in time
    kind: str = HOME  # of the tile

    @property
    def weights(self) -> int:
        """Weights of the block."""
        return (self.out_stop - self.out_start) * (self.in_stop - self.in_start)


@dataclass(frozen=True, eq=False)
class MappingPlan:
    """Which block of which layer sits on which tile of which chip. Never changes."""

    chip: str  # the chip's name
    chip_identity: str
    grid: tuple[int, int]
    tile_out: int
    tile_in: int
    chips: int  # chips of the system
    strategy: str
    placement: str
    layers: tuple[LayerShape, ...]
    table: dict[str, np.ndarray]
    digital: tuple[DigitalWork, ...] = ()  # what the model computes besides its layers
    strategy_why: str = ""  # why its strategy puts a block where it is, in words
    batch: int = 1  # inputs that share each programming, where tiles are programmed in rounds
    kinds: tuple[TileKind, ...] = ()  # of the chip's tiles, its own first; (): all are its own

    def __post_init__(self) -> None:
        for column in self.table.values():
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.table["layer"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MappingPlan):
            return NotImplemented
        same = all(getattr(self, key) == getattr(other, key) for key in _HEAD)
        return same and all(np.array_equal(self.table[key], other.table[key]) for key in COLUMNS)

    def __hash__(self) -> int:
        return hash((self.chip_identity, self.strategy, self.layers, len(self)))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in layer order."""
        return tuple(self)

    def __iter__(self) -> Iterator[Block]:
        return (self.block(k) for k in range(len(self)))

    def block(self, k: int) -> Block:
        """The ``k``-th block of the table."""
        row = {key: int(column[k]) for key, column in self.table.items()}
        layer = self.layers[row["layer"]].name
        tile = self.address(row.pop("tile"))
        row_layer = row.pop("layer")
        kind = self.kinds[int(self.layer_kind[row_layer])].name if self.kinds else HOME
        return Block(layer=layer, tile=tile, why=self.why(k), kind=kind, **row)

    def address(self, tile: int) -> TileAddress:
        """The address of a tile's number; numbers run row by row, chip after chip."""
        rows, columns = self.grid
        chip, rest = divmod(int(tile), rows * columns)
        return TileAddress(chip, *divmod(rest, columns))

    def kind_of(self, tile: np.ndarray) -> np.ndarray:
        """For each tile's number the number of its kind among ``kinds``."""
        if not self.kinds:
            return np.zeros(len(tile), np.int64)
        return kind_of_places(tuple(kind.tiles for kind in self.kinds))[tile % (self.grid[0] * self.grid[1])]

    @cached_property
    def layer_kind(self) -> np.ndarray:
        """For each layer the number of the kind of tile that it is on, [layers]."""
        if not self.kinds:
            return np.zeros(len(self.layers), np.int64)
        first = np.searchsorted(self.table["layer"], np.arange(len(self.layers)))
        return self.kind_of(self.table["tile"][first])

    @property
    def kind_names(self) -> dict[str, str]:
        """The kind of tile of each layer, by their names."""
        names = [kind.name for kind in self.kinds] or [HOME]
        numbers = self.layer_kind.tolist()
        return {layer.name: names[kind] for layer, kind in zip(self.layers, numbers, strict=True)}

    def cells_of(self, tile: np.ndarray) -> np.ndarray | int:
        """Weights that each of some tiles has room for; one number where all are alike."""
        if not self.kinds:
            return self.tile_out * self.tile_in
        cells: np.ndarray = np.array([kind.tile_out * kind.tile_in for kind in self.kinds])[
            self.kind_of(tile)
        ]
        return cells

    @property
    def macs(self) -> float:
        """Multiplications of all layers for one input."""
        return sum(layer.weights * layer.vectors for layer in self.layers)

    @property
    def digital_share(self) -> float:
        """Of all multiplications those that stay digital."""
        digital = sum(work.macs or 0.0 for work in self.digital)
        return digital / (digital + self.macs) if digital else 0.0

    @property
    def tiles_available(self) -> int:
        """Tiles of all chips."""
        return self.chips * self.grid[0] * self.grid[1]

    @cached_property
    def used_tiles(self) -> np.ndarray:
        """Numbers of the tiles that hold something, ascending."""
        return np.flatnonzero(np.bincount(self.table["tile"])).astype(np.int32)

    @property
    def tiles_used(self) -> int:
        """Tiles that hold something."""
        return len(self.used_tiles)

    @cached_property
    def chips_used(self) -> int:
        """Chips that hold something."""
        return int(np.count_nonzero(np.bincount(self.used_tiles // (self.grid[0] * self.grid[1]))))

    @property
    def rounds(self) -> int:
        """How often the tiles are programmed for one pass through the model."""
        return int(self.table["round"].max(initial=0)) + 1

    @cached_property
    def block_weights(self) -> np.ndarray:
        """Weights of every block; of groups side by side those within each."""
        table = self.table
        out = (table["out_stop"] - table["out_start"]).astype(np.int64)
        height = np.array([layer.out // layer.groups for layer in self.layers], np.int64)[table["layer"]]
        return out * (table["in_stop"] - table["in_start"]) // np.maximum(out // height, 1)

    @cached_property
    def tile_fill(self) -> np.ndarray:
        """For each of ``used_tiles`` the share of its cells that hold weights (in its fullest round)."""
        slot = np.searchsorted(self.used_tiles, self.table["tile"])
        key = slot.astype(np.int64) * self.rounds + self.table["round"]
        filled = np.bincount(key, self.block_weights, minlength=self.tiles_used * self.rounds)
        fullest = filled.reshape(self.tiles_used, self.rounds).max(axis=1)
        filled_part: np.ndarray = fullest / self.cells_of(self.used_tiles)
        return filled_part

    @cached_property
    def utilization(self) -> float:
        """Weights over cells of used tiles; where tiles are reprogrammed, of every programming of them."""
        programmed = np.bincount(self.table["tile"].astype(np.int64) * self.rounds + self.table["round"])
        slots = np.flatnonzero(programmed)
        cells = int(np.sum(self.cells_of(slots // self.rounds) * np.ones(len(slots), np.int64)))
        return float(self.block_weights.sum() / cells) if cells else 0.0

    @cached_property
    def layer_tiles(self) -> np.ndarray:
        """For each layer the number of tiles that hold a block of it."""
        return np.bincount(self._layer_on_tile[0] // self.tiles_available, minlength=len(self.layers))

    @cached_property
    def blocks_a_tile(self) -> np.ndarray:
        """For each layer the most blocks of it that share a tile."""
        keys, shared = self._layer_on_tile
        most = np.ones(len(self.layers), np.int64)
        several = shared > 1  # few: ufunc.at is slow
        np.maximum.at(most, keys[several] // self.tiles_available, shared[several])
        return most

    @cached_property
    def _layer_on_tile(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of layer and tile, as one number, and the blocks of each pair."""
        key = self.table["layer"].astype(np.int64) * self.tiles_available + self.table["tile"]
        if (key[1:] < key[:-1]).any():
            key.sort()
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        return key[starts], np.diff(np.append(starts, len(key)))

    @cached_property
    def copies(self) -> np.ndarray:
        """For each layer the number of its replicas."""
        most = np.ones(len(self.layers), np.int64)
        further = self.table["copy"] > 0  # few: ufunc.at is slow
        np.maximum.at(most, self.table["layer"][further], self.table["copy"][further] + 1)
        return most

    @cached_property
    def layer_rows(self) -> list[slice]:
        """For each layer its rows of the table."""
        starts = np.searchsorted(self.table["layer"], np.arange(len(self.layers) + 1))
        return [slice(*edge) for edge in itertools.pairwise(starts.tolist())]

    def layer_cut(self, k: int) -> np.ndarray:
        """Rows of the table that hold layer ``k``, [copies, groups, rows, columns]: its blocks, as it is cut.

        Groups that are joined on a tile count as one.
        """
        rows, table = self.layer_rows[k], self.table
        numbers = np.arange(rows.start, rows.stop)
        copies = int(self.copies[k])
        one = slice(rows.start, rows.start + len(numbers) // copies)
        outs, ins = table["out_start"][one], table["in_start"][one]
        columns = int(np.count_nonzero(outs == outs[0]))
        return numbers.reshape(copies, -1, int(np.count_nonzero(ins == ins[0])), columns)

    def blocks_of(self, layer: str) -> tuple[Block, ...]:
        """The blocks of one layer."""
        names = [shape.name for shape in self.layers]
        if layer not in names:
            raise unknown("layer", layer, names)
        rows = self.layer_rows[names.index(layer)]
        return tuple(self.block(k) for k in range(rows.start, rows.stop))

    def why(self, k: int) -> str:
        """Why the ``k``-th block is cut as it is and sits where it sits."""
        return reason(self, k)

    def check_model(self, layers: tuple[LayerShape, ...] | list[LayerShape]) -> None:
        """Raise ``ConfigError`` where the plan was made for other layers than ``layers``."""
        mine = [(shape.name, shape.out, shape.in_, shape.groups) for shape in self.layers]
        theirs = [(shape.name, shape.out, shape.in_, shape.groups) for shape in layers]
        if mine == theirs:
            return
        for k, (planned, given) in enumerate(zip(mine, theirs, strict=False)):
            if planned != given:
                raise ConfigError(
                    f"the plan belongs to another model: its layer {k} is '{planned[0]}' "
                    f"({planned[1]} x {planned[2]}), the model's is "
                    f"'{given[0]}' ({given[1]} x {given[2]}); map this model anew"
                )
        raise ConfigError(
            f"the plan belongs to another model: it has {len(mine)} layers, "
            f"the model {len(theirs)}; map this model anew"
        )


def check_chip(plan: MappingPlan, chip: Chip) -> None:
    """Raise ``ConfigError`` where the plan was made for another chip than ``chip``."""
    if plan.chip_identity != chip.identity():
        raise ConfigError(
            f"the plan belongs to another chip: it was made for '{plan.chip}' as described then, "
            f"not for '{chip.name}' as it is now; map the model anew"
        )


#: everything of a plan but its table
_HEAD = (
    "chip", "chip_identity", "grid", "tile_out", "tile_in", "chips", "strategy", "placement", "layers",
    "digital", "batch", "kinds",
)  # fmt: skip
