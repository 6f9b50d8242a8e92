"""Reports of a plan: a table in the terminal, a floor plan as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .plan import MappingPlan

if TYPE_CHECKING:
    from rich.table import Table


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


def mapping_table(plan: MappingPlan) -> Table:
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
            str(row["reuse"]), f"{row['utilization']:.1%}", str(first), str(last),
        )  # fmt: skip
    return table


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
        if rows * columns <= 400 and color == "utilization":
            _write_layers(axis, plan, chip)
    picture.suptitle(f"{plan.chip}, {plan.strategy}: tiles by {color}", fontsize=11)
    picture.colorbar(image, ax=axes.tolist(), shrink=0.8, label=color)
    picture.savefig(path, dpi=110)
    return Path(path)


def _tile_values(plan: MappingPlan, color: str) -> np.ndarray:
    values = np.full(plan.tiles_available, np.nan)
    if color == "utilization":
        values[plan.used_tiles] = plan.tile_fill
    else:
        values[plan.table["tile"][::-1]] = plan.table["layer"][::-1]
    return values


def _outline(rows: int, columns: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((-0.5, -0.5), columns, rows, fill=False, edgecolor="grey", linewidth=1)


def _write_layers(axis: object, plan: MappingPlan, chip: int) -> None:
    rows, columns = plan.grid
    on_chip = np.flatnonzero(plan.table["tile"] // (rows * columns) == chip)
    tiles, first = np.unique(plan.table["tile"][on_chip], return_index=True)
    for tile, k in zip(tiles, on_chip[first], strict=True):
        row, column = divmod(int(tile) % (rows * columns), columns)
        name = plan.layers[int(plan.table["layer"][k])].name[-9:]
        axis.text(column, row, name, ha="center", va="center", fontsize=4.5, color="white", rotation=35)  # type: ignore[attr-defined]
