"""Reports of a plan: tables in the terminal, plain data, a floor plan as a picture."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost.cost import Cost, cost_of
from ..description.spec import Chip
from ..plan.plan import MappingPlan
from .page import notebook_html

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Report:
    """A plan with its cost: in the terminal, as plain data, as a page."""

    model: str
    plan: MappingPlan
    chip: Chip
    cost: Cost

    @classmethod
    def of(cls, plan: MappingPlan, chip: Chip, model: str = "model") -> Report:
        """The report of ``plan`` on ``chip``."""
        return cls(model, plan, chip, cost_of(plan, chip))

    def as_dict(self) -> dict[str, object]:
        """What the report says, as plain data."""
        cost, plan = self.cost, self.plan
        layers = layer_rows(plan)
        for row, layer in zip(layers, cost.layers, strict=True):
            row["latency_ns"] = layer.latency_ns
            row["interval_ns"] = layer.interval_ns
            row["energy_pj"] = layer.energy_pj
            row["hop_bits"] = layer.hop_bits
        return {
            "model": self.model,
            "chip": plan.chip,
            "strategy": plan.strategy,
            "placement": plan.placement,
            "layers": layers,
            "weights": int(sum(layer.weights for layer in plan.layers)),
            "tiles_used": plan.tiles_used,
            "tiles_available": plan.tiles_available,
            "chips_used": plan.chips_used,
            "rounds": plan.rounds,
            "utilization": plan.utilization,
            "latency_ns": cost.latency_ns,
            "interval_ns": cost.interval_ns,
            "bottleneck": cost.bottleneck,
            "longest_way": list(cost.longest_way),
            "energy_pj": cost.energy_pj,
            "area_mm2": cost.area_mm2,
            "tops": cost.tops,
            "tops_per_w": cost.tops_per_w,
            "energy_by_part": cost.energy_by_part,
            "latency_by_part": cost.latency_by_part,
            "area_by_part": cost.area_by_part,
            "hop_bits": cost.hop_bits,
            "crossing_bits": cost.crossing_bits,
            "events": dataclasses.asdict(cost.events),
            "estimates": list(cost.estimates),
        }

    def print(self) -> None:
        """The report in the terminal."""
        shown = console()
        shown.print(mapping_table(self.plan))
        shown.print(self._summary(), highlight=False)
        for title, parts, unit in (
            ("energy", self.cost.energy_by_part, "pJ"),
            ("latency", self.cost.latency_by_part, "ns"),
            ("area", self.cost.area_by_part, "mm²"),
        ):
            shown.print(_bars(title, parts, unit), highlight=False)
        if self.cost.estimates:
            count = len(self.cost.estimates)
            shown.print(
                f"{count} figures of {self.plan.chip} are estimates: crossgrid chips {self.plan.chip}"
            )

    def _summary(self) -> str:
        """What one input costs, in lines."""
        plan, cost = self.plan, self.cost
        lines = [
            f"one input: {cost.latency_ns / 1e3:,.3f} µs, {cost.energy_pj / 1e6:,.4g} µJ, "
            f"{cost.tops_per_w:.3g} TOPS/W",
            f"pipelined: one input every {cost.interval_ns / 1e3:,.3f} µs, {cost.tops:.3g} TOPS; "
            f"slowest: {cost.bottleneck}",
            f"hardware: {plan.chips_used} chips, {cost.area_mm2:,.2f} mm²; "
            f"traffic {cost.hop_bits:,.0f} bit-hops, {cost.crossing_bits:,.0f} bits from chip to chip",
        ]
        if plan.rounds > 1:
            lines.append(f"tiles are programmed {plan.rounds} times for each input")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return notebook_html(self)


def print_comparison(reports: Sequence[Report]) -> None:
    """Reports side by side in the terminal."""
    console().print(_cost_table(reports))


def console() -> Console:
    """The terminal; what is piped into a file is not cut to 80 columns."""
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


def _cost_table(reports: Sequence[Report]) -> Table:
    from rich.table import Table

    table = Table(title="one input", title_justify="left")
    for name in (
        "chip",
        "strategy",
        "tiles",
        "chips",
        "utilization",
        "latency µs",
        "interval µs",
        "energy µJ",
        "mm²",
        "TOPS",
        "TOPS/W",
    ):
        table.add_column(name, justify="left" if name in ("chip", "strategy") else "right")
    for report in reports:
        plan, cost = report.plan, report.cost
        table.add_row(
            plan.chip, plan.strategy, f"{plan.tiles_used:,}", str(plan.chips_used), f"{plan.utilization:.1%}",
            f"{cost.latency_ns / 1e3:,.3f}", f"{cost.interval_ns / 1e3:,.3f}", f"{cost.energy_pj / 1e6:,.3f}",
            f"{cost.area_mm2:,.2f}", f"{cost.tops:.3g}", f"{cost.tops_per_w:.3g}",
        )  # fmt: skip
    return table


def _bars(title: str, parts: Mapping[str, float], unit: str) -> str:
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
    order = np.argsort(plan.table["layer"], kind="stable")
    starts = np.searchsorted(plan.table["layer"][order], np.arange(len(plan.layers) + 1))
    for k, row in enumerate(layer_rows(plan)):
        tiles = plan.table["tile"][order[starts[k] : starts[k + 1]]]
        first, last = plan.address(tiles.min()), plan.address(tiles.max())
        table.add_row(
            str(row["name"]), str(row["in"]), str(row["out"]), str(row["tiles"]), str(row["copies"]),
            str(row["reuse"]) if reuse_known else "–", f"{row['utilization']:.1%}", str(first), str(last),
        )  # fmt: skip
    return table


DRAWN_TILES = 4096  # more tiles than that are finer than a line
BRIGHT = 0.6  # above this utilization the colour is too light for white letters


def draw_floor_plan(plan: MappingPlan, path: str | Path, color: str = "utilization") -> Path:
    """A PNG of the tile grids, coloured by ``utilization`` or by ``layer``."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    rows, columns = plan.grid
    shown = min(plan.chips_used, 16)  # more chips than that are unreadable on one picture
    across = int(np.ceil(np.sqrt(shown)))
    down = -(-shown // across)
    picture = Figure(
        figsize=(1.5 + 5 * across, 0.6 + 5 * down * max(0.3, rows / columns)), layout="constrained"
    )
    axes = np.atleast_1d(picture.subplots(down, across, squeeze=False)).ravel()
    values = _tile_values(plan, color)
    limits = {"vmin": 0.0, "vmax": 1.0 if color == "utilization" else max(len(plan.layers) - 1.0, 1.0)}
    for chip, axis in enumerate(axes):
        axis.set_axis_off()
        if chip >= shown:
            continue
        grid = values[chip * rows * columns : (chip + 1) * rows * columns].reshape(rows, columns)
        image = axis.imshow(grid, cmap="viridis" if color == "utilization" else "nipy_spectral", **limits)
        axis.set_title(f"chip {chip}: {np.isfinite(grid).sum()} of {grid.size} tiles", fontsize=10)
        axis.add_patch(_outline(rows, columns))
        if rows * columns <= DRAWN_TILES:
            _draw_tiles(axis, rows, columns)
        if rows * columns <= 400 and color == "utilization":
            _write_layers(axis, plan, chip)
    picture.suptitle(f"{plan.chip}, {plan.strategy}: tiles by {color}", fontsize=11)
    picture.colorbar(image, ax=axes.tolist(), shrink=0.8, label=color)
    picture.savefig(path, dpi=110, format=Path(path).suffix[1:] or "png")
    return Path(path)


def _tile_values(plan: MappingPlan, color: str) -> np.ndarray:
    values = np.full(plan.tiles_available, np.nan)
    if color == "utilization":
        values[plan.used_tiles] = plan.tile_fill
    else:
        values[plan.table["tile"][::-1]] = plan.table["layer"][::-1]
    return values


def _draw_tiles(axis: Any, rows: int, columns: int) -> None:
    """Lines between the tiles, so that unused ones can be counted too."""
    axis.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="lightgrey", linewidth=0.5)
    axis.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="lightgrey", linewidth=0.5)


def _outline(rows: int, columns: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((-0.5, -0.5), columns, rows, fill=False, edgecolor="grey", linewidth=1)


def _write_layers(axis: Any, plan: MappingPlan, chip: int) -> None:
    rows, columns = plan.grid
    on_chip = np.flatnonzero(plan.table["tile"] // (rows * columns) == chip)
    tiles, first = np.unique(plan.table["tile"][on_chip], return_index=True)
    for tile, k in zip(tiles, on_chip[first], strict=True):
        row, column = divmod(int(tile) % (rows * columns), columns)
        name = "\n".join(textwrap.wrap(plan.layers[int(plan.table["layer"][k])].name, 9)[-3:])
        bright = plan.tile_fill[np.searchsorted(plan.used_tiles, tile)] > BRIGHT
        axis.text(
            column, row, name, ha="center", va="center", fontsize=5, color="black" if bright else "white"
        )
