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

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: rows of a table in the terminal above which layers that differ in their numbers alone are one row
MOST_ROWS = 120
#: rows of digital work that the terminal shows
DIGITAL_ROWS = 12
NAME_WIDTH = 48


def console() -> Console:
    """The terminal; what is piped into a file is not cut to 80 columns."""
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


def shortened(name: str, width: int = NAME_WIDTH) -> str:
    """``name`` with its middle left out where it is longer: what differs stands at its ends."""
    if len(name) <= width:
        return name
    left = (width - 1) // 3
    return f"{name[:left]}…{name[left + 1 - width :]}"


def folded(rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Rows with how many each stands for: of many, those that differ in the numbers of their names alone are
    one row."""
    if len(rows) <= MOST_ROWS:
        return [(row, 1) for row in rows]
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        name = re.sub(r"\d+", "*", row["name"])
        sizes = tuple(row[key] for key in ("out", "in", "tiles", "copies", "reuse"))
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
            lines.append(
                f"  {name:<24.24} {'█' * max(1, round(30 * value / total)):<30} {value / total:6.1%}"
            )
    return "\n".join(lines)


def layer_rows(plan: MappingPlan) -> list[dict[str, object]]:
    """For each layer: name, out, in, tiles, reuse, copies and utilization of its tiles' cells."""
    weights = np.bincount(plan.table["layer"], plan.block_weights, minlength=len(plan.layers))
    cells = plan.tile_out * plan.tile_in
    return [
        {
            "name": layer.name,
            "out": layer.out,
            "in": layer.in_,
            "tiles": int(plan.layer_tiles[k]),
            "reuse": layer.reuse,
            "copies": int(plan.copies[k]),
            "utilization": float(weights[k] / (plan.layer_tiles[k] * cells)),
        }
        for k, layer in enumerate(plan.layers)
    ]


def mapping_table(plan: MappingPlan, reuse_known: bool = True) -> Table:
    """A table for the terminal: which layer on which tiles, and how full they are."""
    from rich.table import Table

    title = (
        f"{plan.chip}, {plan.strategy}: {plan.tiles_used} of {plan.tiles_available} tiles, "
        f"{plan.utilization:.1%} of their cells"
    )
    table = Table(title=title, title_justify="left")
    for column in (
        "layer",
        "rows (in)",
        "columns (out)",
        "tiles",
        "copies",
        "reuse",
        "utilization",
        "from",
        "to",
    ):
        table.add_column(column, justify="left" if column in ("layer", "from", "to") else "right")
    rows = layer_rows(plan)
    for row, at in zip(rows, plan.layer_rows, strict=True):
        tiles = plan.table["tile"][at]
        row["from"], row["to"] = str(plan.address(tiles.min())), str(plan.address(tiles.max()))
    for row, count in folded(rows):
        name = shortened(str(row["name"])) + (f" ({count} alike)" if count > 1 else "")
        table.add_row(
            name, str(row["in"]), str(row["out"]), str(row["tiles"]), str(row["copies"]),
            str(row["reuse"]) if reuse_known else "–", f"{row['utilization']:.1%}",
            str(row["from"]), str(row["to"]) if count == 1 else "…",
        )  # fmt: skip
    return table


def digital_table(works: Sequence[DigitalWork], cost: DigitalCost, share: float) -> Table | None:
    """What stays digital, the most multiplications first; None where everything is on tiles."""
    from rich.table import Table

    if not works:
        return None
    counted = (
        f"{cost.macs:,.0f} multiplications ({share:.1%} of all), {cost.bytes:,.0f} bytes; a digital unit "
        f"would take about {cost.energy_pj / 1e6:,.4g} µJ and {cost.time_ns / 1e3:,.4g} µs more"
    )
    if cost.unknown:
        counted = "how much, and which functions the model calls, an example input would tell"
    table = Table(title=f"stays digital: {counted}", title_justify="left")
    for column in ("module", "kind", "multiplications", "other operations", "values", "weights"):
        table.add_column(column, justify="left" if column in ("module", "kind") else "right")
    ranked = sorted(_alike(works), key=lambda work: -(work.macs or 0.0) - 1e-6 * (work.operations or 0.0))
    for work in ranked[:DIGITAL_ROWS]:
        counts = (
            "?" if count is None else f"{count:,.0f}" for count in (work.macs, work.operations, work.values)
        )
        table.add_row(shortened(work.name) or "(the model)", work.kind, *counts, f"{work.weights:,}")
    if len(ranked) > DIGITAL_ROWS:
        table.add_row(f"and {len(ranked) - DIGITAL_ROWS} more", "", "", "", "", "")
    return table


def _alike(works: Sequence[DigitalWork]) -> tuple[DigitalWork, ...]:
    """Of many entries those that differ in the numbers of their names alone, added up."""
    if len(works) <= DIGITAL_ROWS:
        return tuple(works)
    return merged(replace(work, name=re.sub(r"\d+", "*", work.name)) for work in works)
