"""The time of reads or updates, on the card: a step that repeats another is then given the same numbers."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...card import card


class Clock:
    """A tick that kernels read and move on themselves; the host knows what it is, and never asks."""

    def __init__(self) -> None:
        self.now = torch.zeros(2, dtype=torch.int64, device=card())  # the tick; programs that are done
        self.tick = 0  # what it shows once all that was launched is done

    def at(self, tick: int, vectors: int) -> torch.Tensor:
        """The clock, which shows ``tick`` and will show ``tick + vectors`` after one launch."""
        if tick != self.tick:
            self.now[0].fill_(tick)
        self.tick = tick + vectors
        return self.now


@triton.jit
def move_on(clock, vectors, programs):
    """The last of a launch's programs, all of which have read the clock, moves it on."""
    tl.debug_barrier()  # all warps of this program have, too
    if tl.atomic_add(clock + 1, 1) == programs - 1:
        tl.atomic_add(clock, tl.cast(vectors, tl.int64))
        tl.atomic_xchg(clock + 1, tl.cast(0, tl.int64))
