"""The page of a sweep in headless Chromium: a click on a point says which one it is, and its setting."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import CHROMIUM, chromium
from torch import nn

import crossgrid as cg

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

#: clicks on what is seen at the middle of every point and table row, and notes what the page says of it
CLICKS = """<script>
const said = []
function clicked(element) {
  element.scrollIntoView({block: "center"})
  const box = element.getBoundingClientRect()
  const x = box.x + box.width / 2, y = box.y + box.height / 2
  const seen = document.elementFromPoint(x, y)
  seen.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: x, clientY: y}))
  return document.getElementById("chosen").innerText
}
for (const circle of document.querySelectorAll("circle")) {
  said.push(["circle", Number(circle.dataset.point), clicked(circle),
             document.querySelectorAll("circle.picked").length])
}
for (const row of document.querySelectorAll("#all tbody tr"))
  said.push(["row", Number(row.dataset.point), clicked(row.cells[0]),
             document.querySelectorAll("circle.picked").length])
document.body.dataset.said = JSON.stringify(said)
document.body.dataset.wide = document.documentElement.scrollWidth
</script></body>"""


def swept() -> cg.Sweep:
    """Four points, no two of which have equal figures."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5)
    ).eval()
    x = 2 * torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    parameters = {"chip.adc.bits": [4, 9], "strategy": ["per-layer", "packed"]}
    return cg.sweep({"model": net, "data": (x, net(x).argmax(1)), "parameters": parameters})


@pytest.mark.parametrize("width", [1240, 600])
def test_a_click_on_a_point_says_which_one_and_its_setting(width: int, tmp_path: Path) -> None:
    done = swept()
    page = done.write_page(tmp_path / "sweep.html")
    page.write_text(page.read_text().replace("</body>", CLICKS))
    seen = chromium(tmp_path / "profile", page, "--dump-dom", width=width)
    assert "CONSOLE" not in seen.stderr  # no script error
    (told,) = re.findall(r'data-said="([^"]*)"', seen.stdout)
    said: list[Any] = json.loads(html.unescape(told))
    assert sorted(kind for kind, *_ in said) == ["circle"] * 4 + ["row"] * 4
    for _, point, text, picked in said:
        row = done.rows[point]
        lines = text.split()
        assert text.startswith(f"point {point}\n")
        assert picked == 1
        assert lines[lines.index("chip.adc.bits") + 1] == row["chip.adc.bits"]
        assert lines[lines.index("strategy") + 1] == row["strategy"]
        assert lines[lines.index("accuracy") + 1] == f"{100 * row['accuracy']:.4g}"
    assert int(re.findall(r'data-wide="(\d+)"', seen.stdout)[0]) <= width
