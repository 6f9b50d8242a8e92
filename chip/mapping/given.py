"""What is asked of a mapping besides its layers and its chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cutting import Table


@dataclass(frozen=True, slots=True)
class Given:
    """What is asked of a strategy."""

    chips: int | None = None  # None: as many as are needed
    copies: Sequence[int] | None = None  # of each layer; None: as many as are best
    kinds: Sequence[int] | None = None  # of each layer the kind of its tiles; None: all are the chip's own

    def kind(self, k: int) -> int:
        """The kind of tile that layer ``k`` is on."""
        return 0 if self.kinds is None else self.kinds[k]

    def of_blocks(self, table: Table) -> list[np.ndarray]:
        """The rows of a table that are on each kind of tile in use."""
        if self.kinds is None:
            return [np.arange(len(table["layer"]))]
        of_block = np.asarray(self.kinds)[table["layer"]]
        return [np.flatnonzero(of_block == kind) for kind in np.unique(of_block).tolist()]
