"""Plans on disk: msgpack with the arrays as raw little-endian bytes; and what two plans differ in."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from crossgrid.kernels.errors import ConfigError, shown

from .digital import DigitalWork
from .layer_shape import Convolution, Join, LayerShape
from .plan import COLUMNS, HOME, MappingPlan, TileKind
from .sound import check_blocks
from .typed import require_typed

FORMAT = "crossgrid plan 7"
MOST_TILES = 2**31 - 1  # a plan numbers tiles in 32 bits
#: fields of a plan that are stored as they are
_PLAIN = (
    "chip", "chip_identity", "tile_out", "tile_in", "chips", "strategy", "strategy_why", "placement", "batch",
)  # fmt: skip


def save_plan(plan: MappingPlan, path: str | Path) -> None:
    """Write ``plan`` to ``path``."""
    head: dict[str, Any] = {key: getattr(plan, key) for key in _PLAIN}
    head["grid"] = list(plan.grid)
    head["layers"] = [dataclasses.asdict(layer) for layer in plan.layers]
    head["digital"] = [dataclasses.asdict(work) for work in plan.digital]
    if plan.kinds:  # a plan of tiles that are all alike says nothing of kinds
        head["kinds"] = [dataclasses.asdict(kind) for kind in plan.kinds]
    columns = {key: plan.table[key].astype("<i4").tobytes() for key in COLUMNS}
    data = {"format": FORMAT, "plan": head, "table": columns, "digest": _digest(head, columns)}
    Path(path).write_bytes(msgpack.packb(data))


def _digest(head: dict[str, Any], columns: dict[str, bytes]) -> bytes:
    """Tells whether a plan is as it was written."""
    return hashlib.blake2b(msgpack.packb([head, columns]), digest_size=16).digest()


def load_plan(path: str | Path) -> MappingPlan:
    """The plan that was saved to ``path``; what is not a whole and sound plan is an error."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"plan '{path}' cannot be read: {error.strerror}") from None
    try:
        data = msgpack.unpackb(raw)
        if data["format"] != FORMAT:
            given = shown(data["format"])
            raise ConfigError(f"plan '{path}' has the format {given}, not '{FORMAT}'; map anew")
        head = data["plan"]
        if data["digest"] != _digest(head, data["table"]):
            raise ConfigError(f"plan '{path}' is damaged: it is not as it was written; map the model anew")
        table = {key: np.frombuffer(data["table"][key], "<i4").astype(np.int32) for key in COLUMNS}
        layers = tuple(_layer(entry) for entry in head["layers"])
        digital = tuple(DigitalWork(**entry) for entry in head["digital"])
        plan = MappingPlan(
            **{key: head[key] for key in _PLAIN}, grid=tuple(head["grid"]), layers=layers, table=table,
            digital=digital, kinds=tuple(TileKind(**entry) for entry in head.get("kinds", ())),
        )  # fmt: skip
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"plan '{path}' is damaged or no plan ({type(error).__name__}: {error!s:.200}); "
            "map the model anew"
        ) from None
    _check_sound(plan, path)
    return plan


def _layer(entry: dict[str, Any]) -> LayerShape:
    geometry = entry.pop("convolution")
    sources = entry.pop("sources")
    if geometry is not None:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in geometry.items()}
        geometry = Convolution(**values)
    joins = tuple(Join(**join) for join in entry.pop("joins"))
    sources = None if sources is None else tuple(sources)
    parts = tuple(entry.pop("concatenated"))
    return LayerShape(**entry, convolution=geometry, sources=sources, joins=joins, concatenated=parts)


def _check_sound(plan: MappingPlan, path: str | Path) -> None:
    require_typed(plan, f"plan '{path}' is damaged", skip=("table",))
    if plan.batch < 1:
        raise ConfigError(f"plan '{path}' is damaged: batch = {plan.batch}; map the model anew")
    if plan.kinds and sum(kind.tiles for kind in plan.kinds) != math.prod(plan.grid):
        raise ConfigError(f"plan '{path}' is damaged: its kinds are not all tiles; map the model anew")
    if math.prod(plan.grid) * plan.chips > MOST_TILES:
        raise ConfigError(f"plan '{path}' is damaged: more than {MOST_TILES} tiles; map the model anew")
    table, count = plan.table, len(plan.layers)
    lengths = {len(column) for column in table.values()}
    limits = {
        "layer": count,
        "tile": plan.tiles_available,
        "out_stop": max((layer.out for layer in plan.layers), default=0) + 1,
        "in_stop": max((layer.in_ for layer in plan.layers), default=0) + 1,
    }
    sound = len(lengths) == 1 and all(column.min(initial=0) >= 0 for column in table.values())
    sound = sound and all(table[key].max(initial=0) < limit for key, limit in limits.items())
    if not sound:
        raise ConfigError(f"plan '{path}' is damaged: blocks outside of layers or tiles; map the model anew")
    check_blocks(plan, f"plan '{path}'")


def diff_plans(before: MappingPlan, after: MappingPlan) -> Iterator[str]:
    """What changed from ``before`` to ``after``, a line each; nothing for equal plans."""
    for key in (*(key for key in _PLAIN if key != "strategy_why"), "grid"):
        if getattr(before, key) != getattr(after, key):
            yield f"{key}: {getattr(before, key)} -> {getattr(after, key)}"
    old = {layer.name: (k, layer) for k, layer in enumerate(before.layers)}
    new = {layer.name: (k, layer) for k, layer in enumerate(after.layers)}
    for name in old:
        if name not in new:
            yield f"layer {name}: removed"
    for name, (k, layer) in new.items():
        if name not in old:
            yield f"layer {name}: added, {layer.out} x {layer.in_} on {after.layer_tiles[k]} tiles"
            continue
        yield from _diff_layer(before, after, old[name][0], k)


def _diff_layer(before: MappingPlan, after: MappingPlan, old: int, new: int) -> Iterator[str]:
    a, b = before.layers[old], after.layers[new]
    if (a.out, a.in_) != (b.out, b.in_):
        yield f"layer {b.name}: {a.out} x {a.in_} -> {b.out} x {b.in_}"
    elif a.reuse != b.reuse:
        yield f"layer {b.name}: {a.reuse} -> {b.reuse} vectors an input"
    kinds = [
        plan.kinds[int(plan.layer_kind[k])].name if plan.kinds else HOME
        for plan, k in ((before, old), (after, new))
    ]
    if kinds[0] != kinds[1]:
        yield f"layer {b.name}: tiles of kind '{kinds[0]}' -> '{kinds[1]}'"
    if before.layer_tiles[old] != after.layer_tiles[new]:
        yield f"layer {b.name}: {before.layer_tiles[old]} -> {after.layer_tiles[new]} tiles"
    if before.copies[old] != after.copies[new]:
        yield f"layer {b.name}: {before.copies[old]} -> {after.copies[new]} copies"
    rows_a = np.flatnonzero(before.table["layer"] == old)
    rows_b = np.flatnonzero(after.table["layer"] == new)
    if len(rows_a) != len(rows_b):
        yield f"layer {b.name}: {len(rows_a)} -> {len(rows_b)} blocks"
        return
    moved = [
        k for k in range(len(rows_a))
        if before.address(before.table["tile"][rows_a[k]]) != after.address(after.table["tile"][rows_b[k]])
    ]  # fmt: skip
    recut = sum(
        any(before.table[key][rows_a[k]] != after.table[key][rows_b[k]] for key in list(COLUMNS)[4:8])
        for k in range(len(rows_a))
    )
    if recut:
        yield f"layer {b.name}: {recut} of {len(rows_a)} blocks are cut differently"
    if moved:
        first = moved[0]
        was = before.address(before.table["tile"][rows_a[first]])
        now = after.address(after.table["tile"][rows_b[first]])
        yield f"layer {b.name}: {len(moved)} of {len(rows_a)} blocks moved, block {first} from {was} to {now}"
