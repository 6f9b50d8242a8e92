"""Reports of a plan: tables in the terminal, plain data, a floor plan as a picture."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost.cost import Cost, cost_of
from ..cost.digital import DigitalCost, digital_cost
from ..cost.events import described_kinds, mvm_interval_ns
from ..description.spec import Chip
from ..files.pictures import picture_format
from ..plan.plan import MappingPlan
from .names import shortened
from .page import notebook_html
from .tables import bars, console, digital_table, kind_rows, kind_table, layer_rows, mapping_table
from .warnings import lost_bits, unused_kinds

if TYPE_CHECKING:
    from rich.table import Table

    from ..schedule.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Report:
    """A plan with its cost: in the terminal, as plain data, as a page."""

    model: str
    plan: MappingPlan
    chip: Chip
    cost: Cost
    schedule: Schedule | None = None  # of a stream of inputs, where one was followed

    @classmethod
    def of(cls, plan: MappingPlan, chip: Chip, model: str = "model") -> Report:
        """The report of ``plan`` on ``chip``."""
        return cls(model, plan, chip, cost_of(plan, chip))

    @property
    def digital(self) -> DigitalCost:
        """What stays digital, on one unit a chip."""
        return digital_cost(self.plan.digital, self.chip, self.plan.chips_used)

    @property
    def power_w(self) -> float:
        """Power while inputs follow each other at their interval."""
        return self.cost.energy_pj / self.cost.interval_ns / 1e3 if self.cost.interval_ns else 0.0

    @property
    def time_utilization(self) -> float:
        """Multiplications over those that all cells of used tiles could do while inputs follow each other."""
        plan, kinds = self.plan, described_kinds(self.chip)
        kind, work, cells = plan.kind_of(plan.used_tiles), 0.0, 0
        for number, of in enumerate(kinds):
            macs = sum(
                layer.weights * layer.vectors
                for layer, on in zip(plan.layers, plan.layer_kind.tolist(), strict=True)
                if on == number
            )
            work += macs * mvm_interval_ns(of)
            cells += int(np.count_nonzero(kind == number)) * of.tile_out * of.tile_in
        time = cells * self.cost.interval_ns
        return work / time if time else 0.0

    @property
    def warnings(self) -> list[str]:
        """What converters lose, and kinds of tiles that nothing uses."""
        return [*lost_bits(self.plan, self.chip), *unused_kinds(self.plan, self.chip)]

    @property
    def tiles_busy(self) -> float:
        """Part of the time in which a used tile works, on average, while inputs follow each other."""
        time = self.plan.tiles_used * self.cost.interval_ns
        return self.cost.events.busy_ns / time if time else 0.0

    @property
    def inputs_in_flight(self) -> float:
        """Independent inputs that are on their way at once; an input that waits for the last has one."""
        return self.cost.latency_ns / self.cost.interval_ns if self.cost.interval_ns else 1.0

    def _layers(self) -> list[dict[str, object]]:
        rows = layer_rows(self.plan)
        for row, layer, shape in zip(rows, self.cost.layers, self.plan.layers, strict=True):
            row.update({key: value for key, value in dataclasses.asdict(layer).items() if key != "name"})
            row["operations"] = 2.0 * shape.weights * shape.vectors
        return rows

    def _digital(self) -> dict[str, object]:
        cost = self.digital
        return {
            "digital": [dataclasses.asdict(work) for work in self.plan.digital],
            "digital_macs": cost.macs,
            "digital_share": self.plan.digital_share,
            "digital_bytes": cost.bytes,
            "digital_energy_pj": cost.energy_pj,
            "digital_time_ns": cost.time_ns,
            "digital_unknown": cost.unknown,
        }

    def as_dict(self) -> dict[str, object]:
        """What the report says, as plain data."""
        cost, plan = self.cost, self.plan
        return {
            "model": self.model,
            "chip": plan.chip,
            "strategy": plan.strategy,
            "placement": plan.placement,
            "layers": self._layers(),
            "weights": int(sum(layer.weights for layer in plan.layers)),
            "tiles_used": plan.tiles_used,
            "tiles_available": plan.tiles_available,
            "chips_used": plan.chips_used,
            "rounds": plan.rounds,
            "batch": plan.batch,
            "utilization": plan.utilization,
            "latency_ns": cost.latency_ns,
            "latency_in_turn_ns": cost.latency_in_turn_ns,
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
            "warnings": self.warnings,
            "estimates": list(cost.estimates),
            "power_w": self.power_w,
            "power_w_per_mm2": self.power_w / cost.area_mm2 if cost.area_mm2 else 0.0,
            "time_utilization": self.time_utilization,
            "tiles_busy": self.tiles_busy,
            "inputs_in_flight": self.inputs_in_flight,
            "slowest_link": cost.slowest_link,
            "slowest_link_ns": cost.slowest_link_ns,
            **self._digital(),
            **({"kinds": kind_rows(self.plan)} if self.plan.kinds else {}),
            "schedule": self.schedule.as_dict() if self.schedule else None,
        }

    def print(self) -> None:
        """The report in the terminal."""
        shown = console()
        shown.print(mapping_table(self.plan))
        kinds = kind_table(self.plan)
        if kinds is not None:
            shown.print(kinds)
        shown.print(self._summary(), highlight=False)
        for title, parts, unit in (
            ("energy", self.cost.energy_by_part, "pJ"),
            ("latency", self.cost.latency_by_part, "ns"),
            ("area", self.cost.area_by_part, "mm²"),
        ):
            shown.print(bars(title, parts, unit), highlight=False)
        if self.schedule is not None:
            self.schedule.print()
        digital = digital_table(self.plan.digital, self.digital, self.plan.digital_share)
        if digital is not None:
            shown.print(digital)
        for text in self.warnings:
            shown.print(f"warning: {text}", highlight=False)
        if self.cost.estimates:
            count = len(self.cost.estimates)
            shown.print(
                f"{count} figures of {self.plan.chip} are estimates: crossgrid chips {self.plan.chip}"
            )

    def _summary(self) -> str:
        """What one input costs, in lines."""
        plan, cost = self.plan, self.cost
        lines = [
            f"one input: {cost.latency_ns / 1e3:,.3f} µs, layer by layer "
            f"{cost.latency_in_turn_ns / 1e3:,.3f} µs; {cost.energy_pj / 1e6:,.4g} µJ, "
            f"{cost.tops_per_w:.3g} TOPS/W",
            f"pipelined: one input every {cost.interval_ns / 1e3:,.3f} µs, {cost.tops:.3g} TOPS; "
            f"slowest: {cost.bottleneck}",
            f"so {self.inputs_in_flight:,.1f} independent inputs are on their way at once; tiles work "
            f"{self.tiles_busy:.2%} of the time, cells {self.time_utilization:.2%}; {self.power_w:,.3g} W"
            + (f", {self.power_w / cost.area_mm2:,.3g} W/mm²" if cost.area_mm2 else ""),
            f"fullest link: {cost.slowest_link}, {cost.slowest_link_ns / 1e3:,.3f} µs an input",
            f"hardware: {plan.chips_used} chips, {cost.area_mm2:,.2f} mm²; "
            f"traffic {cost.hop_bits:,.0f} bit-hops, {cost.crossing_bits:,.0f} bits from chip to chip",
        ]
        if plan.rounds > 1:
            each = f"batch of {plan.batch:,} inputs" if plan.batch > 1 else "input"
            lines.append(f"tiles are programmed {plan.rounds} times for each {each}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return notebook_html(self)


def print_comparison(reports: Sequence[Report]) -> None:
    """Reports side by side in the terminal."""
    console().print(_cost_table(reports))


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


DRAWN_TILES = 4096  # more tiles than that are finer than a line
BRIGHT = 0.6  # above this utilization the colour is too light for white letters


def draw_floor_plan(plan: MappingPlan, path: str | Path, color: str = "utilization") -> Path:
    """A PNG of the tile grids, coloured by ``utilization`` or by ``layer``."""
    form = picture_format(path)
    from matplotlib.figure import Figure

    rows, columns = plan.grid
    shown = min(plan.chips_used, 16)  # more chips than that are unreadable on one picture
    across = int(np.ceil(np.sqrt(shown)))
    down = -(-shown // across)
    picture = Figure(
        figsize=(1.5 + 5 * across, 0.6 + 5 * down * min(max(0.3, rows / columns), 4.0)), layout="constrained"
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
    picture.savefig(path, dpi=110, format=form)
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
        name = "\n".join(textwrap.wrap(shortened(plan.layers[int(plan.table["layer"][k])].name, 27), 9))
        bright = plan.tile_fill[np.searchsorted(plan.used_tiles, tile)] > BRIGHT
        axis.text(
            column,
            row,
            name,
            ha="center",
            va="center",
            fontsize=5,
            color="black" if bright else "white",
            parse_math=False,
        )
