"""Reports: plain data that is relied on, a table, a picture, a page that needs no network."""

from __future__ import annotations

import json
import re

import pytest

from crossgrid.chip import LayerShape, load_chip, map_layers
from crossgrid.chip.description.load import presets
from crossgrid.chip.reports.chip_report import chip_dict, print_chip, print_chips
from crossgrid.chip.reports.page import floor_data, notebook_html, page
from crossgrid.chip.reports.report import Report, draw_floor_plan, mapping_table
from crossgrid.emulator.shapes.zoo import zoo_layers


def report_of(model: str = "lenet5", chip: str = "demo-128", strategy: str = "per-layer") -> Report:
    described = load_chip(chip)
    return Report.of(map_layers(zoo_layers(model), described, strategy), described, model)


def test_plain_data_has_the_keys_that_are_relied_on() -> None:
    data = json.loads(json.dumps(report_of().as_dict()))
    assert {
        "layers", "tiles_used", "tiles_available", "chips_used", "utilization",
        "latency_ns", "energy_pj", "area_mm2", "strategy",
    } <= set(data)  # fmt: skip
    assert all({"name", "out", "in", "tiles", "reuse"} <= set(layer) for layer in data["layers"])
    assert [layer["tiles"] for layer in data["layers"]] == [1, 4, 4, 1]
    assert (data["tiles_used"], data["tiles_available"], data["chips_used"]) == (10, 100, 1)
    assert data["utilization"] == pytest.approx((16 * 25 + 32 * 400 + 128 * 512 + 10 * 128) / (10 * 128**2))


def test_terminal_table_names_every_layer() -> None:
    from rich.console import Console

    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(mapping_table(report_of().plan))
    text = console.export_text()
    assert all(name in text for name in ("conv1", "conv2", "fc1", "fc2", "0/0,9"))
    console.file.close()


def test_terminal_report_and_chips_print(capsys) -> None:
    report_of().print()
    print_chips([load_chip(name) for name in presets()])
    for name in presets():
        print_chip(load_chip(name))
    text = capsys.readouterr().out
    assert "slowest: layer conv1" in text
    assert "estimate" in text
    assert "ISAAC, table I" in text


def test_chip_data_is_plain() -> None:
    for name in presets():
        assert json.loads(json.dumps(chip_dict(load_chip(name))))["name"] == name


@pytest.mark.parametrize("color", ["utilization", "layer"])
def test_floor_plan_is_a_picture(tmp_path, color: str) -> None:
    path = draw_floor_plan(report_of().plan, tmp_path / "floor.png", color)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_page_is_self_contained() -> None:
    text = page([report_of(), report_of(strategy="packed")])
    assert not re.search(r"(src|href)\s*=", text)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_page_survives_hostile_names() -> None:
    chip = load_chip("demo-128")
    hostile = "</script><img src=x onerror=alert(1)>__DATA__"
    text = page([Report.of(map_layers([LayerShape(hostile, 3, 4)], chip), chip, hostile)])
    assert "<img" not in text
    data = json.loads(re.search(r'application/json">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert data[0]["layers"][0]["name"] == hostile


def test_notebook_shows_the_page_in_a_frame() -> None:
    text = notebook_html(report_of())
    assert text.startswith("<iframe srcdoc=")
    assert text == report_of()._repr_html_()


def test_floor_data_has_every_block_under_its_tile() -> None:
    report = report_of("resnet9", strategy="packed")
    floor = floor_data(report.plan, report.chip)
    assert len(floor["tile"]) == len(floor["fill"]) == len(floor["layer"]) == len(floor["traffic"])
    assert floor["start"][0] == 0
    assert floor["start"][-1] == len(floor["blocks"]) == len(report.plan)
    for tile, start, stop in zip(floor["tile"], floor["start"], floor["start"][1:], strict=False):
        weights = sum((block[2] - block[1]) * (block[4] - block[3]) for block in floor["blocks"][start:stop])
        assert weights / 128**2 == pytest.approx(floor["fill"][floor["tile"].index(tile)], abs=1e-4)


def test_a_page_of_a_large_model_leaves_chips_out_and_says_so() -> None:
    report = report_of("llama-2-7b", "hermes-64")
    floor = floor_data(report.plan, report.chip, tiles=1000)
    assert len(floor["tile"]) == 15 * 64
    assert floor["left_out"] == report.plan.tiles_used - 15 * 64
