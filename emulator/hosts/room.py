"""How much memory tiles take, counted on small ones of the same kind, and machines have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from crossgrid.kernels.inference import WeightModifierType

from ..config.rpu import InferenceRPUConfig, RPUConfig
from ..tiles.bank import TileBank
from ..tiles.layer_spec import LayerSpec

#: sizes of two square tiles: what differs between them is their crosspoints'
SMALL, LARGE = 4, 12

#: a margin for what works on a piece of a tile at a time, and bytes of pulsed devices' weights while they are
#: written: as they came and as a stack
MARGIN, WRITTEN_BYTES = 0.25, 8


def crosspoint_bytes(rpu_config: RPUConfig) -> int:
    """Bytes that a crosspoint takes on processors: weights, what its devices drew, and what works on them.

    5 for inference, 35 for a ``ConstantStepDevice``, 195 for cells of four ``ReRamSBPresetDevice``.
    """
    small, large = (_held_bytes(rpu_config, size) for size in (SMALL, LARGE))
    held = (large - small) / (LARGE**2 - SMALL**2)
    if not isinstance(rpu_config, InferenceRPUConfig):
        held += WRITTEN_BYTES
    elif rpu_config.modifier.type != WeightModifierType.NONE:
        held += 4  # the weights that a mini-batch sees in their place
    return math.ceil((1 + MARGIN) * held)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that can host tiles."""

    name: str  # Ray's id of it; empty where Ray has not been started
    processors: float
    cards: float
    free_bytes: int
    card_bytes: int = 0  # of one card; 0: nobody knows


class Room:
    """What crosspoints take by their configurations, each counted once."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of_tiles(self, spec: LayerSpec, blocks: Sequence[int]) -> int:
        """Bytes of some of a layer's tiles."""
        config = repr(spec.rpu_config)
        if config not in self._known:
            self._known[config] = crosspoint_bytes(spec.rpu_config)
        return self._known[config] * sum(math.prod(spec.tiles[block].shape) for block in blocks)


def _held_bytes(rpu_config: RPUConfig, size: int) -> int:
    """What one square tile holds; by numpy, so that whoever asks loads no compiler."""
    cell = TileBank(0, [0], size, size, rpu_config, "naive").cell
    return sum(array.nbytes for array in _arrays(cell, {}))


def _arrays(value: Any, known: dict[int, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays that own the memory of all that ``value`` refers to, each once."""
    if id(value) in known or isinstance(value, (type, ModuleType, str, bytes)):
        return
    known[id(value)] = value
    if isinstance(value, np.ndarray):
        if isinstance(value.base, np.ndarray):
            yield from _arrays(value.base, known)
        else:
            yield value
        return
    if isinstance(value, dict):
        parts = [*value.values()]
    elif isinstance(value, (list, tuple, set)):
        parts = [*value]
    else:
        names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        parts = [*getattr(value, "__dict__", {}).values(), *(getattr(value, n, None) for n in names)]
    for part in parts:
        yield from _arrays(part, known)
