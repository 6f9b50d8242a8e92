"""The read of tiles through their wires: the product is the exact solution of each tile's resistive network.

The network is linear, so what it does to any vector is one matrix (``NodalTile.effective_weights``), and
the ordinary read with this matrix for the weights is the read through wires, whatever the batch. The
network is reciprocal, so its transposed read has the transposed matrix. Read noise that depends on
weights (``WeightNoiseType.PCM_READ``) is that of this matrix too: what wires take from a device's signal,
they take from its noise.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...circuit import CrossbarCircuit, NodalTile
from ...errors import ConfigError
from ..parameters import IOParameters
from .periphery import Array, Periphery, ReadCounts


class Networks:
    """The networks of tiles, solved once for as long as a tile's weights stay."""

    def __init__(self, circuit: CrossbarCircuit, shape: tuple[int, int, int]) -> None:
        self.circuit = circuit
        self.solved_T = np.zeros(shape[0], np.int64)  # how often each tile's network was factorised
        # a kept copy tells a change whoever made it: NaN, which equals nothing, before the first
        self._seen_TOI = np.full(shape, np.nan, np.float32)
        self._effective_TOI = np.zeros(shape, np.float32)

    def effective(self, w_TOI: Array) -> Array:
        """What the tiles with weights ``w_TOI`` multiply by."""
        for t, w_OI in enumerate(w_TOI):
            if np.array_equal(w_OI, self._seen_TOI[t]):
                continue
            self._effective_TOI[t] = NodalTile(w_OI, self.circuit).effective_weights()
            self._seen_TOI[t] = w_OI
            self.solved_T[t] += 1
        return self._effective_TOI


class NodalPeriphery(Periphery):
    """Reads tiles through their wires, between the converters and noises of any other read."""

    def __init__(
        self,
        io: IOParameters,
        keys_T2: NDArray[np.uint32],
        out_size: int,
        in_size: int,
        direction: Literal["forward", "backward"] = "forward",
        backend: Backend = CPU,
    ) -> None:
        if backend.on_card:
            raise ConfigError(
                f"ir_drop = {io.ir_drop!r} is solved on processors, not on a card: use device='cpu', or set "
                "ir_drop to a number"
            )
        other_stages = dataclasses.replace(io, ir_drop=0.0)
        super().__init__(other_stages, keys_T2, out_size, in_size, direction, backend)
        circuit = CrossbarCircuit(
            wire_in=io.ir_drop_wire_ohm,
            wire_out=io.ir_drop_wire_ohm,
            g_unit=io.ir_drop_g_max_microsiemens,
        )
        self.networks = Networks(circuit, self.shape)

    def read(
        self,
        w_TOI: Array,
        x_XBI: Array,
        x_of_tile: NDArray[np.integer],
        tick: int,
        bounded: bool = False,
        none_TBI: Any = None,
    ) -> tuple[Array, ReadCounts]:
        """As ``Periphery.read``, of the weights that the network of wires leaves."""
        w_TOI, x_XBI, x_of_tile = self._checked(w_TOI, x_XBI, x_of_tile)
        return super().read(self.networks.effective(w_TOI), x_XBI, x_of_tile, tick, bounded, none_TBI)


def share_networks(one: Periphery, other: Periphery) -> None:
    """Let the two directions of the same tiles solve their networks once, where their wires are the same."""
    if not isinstance(one, NodalPeriphery) or not isinstance(other, NodalPeriphery):
        return
    if one.networks.circuit == other.networks.circuit:
        other.networks = one.networks
