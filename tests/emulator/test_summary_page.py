"""A summary as a notebook shows it, in headless Chromium: whole, in order, within the page."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import CHROMIUM, chromium
from families import FAMILIES

import crossgrid as cg

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

#: writes how wide the page is, and where the cells of the first table's last column end
MEASURE = """<script>
const cells = [...document.querySelectorAll("table:first-of-type td:last-child")]
document.body.dataset.wide = document.documentElement.scrollWidth
const ends = cells.map(cell => Math.round(cell.getBoundingClientRect().right))
document.body.dataset.ends = [...new Set(ends)].length
</script>"""


def seen(summary: cg.AnalogSummary, folder: Path, width: int) -> str:
    """The page's elements as Chromium has them."""
    page = folder / "summary.html"
    head = "<!DOCTYPE html><meta charset='utf-8'><body>"
    page.write_text(head + summary._repr_html_() + MEASURE, encoding="utf-8")
    done = chromium(folder / "profile", page, "--dump-dom", width=width)
    assert "CONSOLE" not in done.stderr  # no script error
    return done.stdout


@pytest.mark.parametrize("width", [600, 1240])
@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("Mixtral", ["experts.gate_up_proj.", "experts.down_proj.", "self_attn.q_proj", "lm_head"]),
        ("ResNet", ["embedder.embedder.convolution", "layer.0.convolution", "shortcut.convolution"]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_summary_is_a_page(family: str, layers: list[str], width: int, tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip(
        "transformers", reason="an extra: pip install 'crossgrid[models]'"
    )
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model, _ = FAMILIES[family].made(transformers)
    summary = cg.analog_summary(cg.convert_to_analog(model, cg.SingleRPUConfig()))
    dom = seen(summary, tmp_path, width)
    text = html.unescape(re.sub(r"<[^>]+>", "\n", dom))
    for word in (*layers, "on tiles: shares of all weights", "digital", summary.line.partition(";")[0]):
        assert word in text
    for advice in summary.warnings:
        assert str(advice) in text
    assert int(re.findall(r'data-wide="(\d+)"', dom)[0]) <= width  # wider tables scroll by themselves
    assert int(re.findall(r'data-ends="(\d+)"', dom)[0]) == 1  # numbers stand below each other
    (body, *_) = re.findall(r"<tbody>.*?</tbody>", dom)
    shares = [float(re.findall(r">([\d.]+)%<", row)[0]) for row in re.findall(r"<tr>.*?</tr>", body)]
    held = 100 * sum(row.weights_share for row in summary.analog)
    assert sum(shares) == pytest.approx(held, abs=0.05 * len(shares) + 0.1)
