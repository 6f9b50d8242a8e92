"""Which tiles share an actor, and on which node every actor runs: decided before anything starts.

Plain data in and out. A chip's tiles sit on one node, so that chips, which talk much within themselves,
never talk to themselves over a network; they may span its cards. Tiles of no chip spread over all nodes, each
of which gets neighbours in the layers' order. Equal tiles are packed side by side, so that they share a bank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crossgrid.kernels.devices.base import PulsedDevice
from crossgrid.kernels.devices.drawn.traced import formula_text
from crossgrid.kernels.errors import ConfigError

from ..hosts.room import Node, Room
from ..tiles.layer_spec import LayerSpec

#: the part of one layer that an actor hosts: its number, its specification, the blocks
Part = tuple[int, LayerSpec, list[int]]

#: bytes of its own that a tile actor with numpy and numba needs, before its tiles
ACTOR_BYTES = 90 << 20

#: bytes that one with torch and Triton needs, and of its card for a context, before its tiles
CARD_ACTOR_BYTES, CONTEXT_BYTES = 360 << 20, 500 << 20

#: bytes of a card that a crosspoint takes: the weight and what is seen of it, float32 each, and at most seven
#: parameters where the card cannot draw them anew
CARD_CROSSPOINT_BYTES, DRAWN_CROSSPOINT_BYTES = 36, 8

#: actors that a processor bears: they sleep between messages, but each is a process to be started
ACTORS_PER_PROCESSOR = 64


@dataclass(frozen=True, slots=True)
class ActorPlan:
    """One actor: what it hosts, where, and the share of the node's processors and cards that it asks for."""

    parts: list[Part]
    chip: int  # or the share of a node in tiles of no chip, numbered like one
    node: str
    processors: float
    cards: float

    @property
    def threads(self) -> int:
        """How many threads its kernels use."""
        return max(1, int(self.processors))

    @property
    def label(self) -> str:
        """Its tiles, for messages."""
        names = [
            f"tile {spec.tiles[b].label} of layer {spec.name}"
            for _, spec, blocks in self.parts
            for b in blocks
        ]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def plan_actors(
    specs: Sequence[LayerSpec], tiles_per_actor: int | Literal["auto"], nodes: Sequence[Node], cuda: bool
) -> list[ActorPlan]:
    """An actor for every ``tiles_per_actor`` physical tiles of a chip, each chip on one of ``nodes``.

    Of tiles without a chip each node gets a share, by its processors or cards.

    Raises:
        ConfigError: the nodes have not the memory, processors or cards for it; says what would fit.
    """
    if cuda and not any(node.cards for node in nodes):
        raise ConfigError("device='cuda' needs a node with a card and Ray knows of none; use device='cpu'")
    usable = [node for node in nodes if (node.cards if cuda else node.processors)]
    by_chip = _tiles_by_chip(specs)
    free = by_chip.pop(None, [])
    chips = {chip: tiles for chip, tiles in by_chip.items() if chip is not None}
    homes = _homes(chips, usable, cuda)
    for node, tiles in _spread(free, usable, cuda):
        number = max(chips, default=-1) + 1
        chips[number], homes[number] = tiles, node
    hosted: dict[str, list[tuple[int, list[Part]]]] = {node.name: [] for node in usable}
    for chip, tiles in chips.items():
        node = homes[chip]
        crowd = sum(len(chips[other]) for other in chips if homes[other] is node)
        slots = (node.cards if cuda else node.processors) * len(tiles) / crowd
        size = math.ceil(len(tiles) / max(1, int(slots))) if tiles_per_actor == "auto" else tiles_per_actor
        for start in range(0, len(tiles), size):
            hosted[node.name].append((chip, _parts(specs, tiles[start : start + size])))
    room = Room()
    for node in usable:
        parts_of_actors = [parts for _, parts in hosted[node.name]]
        tile_bytes = sum(room.of_tiles(spec, held) for parts in parts_of_actors for _, spec, held in parts)
        _require(node, len(parts_of_actors), tile_bytes, CARD_ACTOR_BYTES if cuda else ACTOR_BYTES)
        if cuda and node.card_bytes:
            _require_card(node, parts_of_actors)
    plans = [
        ActorPlan(parts, chip, node.name, *_shares(node, len(hosted[node.name]), cuda))
        for node in usable
        for chip, parts in hosted[node.name]
    ]
    return sorted(plans, key=lambda plan: plan.chip)  # stable: within a chip as its tiles are


def _tiles_by_chip(specs: Sequence[LayerSpec]) -> dict[int | None, list[list[tuple[int, int]]]]:
    """For each chip its physical tiles in the layers' order: the (layer, block) that each of them holds.

    None: those of no chip.
    """
    by_label: dict[tuple[int | None, str], list[tuple[int, int]]] = {}
    for number, spec in enumerate(specs):
        for tile in spec.tiles:
            by_label.setdefault((tile.chip, tile.label), []).append((number, tile.block))
    chips: dict[int | None, list[list[tuple[int, int]]]] = {}
    for (chip, _), blocks in by_label.items():
        chips.setdefault(chip, []).append(blocks)
    return chips


def _spread(
    tiles: list[list[tuple[int, int]]], nodes: Sequence[Node], cuda: bool
) -> Iterator[tuple[Node, list[list[tuple[int, int]]]]]:
    """Neighbouring tiles for each node, as many as its processors or cards are of all."""
    slots = [node.cards if cuda else node.processors for node in nodes]
    ends = [round(len(tiles) * sum(slots[:k]) / sum(slots)) for k in range(len(nodes) + 1)]
    for node, start, stop in zip(nodes, ends, ends[1:], strict=False):
        if start < stop:
            yield node, tiles[start:stop]


def _homes(
    chips: dict[int, list[list[tuple[int, int]]]], nodes: Sequence[Node], cuda: bool
) -> dict[int, Node]:
    """The largest chip first, each on the node that is then the least loaded for its size."""
    load = {node.name: 0 for node in nodes}
    homes = {}
    for chip in sorted(chips, key=lambda c: (-len(chips[c]), c)):
        tiles = len(chips[chip])
        node = min(nodes, key=lambda n: (load[n.name] + tiles) / (n.cards if cuda else n.processors))
        load[node.name] += tiles
        homes[chip] = node
    return homes


def _parts(specs: Sequence[LayerSpec], tiles: Sequence[Sequence[tuple[int, int]]]) -> list[Part]:
    blocks_of: dict[int, list[int]] = {}
    for tile in tiles:
        for layer, block in tile:
            blocks_of.setdefault(layer, []).append(block)
    return [(layer, specs[layer], blocks) for layer, blocks in blocks_of.items()]


def _shares(node: Node, actors: int, cuda: bool) -> tuple[float, float]:
    """Equal shares of a node's processors and cards: whole ones, or what Ray can count (1/10,000)."""
    share = node.processors / max(actors, 1)
    processors = float(math.floor(share)) if share >= 1 else math.floor(share * 1e4) / 1e4
    if not cuda:
        return processors, 0.0
    per_card = math.ceil(actors / node.cards)  # an actor cannot straddle two cards
    return processors, math.floor(1e4 / per_card) / 1e4


def _where(node: Node) -> str:
    return f"node {node.name[:8]}" if node.name else "this machine"


def _crosspoints(parts: Sequence[Part]) -> int:
    """Crosspoints of an actor's tiles."""
    return sum(math.prod(spec.tiles[block].shape) for _, spec, blocks in parts for block in blocks)


def _bytes_on_card(parts: Sequence[Part]) -> int:
    """What the state of an actor's tiles takes of a card."""
    return sum(_crosspoints([part]) * _card_bytes(part[1].rpu_config.device) for part in parts)


def _card_bytes(device: Any) -> int:
    """What a crosspoint takes of a card."""
    anew = isinstance(device, PulsedDevice) and formula_text(device, changes=True) is not None
    return DRAWN_CROSSPOINT_BYTES if anew else CARD_CROSSPOINT_BYTES


def _require_card(node: Node, hosted: Sequence[Sequence[Part]]) -> None:
    """The fullest card, of actors dealt out evenly, has room for their contexts and tiles."""
    per_card = math.ceil(len(hosted) / node.cards)
    tile_bytes = sum(sorted(map(_bytes_on_card, hosted), reverse=True)[:per_card])
    needed = per_card * CONTEXT_BYTES + tile_bytes
    if needed <= node.card_bytes:
        return
    fit = max(0, (node.card_bytes - tile_bytes) // CONTEXT_BYTES)
    way_out = (
        f"at most {fit} actors fit on a card; pack tiles with tiles_per_actor='auto'"
        if fit
        else f"its tiles alone take {tile_bytes >> 20} MB; emulate fewer layers, or use more cards"
    )
    raise ConfigError(
        f"{per_card} tile actors on a card of {_where(node)} need about {needed >> 20} MB of it, "
        f"{node.card_bytes >> 20} are there; {way_out}"
    )


def _require(node: Node, actors: int, tile_bytes: int, actor_bytes: int) -> None:
    """A node bears so many actors and has room for them and their tiles."""
    where = _where(node)
    most = int(node.processors * ACTORS_PER_PROCESSOR)
    if actors > most:
        raise ConfigError(
            f"{actors} tile actors on the {node.processors:g} processors of {where} are too many: "
            f"at most {most} actors fit; pack tiles with tiles_per_actor='auto'"
        )
    needed = actors * actor_bytes + tile_bytes
    if needed <= node.free_bytes:
        return
    fit = max(0, (node.free_bytes - tile_bytes) // actor_bytes)
    way_out = (
        f"at most {fit} actors fit; pack tiles with tiles_per_actor='auto'"
        if fit
        else f"the tiles alone take {tile_bytes >> 20} MB; emulate fewer layers, or use a larger machine"
    )
    raise ConfigError(
        f"{actors} tile actors need about {needed >> 20} MB, "
        f"{node.free_bytes >> 20} are free on {where}; {way_out}"
    )
