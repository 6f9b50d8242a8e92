"""A summary as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from crossgrid.chip.reports.names import Name, shortened
from crossgrid.chip.reports.tables import layer_table

from .rows import AnalogRow, DigitalRow

if TYPE_CHECKING:
    from .summary import AnalogSummary

#: layers above which those that differ in the numbers of their names alone are one row, and digital modules
MOST_ROWS, MOST_DIGITAL = 24, 8
WIDTH = 80
KIND_WIDTH = 18

HEADINGS = {
    "analog": ("layer", "out", "in", "tiles", "weights", "products", "range used"),
    "digital": ("module", "kind", "weights", "products", "why"),
}

#: columns of words; the others hold numbers, which stand at the right
WORDS = ("layer", "module", "kind", "why")


def text_of(summary: AnalogSummary) -> str:
    """The summary in lines of at most 80 characters."""
    console = Console(
        width=WIDTH, record=True, file=io.StringIO(), markup=False, highlight=False, emoji=False
    )
    console.print(Text(f"{summary.model}: {summary.line.partition(';')[0]}"))
    for title, kind, rows in _tables(summary):
        table = layer_table("", *HEADINGS[kind])
        names = {_cells(row)[0] for row, _ in rows}
        for row, count in rows:
            name, *cells = _cells(row)
            if isinstance(row, DigitalRow):
                cells[0] = shortened(cells[0], KIND_WIDTH)
            table.add_row(Name(name, _times(count), names), *cells)
        console.print()
        console.print(Text(title))
        console.print(table)
    for advice in summary.warnings:
        console.print()
        console.print(Text(f"warning: {advice}"))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def html_of(summary: AnalogSummary) -> str:
    """The summary as tables that a notebook shows; full names stand in the cells' titles."""
    parts = [f"<p><b>{html.escape(summary.model)}</b>: {html.escape(summary.line.partition(';')[0])}</p>"]
    for title, kind, rows in _tables(summary):
        head = "".join(f"<th{_side(heading)}>{html.escape(heading)}</th>" for heading in HEADINGS[kind])
        body = "".join(f"<tr>{_html_row(row, count)}</tr>" for row, count in rows)
        parts.append(
            f"<p>{html.escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    parts += [f"<p>&#9888; {html.escape(str(advice))}</p>" for advice in summary.warnings]
    return f'<div class="crossgrid-summary" style="overflow-x: auto">{"".join(parts)}</div>'


def _html_row(row: Any, count: int) -> str:
    name, *cells = _cells(row)
    shown = html.escape(shortened(name)) + _times(count)
    headings = HEADINGS["digital" if isinstance(row, DigitalRow) else "analog"][1:]
    rest = (
        f"<td{_side(heading)}>{html.escape(cell)}</td>" for heading, cell in zip(headings, cells, strict=True)
    )
    return f'<td{_side("layer")} title="{html.escape(name)}">{shown}</td>' + "".join(rest)


def _side(heading: str) -> str:
    """Where a column's cells stand."""
    side = "left" if heading in WORDS else "right"
    return f' style="text-align: {side}; padding: 0.1em 0.6em"'


def _tables(summary: AnalogSummary) -> Iterable[tuple[str, str, list[tuple[Any, int]]]]:
    """Title, kind and folded rows of each table that has any."""
    counted = (
        "for one input" if summary.counted else "of one vector through each layer; count with example_input="
    )
    if summary.analog:
        rows = _folded(summary.analog, lambda row: (row.out, row.in_, row.tiles), MOST_ROWS)
        yield f"on tiles: shares of all weights and products ({counted})", "analog", rows
    if summary.digital:
        ranked = sorted(summary.digital, key=lambda row: (-row.weights, -row.macs))
        yield "digital", "digital", _folded(ranked, lambda row: (row.kind, row.why), MOST_DIGITAL)


def _folded(rows: Sequence[Any], alike: Callable[[Any], tuple[Any, ...]], most: int) -> list[tuple[Any, int]]:
    """Rows with how many each stands for; weights and shares of those are added up."""
    if len(rows) <= most:
        return [(row, 1) for row in rows]
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        found.setdefault((re.sub(r"\d+", "*", row.name), *alike(row)), []).append(row)
    return [(_sum(key[0], group), len(group)) for key, group in found.items()]


def _sum(name: str, group: Sequence[Any]) -> Any:
    if len(group) == 1:
        return group[0]
    totals = {
        field: sum(getattr(row, field) for row in group)
        for field in ("weights", "weights_share", "macs", "macs_share")
    }
    used = [row.range_used for row in group if isinstance(row, AnalogRow) and row.range_used is not None]
    if used:
        totals["range_used"] = min(used)
    return replace(group[0], name=name, **totals)


def _cells(row: Any) -> tuple[str, ...]:
    """What a row shows, its name first."""
    shares = (_share(row.weights_share), _share(row.macs_share))
    if isinstance(row, AnalogRow):
        used = "–" if row.range_used is None else f"{row.range_used:.0%}"
        clipped = f", {row.clipped:.0%} clipped" if row.clipped >= 0.005 else ""
        return row.name, str(row.out), str(row.in_), f"{row.tiles:,}", *shares, used + clipped
    return row.name or "(the model)", row.kind, *shares, row.why


def _share(share: float) -> str:
    return "–" if share == 0.0 else "< 0.1%" if share < 5e-4 else f"{share:.1%}"


def _times(count: int) -> str:
    return f" ×{count}" if count > 1 else ""
