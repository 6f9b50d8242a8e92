"""Memory of a card that is used again: a step that repeats another takes none."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...card import card


class Pool:
    """Tensors whose memory serves again once nobody holds them, nor any view of them.

    On a card work is done in the order in which it was given, so what is dropped may be written to at once.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, torch.dtype], list[torch.Tensor]] = {}

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """A tensor of ``shape`` with anything in it."""
        size = math.prod(shape)
        made = self._made.setdefault((size, dtype), [])
        for memory in made:
            if _holders(memory) == 1:
                return memory.view(shape)
        made[:] = [memory for memory in made if _holders(memory) > 1]
        made.append(torch.empty(size, dtype=dtype, device=card()))
        return made[-1].view(shape)

    def release(self) -> None:
        """Give back what nobody holds."""
        self._made.clear()


def _holders(memory: torch.Tensor) -> int:
    """How many tensors share the memory of one, itself included."""
    count: Any = torch._C._storage_Use_Count  # type: ignore[attr-defined]  # as torch's own trees of graphs do
    storage: Any = memory.untyped_storage()
    return int(count(storage._cdata)) - 1  # ``storage`` is one too
