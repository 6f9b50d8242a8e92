"""Drift compensation: digital factors that undo the mean loss of conductance.

Ambrogio et al., "Reducing the impact of phase-change memory conductance drift on the inference of
large-scale hardware neural networks", IEDM 2019. At programming the tile is read out with known vectors, the
baseline; before an inference it is read out again, and the outputs are multiplied by baseline / read-out.
All functions are pure: ``read`` is the tile's own noisy forward product, vectors [B, in] -> [B, out].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..config import Config, config

Array = NDArray[np.float32]
Read = Callable[[Array], Array]
SMALLEST_READ_OUT = np.float32(1e-4)


@config
class BaseDriftCompensation(Config):
    """Base of all compensations: override ``read_out`` for your own."""

    def read_out_vectors(self, in_size: int) -> Array:
        """The vectors [B, in] that a tile is read with: every input alone."""
        return np.eye(in_size, dtype=np.float32)

    def read_out(self, y_BO: Array) -> Array:
        """What is kept of the outputs [B, out]: a number, or one for each output."""
        raise NotImplementedError(f"{type(self).__name__} must define read_out")

    def baseline(self, read: Read, read_ideal: Read, in_size: int) -> Array:
        """The read-out right after programming; ``read_ideal`` is the exact product with the targets."""
        return self.read_out(read(self.read_out_vectors(in_size)))

    def alpha(self, baseline: Array, read: Read, in_size: int) -> Array:
        """The factor of the outputs, for a tile that has drifted since ``baseline``."""
        return baseline / self.read_out(read(self.read_out_vectors(in_size)))


@config
class GlobalDriftCompensation(BaseDriftCompensation):
    """One factor for the tile, from the mean magnitude of its outputs."""

    def read_out(self, y_BO: Array) -> Array:
        return np.maximum(np.mean(np.abs(y_BO), dtype=np.float64).astype(np.float32), SMALLEST_READ_OUT)


@config
class PerColumnDriftCompensation(BaseDriftCompensation):
    """One factor for each output, from its mean magnitude over the inputs."""

    def read_out(self, y_BO: Array) -> Array:
        means_O = np.mean(np.abs(y_BO), axis=0, dtype=np.float64).astype(np.float32)
        return np.maximum(means_O, SMALLEST_READ_OUT)


@config
class GlobalDriftCompensationWithExactReference(GlobalDriftCompensation):
    """One factor, against an exact baseline: it also undoes the mean error of programming."""

    def baseline(self, read: Read, read_ideal: Read, in_size: int) -> Array:
        return self.read_out(read_ideal(self.read_out_vectors(in_size)))
