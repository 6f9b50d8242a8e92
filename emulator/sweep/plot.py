"""A sweep as a picture, one colour a value of its first parameter, and as a page with points to point at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrid.chip.files.pictures import picture_format

from .figures import AXES, MORE_IS_BETTER, figures

if TYPE_CHECKING:
    from .result import Sweep

#: a figure's name on an axis, and what it is divided by
AXIS_NAMES: dict[str, tuple[str, float]] = {
    "accuracy": ("accuracy", 1.0),
    "energy_pj": ("energy of an input, nJ", 1e3),
    "area_mm2": ("area, mm²", 1.0),
    "latency_ns": ("latency, µs", 1e3),
    "interval_ns": ("interval between inputs, µs", 1e3),
    "tops_per_w": ("TOPS/W", 1.0),
    "schedule_latency_ns": ("latency, followed by rows, µs", 1e3),
    "schedule_interval_ns": ("interval, followed by rows, µs", 1e3),
    "schedule_stalls_ns": ("stalls, followed by rows, µs", 1e3),
    "schedule_buffer_bytes": ("fullest buffer, bytes", 1.0),
}
#: points of the front that are named in a picture
NAMED = 8


def draw(sweep: Sweep, path: Path, cost: str, gain: str) -> Path:
    """Write the picture of ``gain`` over ``cost``; the format is the name's ending."""
    from matplotlib.figure import Figure

    form = picture_format(path)
    chosen = sweep.front(cost, gain)
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    (x_name, x_unit), (y_name, y_unit) = (AXIS_NAMES.get(name, (name, 1.0)) for name in (cost, gain))
    first = next(iter(sweep.study.parameters))
    for value in dict.fromkeys(row[first] for row in sweep.rows):
        rows = [r for r in sweep.rows if r[first] == value and r[cost] is not None and r[gain] is not None]
        places = [r[cost] / x_unit for r in rows], [r[gain] / y_unit for r in rows]
        axes.scatter(*places, s=18, alpha=0.75, linewidths=0, label=f"{first} = {value}")
    xs, ys = [row[cost] / x_unit for row in chosen], [row[gain] / y_unit for row in chosen]
    axes.plot(xs, ys, "ko-", linewidth=1, markersize=7, markerfacecolor="none", label="front")
    step = max(1, -(-len(chosen) // NAMED))
    for number in range(0, len(chosen), step):
        place = (xs[number], ys[number])
        axes.annotate(str(number + 1), place, xytext=(-4, 7), textcoords="offset points", fontsize=8)
        name = ", ".join(str(chosen[number][key]) for key in sweep.study.parameters)
        axes.plot([], [], " ", label=f"{number + 1}: {name}")
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    if xs and max(xs) > 20 * min(xs) > 0:
        axes.set_xscale("log")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=150, format=form)
    return path


def page(sweep: Sweep) -> str:
    """The self-contained page: the front over any two figures, a table. It loads nothing from anywhere."""
    model = sweep.study.model if isinstance(sweep.study.model, str) else type(sweep.study.model).__name__
    data = {
        "model": model,
        "chip": str(sweep.study.chip),
        "summary": str(sweep),
        "parameters": list(sweep.study.parameters),
        "axes": [axis for axis in AXES if axis in figures(sweep.study.schedule)],
        "more": list(MORE_IS_BETTER),
        "rows": sweep.rows,
    }
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    # a label could hold "</script>": the page reads the data as text of an element
    return template.replace("__DATA__", json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
