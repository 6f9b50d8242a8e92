"""The page in headless Chromium: it draws what the plan says, also with 10,000 tiles, without an error."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, chromium

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers
from crossgrid.chip.description.spec import Grid
from crossgrid.chip.reports.page import write_page
from crossgrid.chip.reports.report import Report
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.emulator.shapes.zoo import zoo_digital, zoo_layers

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return (imread(path)[..., :3] * 255).round().astype(int)


def report_of(model: str, chip: Chip) -> Report:
    return Report.of(map_layers(zoo_layers(model), chip), chip, model)


def test_page_shows_every_layer_and_describes_a_tile(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", [report_of("lenet5", load_chip("demo-128"))])
    done = chromium(tmp_path / "profile", page, "--dump-dom", fragment="#hover=0,1")
    body = html.unescape(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S))
    assert 'data-ready="true"' in body
    assert "CONSOLE" not in done.stderr  # no script error
    assert "tile 0/0,1: 19.5 % full" in body
    assert "conv2 [0:32, 0:100]" in body
    for words in ("conv1", "fc2", "10 of 100", "48.8 %", "crossbar and converters"):
        assert words in body


@pytest.mark.parametrize("color", ["utilization", "layer", "traffic"])
def test_screenshot_has_as_many_coloured_tiles_as_the_plan(tmp_path: Path, color: str) -> None:
    """10,000 tiles, half of them used: coloured pixels of the plan's square are half of it."""
    chip = dataclasses.replace(load_chip("demo-128"), grid=Grid(100, 100))
    layers = [LayerShape(f"layer{k}", 128 * 10, 128 * 100) for k in range(5)]
    page = write_page(tmp_path / "page.html", [Report.of(map_layers(layers, chip), chip, "wide")])
    shot = tmp_path / "shot.png"
    done = chromium(tmp_path / "profile", page, f"--screenshot={shot}", fragment=f"#color={color}")
    assert "CONSOLE" not in done.stderr
    image = pixels(shot)
    empty = (image == (230, 233, 239)).all(axis=2)  # the colour of a tile without weights
    many = empty.sum(axis=1) > 200
    rows = np.flatnonzero(many & np.roll(many, 1) & np.roll(many, -1))  # lines between tiles are thinner
    rows = rows[: np.argmax(np.append(np.diff(rows), 9) > 1) + 1]  # the first area; bars lie further down
    columns = np.flatnonzero(empty[rows].sum(axis=0) > 100)
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert width == pytest.approx(2 * height, rel=0.05)  # the lower half of a square is empty
    above = image[rows[0] - height + 4 : rows[0] - 4, columns[0] + 2 : columns[-1] - 2].reshape(-1, 3)
    greys = np.ptp(above, axis=1) < 12
    assert greys.mean() < 0.01
    if color == "layer":
        assert len(np.unique(above, axis=0)) >= 5


def test_ten_thousand_tiles_of_many_chips(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", [report_of("bert-base", load_chip("demo-128"))])
    shot = tmp_path / "shot.png"
    done = chromium(tmp_path / "profile", page, f"--screenshot={shot}")
    assert "CONSOLE" not in done.stderr
    assert shot.stat().st_size > 20_000


PROBE = """<script>
document.body.dataset.overflow = String(document.documentElement.scrollWidth > window.innerWidth);
document.body.dataset.rows = String(document.querySelectorAll("#layers tbody tr").length);
</script></body>"""


def test_seven_thousand_layers_are_readable_at_two_widths(tmp_path: Path) -> None:
    """Two hundred rows and a filter, long names short in their middle, nothing wider than the window."""
    chip = load_chip("hermes-64")
    name = "model.layers.{}.block_sparse_moe.experts.{}.projection.of.what.it.reads.w1"
    layers = [LayerShape(name.format(k // 8, k % 8), 16, 16) for k in range(7000)]
    page = write_page(tmp_path / "page.html", [Report.of(map_layers(layers, chip), chip, "many")])
    page.write_text(page.read_text().replace("</body>", PROBE))
    assert page.stat().st_size < 8e6
    for width in (1240, 560):
        done = chromium(tmp_path / f"profile{width}", page, "--dump-dom", width=width)
        assert "CONSOLE" not in done.stderr
        body = html.unescape(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S))
        assert 'data-overflow="false"' in body
        assert 'data-rows="200"' in body
        assert "200 of 7,000 layers" in body
        assert "model.layers.0…" in body
        assert 'title="model.layers.0.block_sparse_moe.experts.0.projection' in body


@pytest.mark.parametrize("width", [1240, 560])
def test_page_draws_links_and_says_what_bounds_and_what_stays_digital(tmp_path: Path, width: int) -> None:
    chip = load_chip("hermes-64")
    plan = map_layers(zoo_layers("bert-base"), chip, digital=zoo_digital("bert-base"))
    report = Report.of(plan, chip, "bert")
    page = write_page(tmp_path / "page.html", [report])
    page.write_text(page.read_text().replace("</body>", PROBE))
    done = chromium(tmp_path / "profile", page, "--dump-dom", fragment="#color=links", width=width)
    assert "CONSOLE" not in done.stderr
    body = html.unescape(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S))
    assert 'data-overflow="false"' in body
    for words in (
        report.cost.slowest_link,
        f"{report.cost.interval_ns / 1e3:.1f} µs",
        f"layer by layer it would take {report.cost.latency_in_turn_ns / 1e6:.3f} ms",
        "of multiplications stay digital",
        "W/mm²",
        "2.7 %",
        "attention",
        "bound by",
        "links take",
    ):
        assert words in body


def test_the_fullest_link_is_the_brightest_line(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", [report_of("resnet9", load_chip("hermes-64"))])
    shot = tmp_path / "shot.png"
    chromium(tmp_path / "profile", page, f"--screenshot={shot}", fragment="#color=links")
    brightest = (pixels(shot) == (253, 231, 37)).all(axis=2).sum()
    assert brightest > 100  # a line of 40 x 4 pixels, besides the end of the scale


@pytest.mark.parametrize("width", [1240, 600])
def test_page_shows_a_schedule_with_a_bar_an_input(tmp_path: Path, width: int) -> None:
    """The chart's bars have the colours of the inputs, and its table says what the layers waited for."""
    report = report_of("resnet9", load_chip("hermes-64"))
    found = schedule(report.plan, report.chip, 3)
    page = write_page(tmp_path / "page.html", [dataclasses.replace(report, schedule=found)])
    shot = tmp_path / "shot.png"
    chromium(tmp_path / "profile", page, f"--screenshot={shot}", fragment="#color=time", width=width)
    page.write_text(page.read_text().replace("</body>", PROBE))
    done = chromium(tmp_path / "profile", page, "--dump-dom", width=width)
    assert "CONSOLE" not in done.stderr
    body = html.unescape(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S))
    assert 'data-overflow="false"' in body
    assert f"3 inputs: the first is done after {found.latency_ns / 1e3:.1f} µs" in body
    for words in ("waits for inputs", "waits for room", "buffers held", "time at work"):
        assert words in body
    image = pixels(shot)
    dark = (149, 35, 35)  # hue 0, the first input
    assert (image == dark).all(axis=2).sum() > 300


def test_page_without_a_schedule_has_no_chart(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", [report_of("lenet5", load_chip("demo-128"))])
    done = chromium(tmp_path / "profile", page, "--dump-dom")
    assert '<div id="schedule" hidden="">' in done.stdout


def test_the_roofline_has_every_layer_under_its_roofs(tmp_path: Path) -> None:
    """Operations a bit times what a link carries, and all cells at work, bound what a layer reaches."""
    report = report_of("resnet18", load_chip("hermes-64"))
    page = write_page(tmp_path / "page.html", [report])
    done = chromium(tmp_path / "profile", page, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    body = html.unescape(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S))
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)".*?<title>(.*?): ([\d.,]+) operations', body)
    assert [name for _, _, name, _ in dots] == [
        *(layer.name for layer in report.plan.layers),
        "the whole network",
    ]
    rate = report.chip.links.width_bits * report.chip.links.clock_ghz.value
    for layer, shape, (_, _, _, shown) in zip(report.cost.layers, report.plan.layers, dots, strict=False):
        operations = 2.0 * shape.weights * shape.vectors
        assert float(shown.replace(",", "")) == pytest.approx(
            operations / (layer.carried_ns * rate), rel=1e-3
        )
        assert operations / layer.interval_ns <= operations / layer.carried_ns * (1 + 1e-9)
        assert operations / layer.interval_ns / 1e3 <= report.cost.tops / report.time_utilization
    _, level, *_ = re.findall(r'<line [^>]*stroke="var\(--ink\)"[^>]*>', body)
    roof = float(re.search(r'y1="([\d.]+)"', level)[1])  # type: ignore[index]
    assert all(float(y) >= roof for _, y, _, _ in dots)


CUT = """<script>
const cut = [...document.querySelectorAll(".scroll, .floor")].filter((box) => box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1);
document.body.dataset.cut = cut.map((box) => box.firstElementChild.id).join(" ") || "nothing";
</script></body>"""  # noqa: E501


@pytest.mark.parametrize("model", ["resnet18", "bert-base"])
def test_nothing_is_cut_in_print(tmp_path: Path, model: str) -> None:
    """The rules of print on a sheet's width (A4, 794 pixels less its margins): no box scrolls, no table is
    wider than the sheet; what the printer gets takes as many sheets as it needs."""
    page = write_page(tmp_path / "page.html", [report_of(model, load_chip("hermes-64"))])
    sheets = tmp_path / "page.pdf"
    done = chromium(tmp_path / "profile", page, f"--print-to-pdf={sheets}")
    assert "CONSOLE" not in done.stderr
    assert len(re.findall(rb"/Type\s*/Page\b", sheets.read_bytes())) >= 2
    text = page.read_text()
    assert text.count("@media print") == 1
    page.write_text(text.replace("@media print", "@media all").replace("</body>", PROBE + CUT))
    done = chromium(tmp_path / "profile", page, "--dump-dom", width=720)
    assert 'data-cut="nothing"' in done.stdout
    assert 'data-overflow="false"' in done.stdout
    assert f'data-rows="{len(zoo_layers(model))}"' in done.stdout
