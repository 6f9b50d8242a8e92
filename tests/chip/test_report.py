"""Reports: plain data that is relied on, a table, a picture, a page that needs no network."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from crossgrid.chip import LayerShape, load_chip, map_layers
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.load import presets
from crossgrid.chip.reports.chip_report import chip_dict, print_chip, print_chips
from crossgrid.chip.reports.names import shortened
from crossgrid.chip.reports.page import floor_data, notebook_html, page
from crossgrid.chip.reports.report import Report, draw_floor_plan, mapping_table
from crossgrid.chip.reports.tables import bars
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


def test_time_and_power_are_said() -> None:
    """ResNet-18 on 256 x 256 tiles: 1.814 G products of 201 x 65,536 cells x 12,544 vectors are 1.1 %."""
    report = report_of("resnet18", "hermes-64")
    data = report.as_dict()
    cells = 201 * 256 * 256
    assert data["time_utilization"] == pytest.approx(1.814e9 / (cells * 12544), rel=1e-3)
    assert data["time_utilization"] == pytest.approx(0.011, rel=0.01)
    vectors = sum(row["reuse"] * row["tiles"] for row in data["layers"])  # type: ignore[attr-defined]
    assert data["tiles_busy"] == pytest.approx(vectors / (201 * 12544))
    assert data["power_w"] == report.cost.energy_pj / report.cost.interval_ns / 1000
    assert data["power_w_per_mm2"] == data["power_w"] / report.cost.area_mm2
    assert data["inputs_in_flight"] == report.cost.latency_ns / report.cost.interval_ns


def test_layers_say_what_bounds_them_and_their_energy_by_part() -> None:
    data = report_of("bert-base", "hermes-64").as_dict()
    for row in data["layers"]:  # type: ignore[attr-defined]
        assert row["bound"] == ("links" if row["carried_ns"] > 128 * 133 else "tiles") or row["reuse"] == 1
        assert sum(row["energy_by_part"].values()) == pytest.approx(row["energy_pj"])


def test_long_names_are_short_in_their_middle() -> None:
    name = "model.layers.17.block_sparse_moe.experts.3.projection.of.what.it.reads.w1"
    assert len(shortened(name, 40)) == 40
    assert shortened(name, 40).startswith("model.layers.")
    assert shortened(name, 40).endswith("reads.w1")
    assert shortened("fc", 40) == "fc"


Q_PROJ = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize("width", [70, 80, 160])
def test_tables_show_both_ends_of_a_name_at_any_width(width: int) -> None:
    """A terminal of 80 columns leaves the names of a plan some twenty characters: both ends are there."""
    names = [Q_PROJ, Q_PROJ.replace("q_proj", "k_proj"), Q_PROJ.replace("q_proj", "v_proj")]
    table = mapping_table(map_layers([LayerShape(name, 64, 64) for name in names], "demo-128"))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    lines = [line for line in console.export_text().splitlines() if "_proj" in line]
    assert len(lines) == 3
    for line, end in zip(lines, ("q_proj", "k_proj", "v_proj"), strict=True):
        shown = line.split()[0]
        assert shown.startswith("model")
        assert shown.endswith(end)


@pytest.mark.parametrize("width", range(1, 60))
def test_a_shortened_name_fits(width: int) -> None:
    assert len(shortened(Q_PROJ, width)) <= width


def test_bars_show_both_ends_of_a_name() -> None:
    line = bars("energy", {Q_PROJ: 2.0, "ADC": 1.0}, "pJ").splitlines()[1]
    assert line.split()[0].startswith("model.l")
    assert line.split()[0].endswith("attn.q_proj")


def test_many_layers_that_are_alike_are_one_row() -> None:
    layers = [LayerShape(f"h.{k}.{part}", 16, 16) for k in range(200) for part in ("up", "down")]
    table = mapping_table(map_layers(layers, "demo-128"))
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    text = console.export_text()
    console.file.close()
    assert table.row_count == 2
    assert "h.*.up (200 alike)" in text


def test_links_of_a_page_are_those_of_the_traffic() -> None:
    report = report_of("resnet9", "hermes-64")
    floor = floor_data(report.plan, report.chip)
    loads = traffic_of(report.plan, report.chip).loads
    assert sum(bits for _, _, bits in floor["links"]) == loads.links.sum()
    assert floor["fullest"][0]["name"] == report.cost.slowest_link
    assert floor["fullest"][0]["ns"] == report.cost.slowest_link_ns
