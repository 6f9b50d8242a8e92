"""Drift compensation: digital factors that undo the mean loss of conductance.

Ambrogio et al., "Reducing the impact of phase-change memory conductance drift on the inference of
large-scale hardware neural networks", IEDM 2019. At programming the tile is read out with known vectors, the
baseline; before an inference it is read out again, and the outputs are multiplied by baseline / read-out.
All functions are pure: ``read`` is the tile's own noisy forward product, vectors [B, in] -> [B, out].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..config import Config, config

Array = NDArray[np.float32]
Read = Callable[[Array], Array]
SMALLEST_READ_OUT = np.float32(1e-4)
VECTORS_AT_ONCE = 64  # all at once would take more memory than the weights of a wide layer


@config
class BaseDriftCompensation(Config):
    """Base of all compensations: override ``read_out`` for your own."""

    def read_out_vectors(self, in_size: int, first: int, last: int) -> Array:
        """Vectors [B, in] ``first`` to ``last`` of the ``in_size`` of a read-out: every input alone."""
        return np.eye(last - first, in_size, first, dtype=np.float32)

    def read_out(self, outputs: Iterator[Array]) -> Array:
        """What is kept, a number or one for each output, of outputs [B, out] of some vectors at a time."""
        raise NotImplementedError(f"{type(self).__name__} must define read_out")

    def baseline(self, read: Read, read_ideal: Read, in_size: int) -> Array:
        """The read-out right after programming; ``read_ideal`` is the exact product with the targets."""
        return self.read_out(self._outputs(read, in_size))

    def alpha(self, baseline: Array, read: Read, in_size: int) -> Array:
        """The factor of the outputs, for a tile that has drifted since ``baseline``."""
        return baseline / self.read_out(self._outputs(read, in_size))

    def _outputs(self, read: Read, in_size: int) -> Iterator[Array]:
        for first in range(0, in_size, VECTORS_AT_ONCE):
            yield read(self.read_out_vectors(in_size, first, min(first + VECTORS_AT_ONCE, in_size)))


@config
class GlobalDriftCompensation(BaseDriftCompensation):
    """One factor for the tile, from the mean magnitude of its outputs."""

    def read_out(self, outputs: Iterator[Array]) -> Array:
        return np.maximum(np.mean(_mean_magnitudes(outputs)).astype(np.float32), SMALLEST_READ_OUT)


@config
class PerColumnDriftCompensation(BaseDriftCompensation):
    """One factor for each output, from its mean magnitude over the inputs."""

    def read_out(self, outputs: Iterator[Array]) -> Array:
        return np.maximum(_mean_magnitudes(outputs).astype(np.float32), SMALLEST_READ_OUT)


@config
class GlobalDriftCompensationWithExactReference(GlobalDriftCompensation):
    """One factor, against an exact baseline: it also undoes the mean error of programming."""

    def baseline(self, read: Read, read_ideal: Read, in_size: int) -> Array:
        return self.read_out(self._outputs(read_ideal, in_size))


def _mean_magnitudes(outputs: Iterator[Array]) -> NDArray[np.float64]:
    """The mean magnitude of each output over all vectors [out]."""
    from ..finite import add_magnitudes  # with numba, which a driver that computes nothing does not load

    total_O, vectors = np.zeros(0), 0
    for y_BO in outputs:
        if not vectors:
            total_O = np.zeros(y_BO.shape[1])
        add_magnitudes(np.ascontiguousarray(y_BO, np.float32), total_O)
        vectors += len(y_BO)
    return total_O / vectors
