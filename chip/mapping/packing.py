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
    out: np.ndarray, in_: np.ndarray, tile_out: int, tile_in: int, work: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each block of out x in_ weights its bin and its offsets (out, in) there.

    ``work`` is what each block has to do; blocks share a bin only where these add up to ``most`` or less,
    for they work in turn.
    """
    most *= 1.0 + 1e-9  # thirds add up to a whole
    bins = np.zeros(len(out), np.int64)
    out_offset, in_offset = np.zeros(len(out), np.int32), np.zeros(len(out), np.int32)
    full_out, full_in = out == tile_out, in_ == tile_in
    alone = np.flatnonzero((full_out & full_in) | (work >= most))
    shared = work < most
    small = np.flatnonzero(~full_out & ~full_in & shared)
    bins[alone] = np.arange(len(alone))
    count = len(alone)
    free, filled = [], [work[alone]]
    for axis, lengths, offset, size, chosen in (
        (0, out, out_offset, tile_out, ~full_out & full_in & shared),
        (1, in_, in_offset, tile_in, full_out & ~full_in & shared),
    ):
        # of those whose work is alike as many share a bin as the greatest of them allows
        kinds = np.frexp(work)[1]
        for kind in np.unique(kinds[chosen]).tolist():
            items = np.flatnonzero(chosen & (kinds == kind))
            greatest = float(work[items].max())
            each = max(int(most / greatest), 1) if greatest > 0.0 else len(items)
            found, offset[items], used = pack_lengths(lengths[items], size, each)
            bins[items] = found + count
            across = tile_in if axis == 0 else tile_out
            free.append(_free(count, used, axis, size - used, across, along_out=axis == 0))
            filled.append(np.bincount(found, work[items], minlength=len(used)))
            count += len(used)

    spaces = np.concatenate(free) if free else np.zeros((0, 5), np.int64)
    packer = Guillotine(spaces, np.concatenate(filled), tile_out, tile_in, most)
    for k in small[np.lexsort((-out[small], -in_[small], -out[small] * in_[small]))]:
        bins[k], out_offset[k], in_offset[k] = packer.place(int(out[k]), int(in_[k]), float(work[k]))
    return bins, out_offset, in_offset


def pack_lengths(lengths: np.ndarray, capacity: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-dimensional packing, longest first, at most ``most`` items a bin: each item's bin and offset, and
    what each bin holds.

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
        pattern, filled = _fill(sizes, counts, capacity, most)
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


def _fill(sizes: np.ndarray, counts: np.ndarray, capacity: int, most: int) -> tuple[np.ndarray, int]:
    """How many of each size, longest first, fill a bin, at most ``most`` of all; and how far."""
    pattern = np.zeros(len(sizes), np.int64)
    left = capacity
    for kind, size in enumerate(sizes):
        pattern[kind] = min(counts[kind], left // size, most)
        left -= int(pattern[kind] * size)
        most -= int(pattern[kind])
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
    """Free rectangles of all open bins; a placed block cuts what is left of its rectangle in two.

    ``filled`` is the work of each bin so far, ``most`` how much one may have.
    """

    def __init__(
        self, spaces: np.ndarray, filled: np.ndarray, tile_out: int, tile_in: int, most: float
    ) -> None:
        self.spaces = np.zeros((max(64, 2 * len(spaces)), 5), np.int64)
        self.spaces[: len(spaces)] = spaces
        self.used = len(spaces)
        self.filled = filled.tolist()
        self.room = np.zeros(len(self.spaces))  # for each space the work that its bin still takes
        self.room[: self.used] = most - filled[spaces[:, 0]]
        self.most = most
        self.tile = (tile_out, tile_in)

    def place(self, out: int, in_: int, work: float) -> tuple[int, int, int]:
        """Bin and offsets (out, in) for a block of out x in_ weights."""
        spaces = self.spaces[: self.used]
        room = self.room[: self.used] >= work
        fits = np.flatnonzero((spaces[:, 3] >= out) & (spaces[:, 4] >= in_) & room)
        if len(fits):
            where = int(fits[np.argmin(spaces[fits, 3] * spaces[fits, 4])])
            bin_, at_out, at_in, free_out, free_in = (int(value) for value in spaces[where])
            self.used -= 1
            self.spaces[where], self.room[where] = self.spaces[self.used], self.room[self.used]
        else:
            bin_, at_out, at_in = len(self.filled), 0, 0
            free_out, free_in = self.tile
            self.filled.append(0.0)
        self.filled[bin_] += work
        self.room[: self.used][self.spaces[: self.used, 0] == bin_] -= work
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
            self.room = np.concatenate([self.room, np.zeros_like(self.room)])
        self.spaces[self.used] = (bin_, at_out, at_in, out, in_)
        self.room[self.used] = self.most - self.filled[bin_]
        self.used += 1
