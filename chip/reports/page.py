"""One self-contained page: floor plan of every chip, bars by part, layers, strategies side by side."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost.traffic import Traffic, traffic_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan
from ..schedule.gantt import bars as gantt_bars

if TYPE_CHECKING:
    from .report import Report

#: tiles that a page draws at most; whole chips beyond are left out, and the page says so
DRAWN_TILES = 40_000
#: blocks that a page describes at most
DRAWN_BLOCKS = 120_000
#: links that a page lists
FULLEST = 12
#: programmings that a chart marks at most
FEW = 2000


def write_page(path: str | Path, reports: Sequence[Report]) -> Path:
    """Write the page of ``reports`` to ``path``."""
    Path(path).write_text(page(reports), encoding="utf-8")
    return Path(path)


def page(reports: Sequence[Report]) -> str:
    """The page of ``reports``, the first shown first. It loads nothing from anywhere."""
    tiles, blocks = DRAWN_TILES // max(1, len(reports)), DRAWN_BLOCKS // max(1, len(reports))
    data = [
        {
            **report.as_dict(),
            "floor": floor_data(report.plan, report.chip, tiles, blocks),
            "chart": chart_data(report),
        }
        for report in reports
    ]
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    # a layer's name could hold "</script>": the page reads the data as text of an element
    return template.replace("__DATA__", json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def notebook_html(report: Report) -> str:
    """The page in a frame, as notebooks show it."""
    source = html.escape(page([report]), quote=True)
    style = "width:100%;height:900px;border:0"
    return f'<iframe srcdoc="{source}" style="{style}" title="crossgrid report"></iframe>'


def floor_data(
    plan: MappingPlan, chip: Chip, tiles: int = DRAWN_TILES, blocks: int = DRAWN_BLOCKS
) -> dict[str, Any]:
    """What the page needs to draw the tiles: arrays over used tiles, and blocks by tile."""
    used, chips = _drawn_tiles(plan, tiles)
    order = np.argsort(plan.table["tile"], kind="stable")
    order = order[: np.searchsorted(plan.table["tile"][order], used[-1], side="right")][:blocks]
    held = plan.table["tile"][order]
    start = np.append(np.searchsorted(held, used), len(held))
    found = traffic_of(plan, chip)
    traffic = (found.loads.sent + found.loads.taken).ravel()[used]
    layer = plan.table["layer"][order[np.minimum(start[:-1], len(order) - 1)]]
    keys = ("layer", "out_start", "out_stop", "in_start", "in_stop", "copy", "round")
    return {
        "grid": list(plan.grid),
        "chips": chips,
        "tile": used.tolist(),
        "fill": np.round(plan.tile_fill[: len(used)], 4).tolist(),
        "layer": layer.tolist(),
        "traffic": np.round(traffic).tolist(),
        "top": [float(traffic.max(initial=0.0))],
        "start": start.tolist(),
        "blocks": np.stack([plan.table[key][order] for key in keys], axis=1).tolist(),
        "left_out": int(plan.tiles_used - len(used)),
        "links": _drawn_links(found, chips),
        **({"kind_of_place": chip.kind_of(np.arange(chip.tiles)).tolist()} if plan.kinds else {}),
        "fullest": _fullest(found),
        "link_bits_per_ns": found.network.bits_per_ns,
    }


def chart_data(report: Report) -> dict[str, Any] | None:
    """A schedule's Gantt chart: bars of line, input, begin and end in ns, the layers of the lines, and when
    tiles are programmed."""
    if report.schedule is None:
        return None
    found, (bars, lines) = report.schedule, gantt_bars(report.schedule)
    opened = found.programmed_ns.ravel()[:FEW]
    return {
        "bars": [[int(line), int(each), begin, end] for line, each, begin, end in np.round(bars, 3).tolist()],
        "lines": lines.tolist(),
        "programmed": [[each - found.program_ns, each] for each in opened.tolist()],
    }


def _drawn_links(traffic: Traffic, chips: list[int]) -> list[list[int]]:
    """For each link of a mesh that carries something: tile, direction (east, west, south, north) and bits."""
    fabric = traffic.network.tiles
    if fabric.kind == "h-tree":  # has no links between neighbours
        return []
    size = fabric.rows * fabric.columns
    loads = traffic.loads.links.reshape(-1, 4, size)[chips]
    chip, way, tile = np.nonzero(loads)
    numbers = np.array(chips)[chip] * size + tile
    return np.stack([numbers, way, np.round(loads[chip, way, tile])], axis=1).astype(np.int64).tolist()


def _fullest(traffic: Traffic) -> list[dict[str, Any]]:
    """The links and ports that take most time, with what they take."""
    network, loads = traffic.network, traffic.loads
    kinds = (
        ("link", loads.links, network.bits_per_ns), ("sent", loads.sent, network.bits_per_ns),
        ("taken", loads.taken, network.bits_per_ns), ("crossing", loads.crossings, network.chip_bits_per_ns),
        ("entered", loads.entered, network.chip_bits_per_ns),
    )  # fmt: skip
    found: list[tuple[float, float, str]] = []
    for kind, bits, rate in kinds:
        flat = bits.ravel()
        for where in np.argsort(-flat, kind="stable")[:FULLEST].tolist():
            if flat[where] > 0:
                name = network.name_of(kind, where, loads.first)
                found.append((float(flat[where]) / rate, float(flat[where]), name))
    found.sort(key=lambda entry: -entry[0])
    return [{"name": name, "bits": bits, "ns": ns} for ns, bits, name in found[:FULLEST]]


def _drawn_tiles(plan: MappingPlan, limit: int) -> tuple[np.ndarray, list[int]]:
    """The used tiles of as many whole chips as the limit allows, at least of one."""
    size = plan.grid[0] * plan.grid[1]
    chip = plan.used_tiles // size
    keep = int(np.searchsorted(chip, max(1, limit // size), side="left")) if len(chip) else 0
    used = plan.used_tiles[: max(keep, 1)]
    return used, np.unique(used // size).tolist()
