"""Where torch's generator stands behind a layer's initial weights, without drawing them.

A model of a billion weights is built from a file by processes that each read a part of it; what its layers'
keys follow from (``keys.py``) is found in one of them, which has neither the time nor the room for a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: bytes of the state of torch's generator on processors, and where in it its words stand, 8 bytes each
STATE_BYTES, PLACE = 5056, slice(3, 3 + 624)

#: numbers that are drawn at once where they have to be
DRAWN = 1 << 20


class _Draws(Exception):
    """A layer asks for other numbers than uniform ones."""


class _Counting(TorchDispatchMode):
    """Counts the words that uniform numbers would take, in place of drawing them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.uniform_.default and args[0].is_meta:
            values: Tensor = args[0]
            self.words += values.numel() * (2 if values.dtype is torch.float64 else 1)
            return values
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _Draws
        return func(*args, **(kwargs or {}))


def pass_over(draw: Callable[[], object]) -> None:
    """Move torch's generator on as ``draw``, which makes layers with their initial weights, would."""
    counting = _Counting()
    try:
        with torch.device("meta"), counting:
            draw()
    except _Draws:
        draw()
        return
    _skip(counting.words)


def _skip(words: int) -> None:
    """Move torch's generator on by ``words`` of 32 bits."""
    if not words:
        return
    from crossgrid.kernels.rng.mersenne import WORDS, twisted  # with numba

    known = torch.get_rng_state().numel() == STATE_BYTES
    turns, more = divmod(words - 1, WORDS) if known else (0, words - 1)
    for start in range(0, 1 + more, DRAWN):  # one at least: a generator that was just seeded has no place yet
        torch.empty(min(DRAWN, 1 + more - start)).uniform_()
    if turns:
        state = torch.get_rng_state()
        of_state = state.numpy().view(np.uint64)[PLACE]
        of_state[:] = twisted(of_state.astype(np.uint32), turns)
        torch.set_rng_state(state)
