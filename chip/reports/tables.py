"""Tables of a plan for the terminal, and its layers as plain rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost.digital import DigitalCost
from ..plan.digital import DigitalWork, merged
from ..plan.plan import MappingPlan
from .names import Name, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: rows of a table in the terminal above which layers that differ in their numbers alone are one row
MOST_ROWS = 120
#: rows of digital work that the terminal shows
DIGITAL_ROWS = 12
#: headings of columns that hold words
TEXTS = frozenset({"layer", "module", "kind", "from", "to", "why", "device"})


def console() -> Console:
    """The terminal, to which the names of a user's layers are no markup; what is piped into a file is not cut
    to 80 columns."""
    from rich.console import Console

    plain = Console(markup=False)
    return plain if plain.is_terminal else Console(markup=False, width=160)


def folded(rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Rows with how many each stands for: of many, those that differ in the numbers of their names alone are
    one row."""
    if len(rows) <= MOST_ROWS:
        return [(row, 1) for row in rows]
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        name = re.sub(r"\d+", "*", row["name"])
        sizes = tuple(row.get(key) for key in ("out", "in", "tiles", "copies", "reuse", "kind"))
        found.setdefault((name, *sizes), [row, 0])[1] += 1
    return [(row if n == 1 else {**row, "name": key[0]}, n) for key, (row, n) in found.items()]


def bars(title: str, parts: Mapping[str, float], unit: str) -> str:
    """Parts as bars, largest first."""
    total = sum(parts.values())
    if not total:
        return f"{title}: not described"
    lines = [f"{title}: {total:,.4g} {unit}"]
    for name, value in sorted(parts.items(), key=lambda item: -item[1]):
        if value > 0:
            bar = "█" * max(1, round(30 * value / total))
            lines.append(f"  {shortened(name, 24):<24} {bar:<30} {value / total:6.1%}")
    return "\n".join(lines)


def layer_rows(plan: MappingPlan) -> list[dict[str, object]]:
    """For each layer: name, out, in, tiles, reuse, copies and utilization of its tiles' cells."""
    weights = np.bincount(plan.table["layer"], plan.block_weights, minlength=len(plan.layers))
    first = plan.table["tile"][[rows.start for rows in plan.layer_rows]]
    cells = np.broadcast_to(plan.cells_of(first), len(plan.layers)).tolist()
    return [
        {
            "name": layer.name,
            "out": layer.out,
            "in": layer.in_,
            "tiles": int(plan.layer_tiles[k]),
            "reuse": layer.reuse,
            "copies": int(plan.copies[k]),
            "utilization": float(weights[k] / (plan.layer_tiles[k] * cells[k])),
            **({"kind": plan.kinds[int(plan.layer_kind[k])].name} if plan.kinds else {}),
        }
        for k, layer in enumerate(plan.layers)
    ]


def kind_rows(plan: MappingPlan) -> list[dict[str, object]]:
    """For each kind of tile: its name, how many weights one has room for, the tiles that there are and that
    are used, how full these are, and the layers on them."""
    kind = plan.kind_of(plan.used_tiles)
    rows = []
    for number, of in enumerate(plan.kinds):
        fill = plan.tile_fill[kind == number]
        on = np.flatnonzero(plan.layer_kind == number).tolist()
        rows.append({
            "name": of.name, "tile_out": of.tile_out, "tile_in": of.tile_in,
            "tiles_available": plan.chips * of.tiles, "tiles_used": len(fill),
            "utilization": float(fill.mean()) if len(fill) else 0.0,
            "layers": [plan.layers[k].name for k in on],
        })  # fmt: skip
    return rows


def kind_table(plan: MappingPlan) -> Table | None:
    """The kinds of a plan's tiles for the terminal; None where they are all alike."""
    if not plan.kinds:
        return None
    table = layer_table("kinds of tiles", "kind", "outputs x inputs", "tiles used", "full", "layers")
    for of in kind_rows(plan):
        table.add_row(
            Name(str(of["name"])), f"{of['tile_out']} x {of['tile_in']}",
            f"{of['tiles_used']} of {of['tiles_available']}", f"{of['utilization']:.1%}",
            str(len(of["layers"])),  # type: ignore[arg-type]
        )  # fmt: skip
    return table


def layer_table(title: str, *headings: str) -> Table:
    """A table whose rows are named, without lines between its columns: they leave long names some room."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading in TEXTS else "right")
    return table


def mapping_table(plan: MappingPlan, reuse_known: bool = True) -> Table:
    """A table for the terminal: which layer on which tiles, and how full they are.

    What all layers have alike (one copy, a reuse that is not known) has no column.
    """
    title = (
        f"{plan.chip}, {plan.strategy}: {plan.tiles_used} of {plan.tiles_available} tiles, "
        f"{plan.utilization:.1%} of their cells"
    )
    rows = layer_rows(plan)
    for row, at in zip(rows, plan.layer_rows, strict=True):
        tiles = plan.table["tile"][at]
        row["from"], row["to"] = str(plan.address(tiles.min())), str(plan.address(tiles.max()))
        row["full"] = f"{row['utilization']:.1%}"
    counts = ["in", "out", "tiles", "copies", "reuse", "full", *(["kind"] if plan.kinds else [])]
    if not reuse_known:
        counts.remove("reuse")
    if plan.copies.max(initial=1) == 1:
        counts.remove("copies")
    table = layer_table(title, "layer", *counts, "from", "to")
    for row, count in folded(rows):
        name = Name(str(row["name"]), f" ({count} alike)" if count > 1 else "")
        last = str(row["to"]) if count == 1 else "…"
        table.add_row(name, *(str(row[key]) for key in counts), str(row["from"]), last)
    return table


def digital_table(works: Sequence[DigitalWork], cost: DigitalCost, share: float) -> Table | None:
    """What stays digital, the most multiplications first; None where everything is on tiles."""
    if not works:
        return None
    counted = (
        f"{cost.macs:,.0f} multiplications ({share:.1%} of all), {cost.bytes:,.0f} bytes; a digital unit "
        f"would take about {cost.energy_pj / 1e6:,.4g} µJ and {cost.time_ns / 1e3:,.4g} µs more"
    )
    if cost.unknown:
        counted = "how much, and which functions the model calls, an example input would tell"
    table = layer_table(
        f"stays digital: {counted}",
        "module", "kind", "multiplications", "other operations", "values", "weights",
    )  # fmt: skip
    ranked = sorted(_alike(works), key=lambda work: -(work.macs or 0.0) - 1e-6 * (work.operations or 0.0))
    for work in ranked[:DIGITAL_ROWS]:
        counts = (
            "?" if count is None else f"{count:,.0f}" for count in (work.macs, work.operations, work.values)
        )
        table.add_row(Name(work.name or "(the model)"), work.kind, *counts, f"{work.weights:,}")
    if len(ranked) > DIGITAL_ROWS:
        table.add_row(f"and {len(ranked) - DIGITAL_ROWS} more", "", "", "", "", "")
    return table


def _alike(works: Sequence[DigitalWork]) -> tuple[DigitalWork, ...]:
    """Of many entries those that differ in the numbers of their names alone, added up."""
    if len(works) <= DIGITAL_ROWS:
        return tuple(works)
    return merged(replace(work, name=re.sub(r"\d+", "*", work.name)) for work in works)
