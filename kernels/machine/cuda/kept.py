"""Small arrays of the host that are the same again and again, on a card."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...card import card

MOST = 64  # arrays; who asks for more has them change all the time


class Kept:
    """Copies of arrays by what is in them: the second time nothing is copied."""

    def __init__(self) -> None:
        self._there: dict[Any, torch.Tensor] = {}

    def of(self, array: NDArray[Any]) -> torch.Tensor:
        """The array on the card; uint32 as the int32 of the same bits."""
        name = array.shape, array.dtype.str, array.tobytes()
        if name not in self._there:
            if len(self._there) >= MOST:
                self._there.clear()
            same = np.ascontiguousarray(array.view(np.int32) if array.dtype == np.uint32 else array)
            self._there[name] = torch.from_numpy(same.copy()).to(card())
        return self._there[name]
