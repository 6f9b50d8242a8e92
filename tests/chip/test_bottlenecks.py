"""What bounds a stream: the tile of the layer with most vectors, a link, programming, arrivals, or waiting.

A tile of ``CHIP`` takes 45 ns for a vector; a layer of v vectors keeps its tile for 45 v of every input.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from test_schedule import CHIP, ONE_TILE, SLOW, conv

from crossgrid.chip import LayerShape, map_layers
from crossgrid.chip.reports.page import page
from crossgrid.chip.reports.report import Report
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.emulator.cli.main import main


def test_the_layer_with_most_vectors_sets_the_interval() -> None:
    """64, 16 and 4 vectors: its tile is never idle, the others work 1/4 and 1/16 of the time."""
    layers = [LayerShape("a", 8, 8, 64), LayerShape("b", 8, 8, 16), LayerShape("c", 8, 8, 4)]
    plan = map_layers(layers, CHIP)
    found = schedule(plan, CHIP, 8)
    assert found.bound.kind == "tile"
    assert found.bound.name == "tile 0/0,0, a"
    assert found.bound.busy == pytest.approx(1.0, rel=1e-6)
    assert [load.layers[0][0] for load in found.busiest] == ["a", "b", "c"]
    assert [load.busy for load in found.busiest] == pytest.approx([1.0, 1 / 4, 1 / 16], rel=1e-6)
    told = found.as_dict()
    assert [layer["tile"] for layer in told["layers"]] == ["0/0,0", "0/0,1", "0/0,2"]
    assert told["tiles"] == [0, 1, 2]
    assert sum(told["tile_busy"]) == pytest.approx(1 + 1 / 4 + 1 / 16)
    json.dumps(told)


def test_layers_on_one_tile_share_its_time_by_their_vectors() -> None:
    layers = [LayerShape("a", 8, 8, 30), LayerShape("b", 8, 8, 10)]
    found = schedule(map_layers(layers, ONE_TILE, "packed", 1), ONE_TILE, 8)
    (load,) = found.busiest
    assert dict(load.layers) == pytest.approx({"a": 0.75, "b": 0.25})
    assert str(found.bound).startswith(
        "the interval is that of tile 0/0,0, a 75.0%, b 25.0%, which works 100"
    )


def test_slow_links_inputs_that_come_late_and_programming_are_named() -> None:
    layers = [conv("a", 3, 6), conv("b", 3, 6)]
    linked = schedule(map_layers(layers, SLOW), SLOW, 16).bound
    assert linked.kind == "link"
    late = schedule(map_layers(layers, CHIP), CHIP, 8, every_ns=1e6).bound
    assert (late.kind, late.busy) == ("arrivals", pytest.approx(1.0))
    one = dataclasses.replace(CHIP, grid=dataclasses.replace(CHIP.grid, rows=1, columns=1))
    few = [LayerShape("a", 64, 64, 1), LayerShape("b", 64, 64, 1)]
    found = schedule(map_layers(few, one, "time-multiplexed", 1), one, 6)
    # 6,400 ns of programming and 53 of work a round: 99.2 %
    assert (found.bound.kind, found.bound.busy) == ("programming", pytest.approx(6400 / 6453, rel=1e-6))
    assert found.program_ns == pytest.approx(6400)


def test_one_input_alone_is_bound_by_waiting() -> None:
    """Nothing follows it: each of two equal layers works half of its latency."""
    found = schedule(map_layers([LayerShape("a", 8, 8, 4), LayerShape("b", 8, 8, 4)], CHIP), CHIP, 1)
    assert found.bound.kind == "waiting"
    assert "no part is full: layers wait, most for inputs" in str(found.bound)


def test_copies_share_their_layers_vectors() -> None:
    layers = [LayerShape("a", 8, 8, 64), LayerShape("b", 8, 8, 16)]
    plan = map_layers(layers, CHIP, "replicated", copies={"a": 4})
    found = schedule(plan, CHIP, 8)
    assert [load.busy for load in found.busiest] == pytest.approx([found.busiest[0].busy] * 5)
    assert len(found.busiest) == 5


def test_command_json_and_page_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    options = ["--chip", "demo-128", "--schedule", "4", "--json", str(file)]
    assert main(["map", "lenet5", *options]) == 0
    printed = capsys.readouterr().out
    assert "busiest tiles" in printed
    told = json.loads(file.read_text())["schedule"]
    assert told["bound"]["text"] in printed.replace("\n", " ")
    assert told["busiest"][0]["tile"] in printed
    plan = map_layers([conv("a", 3, 6), conv("b", 3, 6)], CHIP)
    report = dataclasses.replace(Report.of(plan, CHIP), schedule=schedule(plan, CHIP, 4))
    assert str(report.schedule and report.schedule.bound) in page([report])
