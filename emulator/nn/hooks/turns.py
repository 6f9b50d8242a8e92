"""Tiles that hold one block at a time: who comes after another layer is programmed anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from crossgrid.chip import MappingPlan
from crossgrid.kernels.errors import ConfigError

from ...analog_matrix.hardware_aware import HardwareAwareTiles
from ..matrix import AnalogMatrix
from .listening import Listener


class TileTurns:
    """Layers that share tiles in time: before a layer is read whose tiles held something else since its last
    read, it is programmed. Every programming has a number, which addresses its draws beside the block's key:
    a block has other devices every turn, and the same ones in every run.

    A layer's blocks are programmed together, also those on tiles that nobody shares: its time since
    programming is one.
    """

    def __init__(self, plan: MappingPlan, layers: Sequence[tuple[str, AnalogMatrix]]) -> None:
        """Listen to the layers of ``plan``, whose tiles are being moved onto the chip.

        Raises:
            ConfigError: a layer's devices are pulsed, not programmed.
        """
        for name, matrix in layers:
            if not isinstance(matrix.analog_tile, HardwareAwareTiles):
                raise ConfigError(
                    f"reprogram=True: the devices of '{name}' are pulsed, no law says what programming "
                    "leaves on them; convert the model with an InferenceRPUConfig, or leave reprogram out"
                )
        self.counts = {name: 0 for name, _ in layers}  # programmings so far
        self._held: dict[int, tuple[str, int]] = {}  # tile -> layer and round of the block that is on it
        self._needs = _shared_slots(plan)
        self._hooks = [
            matrix.analog_tile.register_forward_pre_hook(Listener(partial(self._before, name, matrix)))
            for name, matrix in layers
        ]

    def stop(self) -> None:
        """Listen no longer."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, name: str, matrix: AnalogMatrix, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A layer is about to be read."""
        if module.training:
            raise ConfigError(
                f"reprogram=True: '{name}' is in training mode, and what trains stays on its tiles; call "
                "model.eval(), or leave reprogram out"
            )
        assert isinstance(module, HardwareAwareTiles)
        slots = self._needs.get(name, [])
        if module.programmed is None or any(
            self._held.get(tile) != (name, first) for tile, first, _ in slots
        ):
            matrix.program()
            self.counts[name] += 1
        for tile, _, last in slots:
            self._held[tile] = name, last


def _shared_slots(plan: MappingPlan) -> dict[str, list[tuple[int, int, int]]]:
    """For each layer its tiles that hold something else in another round: tile, and its first and last round
    there. Numbers go through a layer's first copy."""
    table = plan.table
    first = table["copy"] == 0
    columns = np.stack([table[key][first] for key in ("tile", "round", "layer")], axis=1)
    turns = np.unique(columns[:, :2], axis=0)
    often = np.bincount(turns[:, 0])
    found: dict[str, list[tuple[int, int, int]]] = {}
    shared = columns[often[columns[:, 0]] > 1]
    for layer, tile in np.unique(shared[:, [2, 0]], axis=0).tolist():
        rounds = shared[(shared[:, 2] == layer) & (shared[:, 0] == tile), 1]
        slot = tile, int(rounds.min()), int(rounds.max())
        found.setdefault(plan.layers[layer].name, []).append(slot)
    return found
