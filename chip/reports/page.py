"""One self-contained page: floor plan of every chip, bars by part, layers, strategies side by side."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost.traffic import traffic_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan

if TYPE_CHECKING:
    from .report import Report

#: tiles that a page draws at most; whole chips beyond are left out, and the page says so
DRAWN_TILES = 40_000
#: blocks that a page describes at most
DRAWN_BLOCKS = 120_000


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
    loads = traffic_of(plan, chip).loads
    traffic = (loads.sent + loads.taken).ravel()[used]
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
    }


def _drawn_tiles(plan: MappingPlan, limit: int) -> tuple[np.ndarray, list[int]]:
    """The used tiles of as many whole chips as the limit allows, at least of one."""
    size = plan.grid[0] * plan.grid[1]
    chip = plan.used_tiles // size
    keep = int(np.searchsorted(chip, max(1, limit // size), side="left")) if len(chip) else 0
    used = plan.used_tiles[: max(keep, 1)]
    return used, np.unique(used // size).tolist()
