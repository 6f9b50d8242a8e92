"""Two-dimensional bin packing of weight blocks into tiles, without rotation: a row stays a row.

Blocks as long as the tile in one dimension only need packing in the other, with few different lengths
in great numbers; they are packed by repeated patterns. What is short in both dimensions goes into the
space that those leave, by guillotine cuts (best area fit, shorter leftover axis; Jylänki, "A thousand
ways to pack the bin", 2010). The packing libraries tried (rectpack, unmaintained since 2021) take
minutes for the remainders of a large language model and know no patterns.
"""

from __future__ import annotations

import numpy as np


def pack_blocks(
    out: np.ndarray, in_: np.ndarray, tile_out: int, tile_in: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each block of out x in_ weights its bin and its offsets (out, in) there."""
    bins = np.zeros(len(out), np.int64)
    out_offset, in_offset = np.zeros(len(out), np.int32), np.zeros(len(out), np.int32)
    full_out, full_in = out == tile_out, in_ == tile_in
    full = np.flatnonzero(full_out & full_in)
    wide = np.flatnonzero(~full_out & full_in)
    tall = np.flatnonzero(full_out & ~full_in)
    small = np.flatnonzero(~full_out & ~full_in)

    bins[full] = np.arange(len(full))
    count = len(full)
    bins[wide], out_offset[wide], used = pack_lengths(out[wide], tile_out)
    bins[wide] += count
    free = [_free(count, used, 0, tile_out - used, tile_in, along_out=True)]
    count += len(used)
    bins[tall], in_offset[tall], used = pack_lengths(in_[tall], tile_in)
    bins[tall] += count
    free.append(_free(count, used, 1, tile_in - used, tile_out, along_out=False))
    count += len(used)

    packer = Guillotine(np.concatenate(free), count, tile_out, tile_in)
    for k in small[np.lexsort((-out[small], -in_[small], -out[small] * in_[small]))]:
        bins[k], out_offset[k], in_offset[k] = packer.place(int(out[k]), int(in_[k]))
    return bins, out_offset, in_offset


def pack_lengths(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-dimensional packing, longest first: each item's bin and offset, and what each bin holds.

    A pattern (how many of each length fill a bin) is used as often as the items allow before the next
    is sought, so the work grows with the number of different lengths, not of items.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes, counts = np.unique(-lengths, return_counts=True)
    sizes = -sizes
    start = np.concatenate([[0], np.cumsum(counts)])[:-1]
    bins, offsets = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int32)
    used: list[np.ndarray] = [np.zeros(0, np.int64)]
    next_bin = 0
    while counts.any():
        pattern, filled = _fill(sizes, counts, capacity)
        chosen = np.flatnonzero(pattern)
        times = int((counts[chosen] // pattern[chosen]).min())
        offset = 0
        for kind in chosen:
            each = int(pattern[kind])
            items = order[start[kind] : start[kind] + each * times]
            bins[items] = next_bin + np.repeat(np.arange(times), each)
            offsets[items] = offset + np.tile(np.arange(each) * sizes[kind], times)
            offset += each * int(sizes[kind])
            start[kind] += each * times
            counts[kind] -= each * times
        used.append(np.full(times, filled))
        next_bin += times
    return bins, offsets, np.concatenate(used)


def _fill(sizes: np.ndarray, counts: np.ndarray, capacity: int) -> tuple[np.ndarray, int]:
    """How many of each size, longest first, fill a bin; and how far."""
    pattern = np.zeros(len(sizes), np.int64)
    left = capacity
    for kind, size in enumerate(sizes):
        pattern[kind] = min(counts[kind], left // size)
        left -= int(pattern[kind] * size)
    return pattern, capacity - left


def _free(
    first_bin: int, used: np.ndarray, axis: int, length: np.ndarray, across: int, along_out: bool
) -> np.ndarray:
    """The space that ``used`` leaves in each bin: rows of bin, out offset, in offset, out, in."""
    spaces = np.zeros((len(used), 5), np.int64)
    spaces[:, 0] = first_bin + np.arange(len(used))
    spaces[:, 1 + axis] = used
    spaces[:, 3] = length if along_out else across
    spaces[:, 4] = across if along_out else length
    return spaces[length > 0]


class Guillotine:
    """Free rectangles of all open bins; a placed block cuts what is left of its rectangle in two."""

    def __init__(self, spaces: np.ndarray, bins: int, tile_out: int, tile_in: int) -> None:
        self.spaces = np.zeros((max(64, 2 * len(spaces)), 5), np.int64)
        self.spaces[: len(spaces)] = spaces
        self.used = len(spaces)
        self.bins = bins
        self.tile = (tile_out, tile_in)

    def place(self, out: int, in_: int) -> tuple[int, int, int]:
        """Bin and offsets (out, in) for a block of out x in_ weights."""
        spaces = self.spaces[: self.used]
        fits = np.flatnonzero((spaces[:, 3] >= out) & (spaces[:, 4] >= in_))
        if len(fits):
            where = int(fits[np.argmin(spaces[fits, 3] * spaces[fits, 4])])
            bin_, at_out, at_in, free_out, free_in = (int(value) for value in spaces[where])
            self.used -= 1
            self.spaces[where] = self.spaces[self.used]
        else:
            bin_, at_out, at_in = self.bins, 0, 0
            free_out, free_in = self.tile
            self.bins += 1
        self._split(bin_, at_out, at_in, free_out, free_in, out, in_)
        return bin_, at_out, at_in

    def _split(
        self, bin_: int, at_out: int, at_in: int, free_out: int, free_in: int, out: int, in_: int
    ) -> None:
        rest_out, rest_in = free_out - out, free_in - in_
        if rest_out < rest_in:  # the larger leftover stays whole
            beside, below = (rest_out, in_), (free_out, rest_in)
        else:
            beside, below = (rest_out, free_in), (out, rest_in)
        self._add(bin_, at_out + out, at_in, *beside)
        self._add(bin_, at_out, at_in + in_, *below)

    def _add(self, bin_: int, at_out: int, at_in: int, out: int, in_: int) -> None:
        if out <= 0 or in_ <= 0:
            return
        if self.used == len(self.spaces):
            self.spaces = np.concatenate([self.spaces, np.zeros_like(self.spaces)])
        self.spaces[self.used] = (bin_, at_out, at_in, out, in_)
        self.used += 1
