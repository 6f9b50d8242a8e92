"""What both sides do with a piece of work. Imported by both environments: numpy only."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from .rows import LEARNING_RATE, Row


class Job:
    """Something that can be run again and again, and checked."""

    def start(self) -> None:
        """Bring the state back to where it was."""

    def run(self) -> None:
        """The work that is timed."""
        raise NotImplementedError

    def slope(self) -> float:
        """Slope of the last run's result over what is exact: 1 where it is right on average."""
        raise NotImplementedError

    def checked(self) -> float:
        """The slope of one run from the start."""
        self.start()
        self.run()
        return self.slope()

    def times(self, repeats: int) -> list[float]:
        """Milliseconds of ``repeats`` runs."""
        self.start()
        taken = []
        for _ in range(repeats):
            begin = time.perf_counter()
            self.run()
            taken.append(1e3 * (time.perf_counter() - begin))
        return taken


def slope_of(result: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Slope of the regression of ``result`` on ``exact`` through zero."""
    wanted = exact.astype(np.float64)
    return float((result * wanted).sum() / (wanted**2).sum())


def exact_update(row: Row) -> NDArray[np.float32]:
    """The weight change that an update approximates, [out, in]."""
    x, d = row.data()
    return -LEARNING_RATE * d.T @ x


def exact_read(row: Row, forward: bool) -> NDArray[np.float32]:
    """The product that a read approximates, [batch, lines]."""
    x, d = row.data()
    return x @ row.weights().T if forward else d @ row.weights()
