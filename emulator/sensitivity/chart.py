"""A sensitivity as bars: a picture, and a page that loads nothing from anywhere."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrid.chip.files.pictures import picture_format

from ..sweep.alone import ALL

if TYPE_CHECKING:
    from .sensitivity import Sensitivity

#: a cause's colour, in the picture and on the page: told apart also by those who see fewer colours
COLOURS = {
    "adc": "#0072b2", "dac": "#56b4e9", "read": "#009e73", "programming": "#e69f00", "drift": "#d55e00",
    "faults": "#cc79a7", "all": "#6b7280",
}  # fmt: skip


def draw(found: Sensitivity, path: Path) -> Path:
    """Write the picture; the format is the name's ending."""
    from matplotlib.figure import Figure

    form = picture_format(path)
    layers, causes = [*found.layers, ALL], found.causes
    step = 0.8 / len(causes)
    height = max(3.0, 0.18 * len(layers) * len(causes) + 1.2)
    figure = Figure(figsize=(9, min(height, 200.0)), layout="constrained")
    axes = figure.add_subplot()
    for number, cause in enumerate(causes):
        losses = [found.loss(layer, cause) for layer in layers]
        places = [k - 0.4 + (number + 0.5) * step for k, loss in enumerate(losses) if loss is not None]
        widths = [100 * loss for loss in losses if loss is not None]
        axes.barh(places, widths, 0.9 * step, color=COLOURS[cause], label=cause)
    axes.set_yticks(range(len(layers)), [_called(layer) for layer in layers])
    axes.invert_yaxis()
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel(f"accuracy lost, % of {found.samples} inputs")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="cause, alone")
    figure.savefig(path, dpi=150, format=form)
    return path


def page(found: Sensitivity) -> str:
    """The self-contained page."""
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    study = found.sweep.study
    model = study.model if isinstance(study.model, str) else type(study.model).__name__
    parts = {
        "__MODEL__": html.escape(model),
        "__CHIP__": html.escape(str(study.chip)),
        "__SUMMARY__": html.escape(str(found)),
        "__LEGEND__": "".join(
            f'<span><i style="background:{COLOURS[cause]}"></i>{cause}</span>' for cause in found.causes
        ),
        "__BARS__": _bars(found),
        "__TABLE__": _table(found),
        "__ERRORS__": "".join(
            f"<li>{html.escape(row['layer'])}, {row['cause']}: {html.escape(row['error'])}</li>"
            for row in found.sweep.errors
        ),
    }
    for name, text in parts.items():
        template = template.replace(name, text)
    return template


def _called(layer: str) -> str:
    return "all layers" if layer == ALL else layer


def _bars(found: Sensitivity) -> str:
    """A block of bars a layer, as long as the loss over the largest of all."""
    losses = found.losses
    largest = max((abs(x) for row in losses.values() for x in row.values() if x is not None), default=0.0)
    blocks = []
    for layer, row in losses.items():
        bars = []
        for cause, loss in row.items():
            said = "an error" if loss is None else f"{100 * loss:.4g} %"
            width = 0.0 if not loss or not largest else 100 * abs(loss) / largest
            kind = " gain" if loss is not None and loss < 0 else ""
            title = html.escape(f"{cause} at {_called(layer)} alone: {said}", quote=True)
            bars.append(
                f'<div class="bar" title="{title}"><i class="{kind.strip()}" style="width:{width:.2f}%;'
                f'background:{COLOURS[cause]}"></i><span>{cause} {said}</span></div>'
            )
        blocks.append(f"<section><h3>{html.escape(_called(layer))}</h3>{''.join(bars)}</section>")
    return "".join(blocks)


def _table(found: Sensitivity) -> str:
    head = "".join(f"<th>{cause}</th>" for cause in found.causes)
    lines = [
        f"<tr><td>{html.escape(_called(layer))}</td>"
        + "".join(f"<td>{'error' if x is None else f'{100 * x:.4g}'}</td>" for x in row.values())
        + "</tr>"
        for layer, row in found.losses.items()
    ]
    return f"<table><thead><tr><th>layer</th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
