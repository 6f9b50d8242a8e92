"""IR drop by nodal analysis: the exact currents of a tile's resistive network.

Kirchhoff's current law at every free node is L v = i, L the weighted graph Laplacian. The network is linear
and reciprocal: its currents are a matrix times the driving voltages, and driving the outputs
while sensing the inputs gives the transposed matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .network import CrossbarCircuit, Network, tile_networks

SOLVED_TOGETHER = 16  # vectors: a third faster than 128 on a tile of 128 x 128, and little memory


class NodalTile:
    """One tile's network, factorised once: any number of vectors is then read exactly.

    ``read`` costs two triangular solves a vector and array; ``effective_weights`` solves once for every
    line and turns further reads into an ordinary product.
    """

    def __init__(self, w_OI: NDArray[np.float32], circuit: CrossbarCircuit) -> None:
        self._unit_siemens = circuit.g_unit * 1e-6
        self._arrays = tuple(_Factorised(network) for network in tile_networks(w_OI, circuit))
        self.outputs, self.inputs = w_OI.shape

    def read(self, u_BI: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs [B, out] of the inputs ``u_BI``, in units of weight times input."""
        positive, negative = (array.currents(_checked(u_BI, self.inputs)) for array in self._arrays)
        return ((positive - negative) / self._unit_siemens).astype(np.float32)

    def read_transposed(self, d_BO: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs [B, in] when the output lines are driven and the input lines sensed."""
        positive, negative = (
            array.currents_transposed(_checked(d_BO, self.outputs)) for array in self._arrays
        )
        return ((positive - negative) / self._unit_siemens).astype(np.float32)

    def effective_weights(self) -> NDArray[np.float32]:
        """The matrix [out, in] that the tile with its wires multiplies by."""
        if self.inputs <= self.outputs:
            columns = [self.read(unit_BI) for unit_BI in _unit_vectors(self.inputs)]
            return np.ascontiguousarray(np.concatenate(columns).T)
        return np.concatenate([self.read_transposed(unit_BO) for unit_BO in _unit_vectors(self.outputs)])


def _unit_vectors(size: int) -> Iterator[NDArray[np.float32]]:
    for first in range(0, size, SOLVED_TOGETHER):
        yield np.eye(min(SOLVED_TOGETHER, size - first), size, first, dtype=np.float32)


class _Factorised:
    """One crossbar: its Laplacian split at the driven and sensed nodes, the free part factorised."""

    def __init__(self, network: Network) -> None:
        from scipy.sparse import csr_array

        n, free = network.nodes, network.free
        rows = np.concatenate([network.a, network.b, network.a, network.b])
        columns = np.concatenate([network.a, network.b, network.b, network.a])
        g = network.siemens
        laplacian = csr_array((np.concatenate([g, g, -g, -g]), (rows, columns)), shape=(n, n))
        drivers, grounds = slice(free, free + network.inputs), slice(free + network.inputs, n)
        self._free_drivers = laplacian[:free, drivers]
        self._grounds_free = laplacian[grounds, :free]
        self._grounds_drivers = laplacian[grounds, drivers]
        self._solve = _solver(laplacian[:free, :free]) if free else None

    def currents(self, u_BI: NDArray[np.float64]) -> NDArray[np.float64]:
        """Currents [B, out] into the virtual grounds."""
        direct = self._grounds_drivers @ u_BI.T
        if self._solve is None:
            return np.asarray(-direct.T)
        v = self._solve(self._free_drivers @ u_BI.T)
        return np.asarray((self._grounds_free @ v - direct).T)

    def currents_transposed(self, d_BO: NDArray[np.float64]) -> NDArray[np.float64]:
        """Currents [B, in] into the drivers when they are at 0 V and the grounds at ``d_BO``."""
        direct = self._grounds_drivers.T @ d_BO.T
        if self._solve is None:
            return np.asarray(-direct.T)
        v = self._solve(self._grounds_free.T @ d_BO.T)
        return np.asarray((self._free_drivers.T @ v - direct).T)


def _solver(matrix):  # type: ignore[no-untyped-def]
    """Solves for the free nodes' potentials; the network's numbering already is a good elimination order."""
    from scipy.sparse.linalg import splu

    options = {"SymmetricMode": True}
    return splu(matrix.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options).solve


def _checked(vectors: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise InputError(
            f"the vectors of this circuit must have shape [B, {size}], not {list(vectors.shape)}"
        )
    if not np.isfinite(vectors).all():
        raise InputError("the vectors of a tile's circuit hold NaN or infinity")
    return vectors.astype(np.float64)
