"""What a schedule's events are made of: a plan's rows, who reads them, tiles, links and buffers as arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..cost.events import of_layers, program_ns, read_ns, stages_ns
from ..cost.messages import values_in
from ..cost.traffic import Traffic
from ..description.spec import Chip
from ..plan.graph import join_numbers, serial_steps, source_numbers
from ..plan.layer_shape import LayerShape
from ..plan.plan import MappingPlan
from ..plan.way import needed_rows
from .events import JOINS, JOINS_STEP, READS, Work
from .links import FollowedLinks


class Tiles(NamedTuple):
    """Every pair of a layer and a tile that holds blocks of it in a round."""

    layer: np.ndarray
    tile: np.ndarray
    round: np.ndarray
    vector_ns: np.ndarray  # of one vector of the layer
    busy_ns: np.ndarray  # of one input, on average
    held: np.ndarray  # the part of the layer's inputs that the tile needs


class Edge(NamedTuple):
    """Rows of one layer that another one reads, or that join its outputs."""

    source: int
    reader: int
    kind: int
    needed: np.ndarray  # for each row of the reader how many rows of the source must be out
    freed: np.ndarray  # ... and how many it needs no longer when it is done
    size: float  # bytes of a row
    late: bool  # from the step before


def tiles_of(plan: MappingPlan, chip: Chip) -> Tiles:
    """What each tile does for each of its layers."""
    table = plan.table
    block_ns = np.broadcast_to(read_ns(plan, chip), len(plan))
    slot = table["tile"].astype(np.int64) * plan.rounds + table["round"]
    key = table["layer"].astype(np.int64) * plan.tiles_available * plan.rounds + slot
    keys, first, where = np.unique(key, return_index=True, return_inverse=True)
    layer = table["layer"][first].astype(np.int64)
    vector_ns = np.bincount(where, block_ns, minlength=len(keys))
    lines = np.bincount(where, table["in_stop"] - table["in_start"], minlength=len(keys))
    inputs = np.array([shape.in_ for shape in plan.layers])[layer]
    held = np.minimum(lines / inputs, 1.0) / plan.copies[layer]
    active = np.array([shape.activity for shape in plan.layers])
    busy_ns = (_vectors(plan) * active)[layer] * vector_ns
    return Tiles(layer, table["tile"][first], table["round"][first], vector_ns, busy_ns, held)


def _vectors(plan: MappingPlan) -> np.ndarray:
    """Of each layer the vectors of one input that a copy takes, over all steps."""
    steps = np.array(serial_steps(plan.layers))
    reuse = np.array([layer.reuse for layer in plan.layers])
    vectors: np.ndarray = steps * np.ceil(reuse / steps / plan.copies)
    return vectors


def edges_of(plan: MappingPlan, chip: Chip) -> list[Edge]:
    """Who reads whom, sorted by reader. What comes from outside is there when its input arrives; an edge to
    an earlier round, which no pass through the tiles serves, is left out."""
    layers, steps = plan.layers, serial_steps(plan.layers)
    sources, joins = source_numbers(layers), join_numbers(layers)
    loops, rounds = _loops(sources), [plan.table["round"][rows] for rows in plan.layer_rows]
    found = []
    for k, layer in enumerate(layers):
        for j, part in zip(sources[k], layer.shares, strict=True):
            if j < 0 or (j >= k and rounds[j].max() > rounds[k].min()):
                continue
            share = part[1] - part[0] if layer.concatenated else 1.0 / len(sources[k])
            size = values_in(layer) * share * chip.output_bits / 8 / layers[j].rows
            if j >= k or (steps[k] > 1 and loops[j] == loops[k]):
                needed, freed = _in_steps(layer.rows, steps[k], layers[j].rows, late=j >= k)
            else:
                needed = needed_rows(layer, layer.rows, layers[j].rows) + 1
                freed = _freed_rows(layer, layers[j].rows)
            found.append(Edge(j, k, READS, needed, np.minimum(freed, needed), size, j >= k))
        kind = JOINS_STEP if steps[k] > 1 else JOINS
        for j, values in (join for join in joins[k] if 0 <= join[0] < k):
            met = _share_of(layers[j].rows, np.arange(1, layer.rows + 1) / layer.rows)
            size = values * layer.activity * chip.output_bits / 8 / layers[j].rows
            found.append(Edge(j, k, kind, met, met, size, False))
    return found


def _loops(sources: Sequence[Sequence[int]]) -> np.ndarray:
    """For each layer the number of the loop that it is in; alone in one where it is in none."""
    pairs = [(k, j) for k, row in enumerate(sources) for j in row if j >= 0]
    reader, source = np.array(pairs, np.int64).reshape(-1, 2).T
    edges = coo_array((np.ones(len(pairs)), (reader, source)), shape=(len(sources), len(sources)))
    numbers: np.ndarray = connected_components(edges.tocsr(), connection="strong")[1]
    return numbers


def _share_of(rows: int, shares: np.ndarray) -> np.ndarray:
    """How many of ``rows`` rows hold the first ``shares`` of all."""
    counts: np.ndarray = np.clip(np.ceil(shares * rows - 1e-9).astype(np.int64), 0, rows)
    return counts


def _in_steps(rows: int, steps: int, given: int, late: bool) -> tuple[np.ndarray, np.ndarray]:
    """In a loop: a row needs its source's rows of its own step, or where the source is later of the step
    before."""
    row = np.arange(rows)
    if rows < steps:  # a row is several steps
        before, upto = row / rows, (row + 1) / rows
    else:
        step = np.floor(row * steps / rows + 1e-9)
        before, upto = step / steps, (step + 1) / steps
    if late:
        needed = np.floor(before * given + 1e-9).astype(np.int64)
        return needed, needed
    return _share_of(given, upto), _share_of(given, np.minimum((row + 1) / rows, upto))


def _freed_rows(layer: LayerShape, given: int) -> np.ndarray:
    """For each row of ``layer`` how many of a source's rows it needs no longer when it is done: those above
    the window of its next row, or its own share; all after its last."""
    shape, rows = layer.convolution, layer.rows
    row = np.arange(1, rows + 1)
    if shape is None:
        return np.floor(row / rows * given + 1e-9).astype(np.int64)
    window = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    beyond = (shape.size_out[0] - 1) * shape.stride[0] + window - shape.size_in[0]
    border = (max(beyond, 0) + 1) // 2
    top = np.clip(np.floor(row * shape.size_out[0] / rows) * shape.stride[0] - border, 0, shape.size_in[0])
    freed: np.ndarray = np.floor(top / shape.size_in[0] * given + 1e-9).astype(np.int64)
    freed[-1] = given
    return freed


class _Part(NamedTuple):
    layer: int
    round: int
    vector_ns: float
    station: int


def _parts(tiles: Tiles) -> list[_Part]:
    """Tiles that hold the same layers in a round work alike and are one station. Of those that one layer has
    to itself the slowest stands for all."""
    slots, slot = np.unique(np.stack([tiles.round, tiles.tile]), axis=1, return_inverse=True)
    alone = np.bincount(slot.ravel(), minlength=slots.shape[1])[slot.ravel()] == 1
    slowest: dict[tuple[int, int], float] = {}
    shared: dict[int, list[tuple[int, int, float]]] = {}
    columns = (tiles.layer.tolist(), tiles.round.tolist(), tiles.vector_ns.tolist(), slot.ravel().tolist())
    for k, turn, ns, where, single in zip(*columns, alone.tolist(), strict=True):
        if single:
            slowest[k, turn] = max(slowest.get((k, turn), 0.0), ns)
        else:
            shared.setdefault(where, []).append((k, turn, ns))
    alike = sorted({tuple(sorted(held)) for held in shared.values()})
    parts = [_Part(k, turn, ns, number) for number, ((k, turn), ns) in enumerate(sorted(slowest.items()))]
    for number, held in enumerate(alike, start=len(slowest)):
        parts += [_Part(k, turn, ns, number) for k, turn, ns in held]
    return sorted(parts)


def _paces(plan: MappingPlan, chip: Chip, traffic: Traffic, parts: list[_Part]) -> np.ndarray:
    """For each part: from a row's beginning to that of the next, what an input's last row takes, and from a
    row's beginning until it is there, [P, 3], ns."""
    steps, vectors = serial_steps(plan.layers), _vectors(plan)
    stages = of_layers(plan, chip, stages_ns)
    found = []
    for part in parts:
        layer = plan.layers[part.layer]
        full = float(vectors[part.layer]) * part.vector_ns
        busy, after = full * layer.activity, float(stages[part.layer]) + float(traffic.way_ns[part.layer])
        often = steps[part.layer]
        if often > 1:  # step after step: what follows an array is waited for
            row = busy / layer.rows
            found.append((row, row, row + after * often / min(layer.rows, often)))
            continue
        each = max(busy / layer.rows, min(part.vector_ns, full))
        apart = max((busy - each) / max(layer.rows - 1, 1), 0.0)
        found.append((apart, max(busy - (layer.rows - 1) * apart, 0.0), each + after))
    return np.array(found).reshape(-1, 3)


def _runs(owners: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Where the run of each of ``count`` owners begins in a sorted list of owners, and where the last
    ends."""
    return np.searchsorted(np.asarray(owners, np.int64), np.arange(count + 1))


def work_of(
    plan: MappingPlan, chip: Chip, traffic: Traffic, links: FollowedLinks, tiles: Tiles, edges: list[Edge],
    room: np.ndarray, inputs: int, every_ns: float,
) -> Work:  # fmt: skip
    """The arrays of a schedule of ``inputs`` inputs. ``room`` has the bytes that each edge has room for."""
    count = len(plan.layers)
    rows = np.array([layer.rows for layer in plan.layers], np.int64)
    parts = _parts(tiles)
    paces = _paces(plan, chip, traffic, parts)
    station = np.array([part.station for part in parts], np.int64)
    by_station = np.argsort(station, kind="stable")
    by_source = np.argsort([edge.source for edge in edges], kind="stable")
    lengths = [len(edge.needed) for edge in edges]
    part_start = _runs([part.layer for part in parts], count)
    load = paces[:, 0] * (rows[[part.layer for part in parts]] - 1) + paces[:, 1]
    main = [start + int(np.argmax(load[start:stop])) for start, stop in itertools.pairwise(part_start)]
    nothing = [np.zeros(0, np.int64)]
    programmed = program_ns(plan, chip) if plan.rounds > 1 else 0.0
    return Work(
        inputs=inputs,
        batch=plan.batch,
        rounds=plan.rounds,
        every_ns=float(every_ns),
        program_ns=float(programmed),
        size=int(rows.sum()),
        rows=rows,
        base=np.cumsum(rows) - rows,
        edge_start=_runs([edge.reader for edge in edges], count),
        edge_source=np.array([edge.source for edge in edges], np.int64),
        edge_reader=np.array([edge.reader for edge in edges], np.int64),
        edge_kind=np.array([edge.kind for edge in edges], np.int64),
        edge_size=np.array([edge.size for edge in edges], np.float64),
        edge_room=room,
        edge_at=np.cumsum(lengths, dtype=np.int64) - np.array(lengths, np.int64),
        needed=np.concatenate([edge.needed for edge in edges] or nothing).astype(np.int64),
        freed=np.concatenate([edge.freed for edge in edges] or nothing).astype(np.int64),
        given_start=_runs([edges[e].source for e in by_source], count),
        given_edge=by_source.astype(np.int64),
        part_start=part_start,
        part_layer=np.array([part.layer for part in parts], np.int64),
        part_station=station,
        part_apart_ns=np.ascontiguousarray(paces[:, 0]),
        part_last_ns=np.ascontiguousarray(paces[:, 1]),
        part_each_ns=np.ascontiguousarray(paces[:, 2]),
        part_round=np.array([part.round for part in parts], np.int64),
        part_main=np.array(main, np.int64),
        station_start=_runs(station[by_station], int(station.max(initial=-1)) + 1),
        station_part=by_station.astype(np.int64),
        link_start=_runs(links.layer, count),
        link_number=links.link,
        link_ns=links.ns / rows[links.layer] if len(links.ns) else links.ns,
    )


def room_of(plan: MappingPlan, tiles: Tiles, edges: list[Edge], buffer_bytes: float | None) -> np.ndarray:
    """Bytes that each edge has room for, where each tile's buffer holds ``buffer_bytes``: layers of one tile
    share it equally, what a layer reads and what joins it in proportion to what an input has of each."""
    room = np.full(len(edges), math.inf)
    if buffer_bytes is None:
        return room
    sharing = np.bincount(tiles.tile)[tiles.tile]
    each = np.full(len(plan.layers), math.inf)
    np.minimum.at(each, tiles.layer, buffer_bytes / sharing / np.maximum(tiles.held, 1e-12))
    whole = np.zeros(len(plan.layers))
    for edge in edges:
        whole[edge.reader] += 0.0 if edge.late else edge.size * plan.layers[edge.source].rows
    for e, edge in enumerate(edges):
        if not edge.late and whole[edge.reader]:
            share = edge.size * plan.layers[edge.source].rows / whole[edge.reader]
            room[e] = each[edge.reader] * share * (1 + 1e-9)
    return room
