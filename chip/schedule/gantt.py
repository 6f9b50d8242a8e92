"""A schedule as a picture: a line a layer, time to the right, each input in a colour of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.pictures import picture_format

if TYPE_CHECKING:
    from .schedule import Schedule

#: layers and bars of a chart at most; a line must be seen, and a page loaded
LINES = 80
BARS = 20_000
#: units of time, and up to how many nanoseconds they are used
_UNITS = (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9))


def bars(found: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Bars of a chart, [bars, 4]: line, input, begin and end in ns; and the layers of its lines. Of many
    layers the busiest; of many bars the shortest pauses are closed."""
    busiest = np.argsort([-layer.busy for layer in found.layers], kind="stable")[:LINES]
    lines = np.sort(busiest)
    line = {int(k): number for number, k in enumerate(lines)}
    rows = [
        (line[span.layer], span.input, span.begin_ns, span.end_ns)
        for span in found.spans
        if span.layer in line
    ]
    chart = np.array(rows, np.float64).reshape(-1, 4)
    if len(chart) > BARS:
        chart = _joined(chart, len(chart) - BARS)
    return chart, lines


def _joined(chart: np.ndarray, spare: int) -> np.ndarray:
    """The chart with the ``spare`` shortest pauses within one input of a layer closed."""
    same = (chart[1:, :2] == chart[:-1, :2]).all(axis=1)
    pause = np.where(same, chart[1:, 2] - chart[:-1, 3], np.inf)
    closed = np.zeros(len(chart), bool)
    shortest = np.argsort(pause, kind="stable")[:spare]
    closed[shortest[np.isfinite(pause[shortest])] + 1] = True
    first = np.flatnonzero(~closed)
    last = np.append(first[1:] - 1, len(chart) - 1)
    return np.column_stack([chart[first, :3], chart[last, 3]])


def draw(found: Schedule, path: Path) -> Path:
    """Draw it to a file of a picture."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    form = picture_format(path)
    chart, lines = bars(found)
    end = float(chart[:, 3].max(initial=0.0))
    unit, size = next(each for each in reversed(_UNITS) if end >= each[1] or each[1] == 1.0)
    figure = Figure(figsize=(11, 1.4 + 0.22 * len(lines)), layout="constrained")
    axis = figure.subplots()
    colors = colormaps["tab10"](chart[:, 1].astype(int) % 10)
    axis.barh(
        chart[:, 0], (chart[:, 3] - chart[:, 2]) / size, left=chart[:, 2] / size, height=0.8, color=colors
    )
    names = [found.layers[k].name for k in lines]
    axis.set_yticks(
        range(len(lines)), [name if len(name) < 32 else f"…{name[-30:]}" for name in names], fontsize=8
    )
    axis.invert_yaxis()
    for opened in found.programmed_ns.ravel().tolist():
        axis.axvspan((opened - found.program_ns) / size, opened / size, color="0.85", zorder=0)
    axis.set_xlim(0, end / size or 1.0)
    axis.set_xlabel(f"time in {unit}")
    axis.set_title(
        f"{found.inputs} inputs on {found.plan.chip}, {found.plan.strategy}: the first after "
        f"{found.latency_ns / size:,.4g} {unit}, one every {found.interval_ns / size:,.4g} {unit}",
        fontsize=10, loc="left",
    )  # fmt: skip
    figure.savefig(path, dpi=130, format=form)
    return path
