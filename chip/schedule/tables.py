"""A schedule in the terminal: what came out, and of each layer how busy it is and what it waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .bottlenecks import busiest_of_layers
from .events import WAITS

if TYPE_CHECKING:
    from .schedule import Schedule

#: lines of the table at most; those of most stalls are kept
LINES = 40
#: what of a schedule's links is named
FULLEST = 3
#: layers of a tile that are named
MOST_LAYERS = 6


def print_schedule(found: Schedule) -> None:
    """Print it."""
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = 160
    console.print(_summary(found), highlight=False)
    order = sorted(range(len(found.layers)), key=lambda k: -sum(found.layers[k].stalls_ns.values()))
    shown = sorted(order[:LINES])
    left = len(found.layers) - len(shown)
    title = "layers, over the whole stream" + (f" ({left} of fewer stalls left out)" if left else "")
    table = Table(title=title, title_justify="left")
    heads = (
        "layer",
        "begins µs",
        "ends µs",
        "busy",
        "tile",
        *(f"waits for {wait} µs" for wait in WAITS),
        "buffer bytes",
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "layer" else "right")
    tiles = busiest_of_layers(found)
    for layer, (tile, _) in ((found.layers[k], tiles[k]) for k in shown):
        waits = (f"{layer.stalls_ns[wait] / 1e3:,.3f}" for wait in WAITS)
        times = (f"{ns / 1e3:,.3f}" for ns in (layer.begin_ns, layer.end_ns))
        table.add_row(layer.name, *times, f"{layer.busy:.1%}", tile, *waits, f"{layer.buffer_bytes:,.0f}")
    console.print(table)
    console.print(_tiles(found))


def _tiles(found: Schedule) -> Table:
    """The busiest tiles and what they are busy with."""
    left = len(found.tile_busy) - len(found.busiest)
    title = "busiest tiles" + (f" ({left:,} others left out)" if left else "")
    table = Table("tile", "busy", "with", title=title, title_justify="left")
    for load in found.busiest:
        parts = ", ".join(f"{name} {part:.1%}" for name, part in load.layers[:MOST_LAYERS])
        more = len(load.layers) - MOST_LAYERS
        table.add_row(load.tile, f"{load.busy:.1%}", parts + (f" and {more} more" if more > 0 else ""))
    return table


def _summary(found: Schedule) -> str:
    room = "without an end" if found.buffer_bytes is None else f"of {found.buffer_bytes:,.0f} bytes"
    lines = [
        str(found.bound),
        f"{found.inputs} inputs: the first one after {found.latency_ns / 1e3:,.3f} µs, the last after "
        f"{float(found.finished_ns.max()) / 1e3:,.3f} µs; one every {found.interval_ns / 1e3:,.3f} µs",
        f"tiles work {float(found.tile_busy.mean()):.2%} of the time, "
        f"the busiest {float(found.tile_busy.max()):.2%}",
        f"buffers of tiles {room}, the fullest held {float(found.tile_buffer_bytes.max()):,.0f} bytes",
    ]
    for name, busy in sorted(found.links, key=lambda link: -link[1])[:FULLEST]:
        lines.append(f"{name}: full {busy:.1%} of the time")
    if found.programmed_ns.size:
        count = found.programmed_ns.size
        lines.append(f"tiles are programmed {count} times, {found.program_ns / 1e3:,.3f} µs each")
    return "\n".join(lines)
