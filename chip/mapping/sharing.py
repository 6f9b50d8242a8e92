"""Which blocks may share tiles: those that work in turn without holding up the network.

Blocks on one tile work one after the other, so what counts is the share of the busiest tile's time that
each takes. Shares follow from reads alone, or from what passes ports too; in a loop the blocks of a step
hold up the next one, whatever share of the time they take. Which of these sharings is the fastest is for
who costs them (``copies_order``); as tiles of their own are among them, none chosen is slower than those.
All follow from sizes and counts, never from how fast the parts of a chip are (``balance``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..description.spec import Chip
from ..plan.graph import serial_steps
from ..plan.layer_shape import LayerShape
from .balance import shareable, work_of_vectors
from .cutting import Table, joined
from .given import Given
from .packing import pack_blocks


def sharings(layers: Sequence[LayerShape], tables: Sequence[Table], chip: Chip, given: Given) -> list[Table]:
    """The blocks of ``tables``, one for each layer, on tiles that they share, those of fewest tiles first.

    Blocks share tiles of their kind. Sharings that take more than the given chips have are left out, and
    where none is left tiles share more, as much more as it takes.

    Returns:
        At least one; the last resort, all tiles as full as can be, also where it takes more than there are.
    """
    blocks = joined(tables)
    by_reads, by_ports = _loads(layers, tables, [chip.described(given.kind(k)) for k in range(len(layers))])
    in_loop = np.array(serial_steps(layers)) > 1
    careful = np.where(in_loop, 1.0, np.maximum(by_reads, by_ports))
    found = [_shared(blocks, loads, 1.0, chip, given) for loads in (by_reads, careful)]
    found.append(unshared(blocks, given))
    # of those that take as many tiles the one that shares less
    different = {sum(_tiles(table, given)): table for table in found}
    fitting = [different[count] for count in sorted(different) if _fits(different[count], chip, given)]
    return fitting or [_least_that_fits(blocks, by_reads, chip, given)]


def fits_when_full(blocks: Table, chip: Chip, given: Given) -> bool:
    """Whether ``blocks`` fit the given chips, whatever time they take."""
    return _fits(_fullest(blocks, chip, given), chip, given)


def _tiles(table: Table, given: Given) -> list[int]:
    """Tiles that a table takes of each kind in use."""
    return [int(table["tile"][rows].max(initial=-1)) + 1 for rows in given.of_blocks(table)]


def _fits(table: Table, chip: Chip, given: Given) -> bool:
    if given.chips is None:
        return True
    kinds = [given.kind(int(table["layer"][rows[0]])) for rows in given.of_blocks(table)]
    there = [given.chips * chip.kind_tiles[kind] for kind in kinds]
    return all(count <= most for count, most in zip(_tiles(table, given), there, strict=True))


def _loads(
    layers: Sequence[LayerShape], tables: Sequence[Table], on: Sequence[Chip]
) -> tuple[np.ndarray, np.ndarray]:
    """Of each layer what a tile of its own reads, and what passes its ports, as parts of the most of all."""
    works, vectors = work_of_vectors(layers, tables, on), shareable(layers)
    reads = np.array([work.reads * count for work, count in zip(works, vectors, strict=True)])
    values = np.array([work.values * count for work, count in zip(works, vectors, strict=True)])
    return reads / max(float(reads.max()), 1e-300), values / max(float(values.max()), 1e-300)


def _shared(blocks: Table, loads: np.ndarray, most: float, chip: Chip, given: Given) -> Table:
    """``blocks`` packed into as few tiles as are found, none of which gets a load above ``most``."""
    out = blocks["out_stop"] - blocks["out_start"]
    in_ = blocks["in_stop"] - blocks["in_start"]
    number = blocks["layer"]
    places = {key: np.empty(len(out), np.int32) for key in ("tile", "out_offset", "in_offset")}
    for rows in given.of_blocks(blocks):
        of = chip.described(given.kind(int(number[rows[0]])))
        bins, places["out_offset"][rows], places["in_offset"][rows] = pack_blocks(
            out[rows], in_[rows], of.tile_out, of.tile_in, loads[number[rows]], most
        )
        places["tile"][rows] = _in_order_of_appearance(bins)
    return {**blocks, **places}


def unshared(blocks: Table, given: Given) -> Table:
    """``blocks`` on tiles of their own, numbered from 0 within each kind."""
    tile = np.empty(len(blocks["layer"]), np.int32)
    for rows in given.of_blocks(blocks):
        tile[rows] = np.arange(len(rows), dtype=np.int32)
    return {**blocks, "tile": tile}


def _fullest(blocks: Table, chip: Chip, given: Given) -> Table:
    """``blocks`` packed by their areas alone."""
    return _shared(blocks, np.zeros(int(blocks["layer"].max()) + 1), 1.0, chip, given)


def _least_that_fits(blocks: Table, loads: np.ndarray, chip: Chip, given: Given) -> Table:
    """The sharing of the least load that takes no more tiles than there are; where none does the fullest."""
    most, all_of_it = 2.0, float(loads[blocks["layer"]].sum())
    while most < 2.0 * all_of_it:
        table = _shared(blocks, loads, most, chip, given)
        if _fits(table, chip, given):
            return table
        most *= 2.0
    return _fullest(blocks, chip, given)


def _in_order_of_appearance(bins: np.ndarray) -> np.ndarray:
    """Bins numbered anew, so that tiles follow the order of the layers."""
    _, first, inverse = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]
