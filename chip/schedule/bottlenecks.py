"""What bounds a stream of inputs: the busiest tiles with what they do, and the part that is never idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .schedule import Schedule

#: a part that works for this share of the interval has no time to spare: it sets the interval
FULL = 0.99
#: tiles that are listed
BUSIEST = 12


class Loads(NamedTuple):
    """Every pair of a used tile and a layer on it."""

    slot: np.ndarray  # among the used tiles
    layer: np.ndarray
    busy: np.ndarray  # part of the interval in which the tile works on the layer


@dataclass(frozen=True, slots=True)
class TileLoad:
    """How busy a tile is, and with which layers."""

    tile: str  # its address
    busy: float  # part of the interval in which it works
    layers: tuple[tuple[str, float], ...]  # the layers on it and their parts of the interval, most first

    def __str__(self) -> str:
        parts = [name if len(self.layers) == 1 else f"{name} {part:.1%}" for name, part in self.layers[:3]]
        parts += [f"{len(self.layers) - 3} more"] if len(self.layers) > 3 else []
        return f"tile {self.tile}, {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Bound:
    """What sets the interval between two outputs."""

    kind: str  # "tile", "link", "programming", "arrivals", or "waiting" where no part is full
    name: str  # the tile or link, or what rows wait for most
    busy: float  # its part of the interval

    def __str__(self) -> str:
        if self.kind == "waiting":
            return (
                f"no part is full: layers wait, most for {self.name}; the fullest part works {self.busy:.1%}"
            )
        return f"the interval is that of {self.name}, which works {self.busy:.1%} of it"


def busiest(found: Schedule, count: int = BUSIEST) -> tuple[TileLoad, ...]:
    """The ``count`` busiest tiles of a schedule, the busiest first; of equal ones the first."""
    order = np.argsort(-found.tile_busy, kind="stable")[:count]
    return tuple(_load(found, int(slot)) for slot in order)


def _load(found: Schedule, slot: int) -> TileLoad:
    here = np.flatnonzero(found.loads.slot == slot)
    here = here[np.argsort(-found.loads.busy[here], kind="stable")]
    layers = tuple(
        (found.plan.layers[int(layer)].name, float(part))
        for layer, part in zip(found.loads.layer[here], found.loads.busy[here], strict=True)
    )
    address = found.plan.address(int(found.plan.used_tiles[slot]))
    return TileLoad(str(address), float(found.tile_busy[slot]), layers)


def busiest_of_layers(found: Schedule) -> list[tuple[str, float]]:
    """For each layer the address of the tile of its own that is busiest with it, and that part."""
    loads, plan = found.loads, found.plan
    order = np.lexsort((loads.slot, -loads.busy, loads.layer))
    _, first = np.unique(loads.layer[order], return_index=True)
    chosen = order[first]
    return [
        (str(plan.address(int(plan.used_tiles[slot]))), float(found.tile_busy[slot]))
        for slot in loads.slot[chosen]
    ]


def bound(found: Schedule) -> Bound:
    """What sets the interval: the fullest part, if it is full, or else what rows wait for most."""
    top = busiest(found, 1)[0]
    parts = [Bound("tile", str(top), top.busy)]
    parts += [Bound("link", name, busy) for name, busy in sorted(found.links, key=lambda link: -link[1])[:1]]
    if found.interval_ns > 0.0:
        parts += [Bound("arrivals", "arriving inputs", found.every_ns / found.interval_ns)]
        programmed = found.plan.rounds * found.program_ns / found.plan.batch / found.interval_ns
        parts += [Bound("programming", "programming the tiles", programmed)] if found.program_ns else []
    fullest = max(parts, key=lambda part: part.busy)
    if fullest.busy >= FULL:
        return fullest
    waited = found.stalls_ns
    most = max(waited, key=lambda wait: waited[wait])
    return Bound("waiting", most if waited[most] > 0.0 else "inputs", fullest.busy)
