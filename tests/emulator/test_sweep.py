"""Sweeps: each point once, equal numbers emulated once, nothing lost by a kill, mistakes named."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import crossgrid as cg
from crossgrid.chip.cost.cost import cost_of
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.sweep.figures import front
from crossgrid.emulator.sweep.settings import Settings
from crossgrid.emulator.sweep.study import as_study

EXAMPLES = Path(__file__).parents[2] / "examples"


def data(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    x = 2 * torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    return x, network()(x).argmax(1)  # what the digital model says: it is right every time


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()


def deeper() -> nn.Module:
    """16 vectors pass its first layer, one each of the two others, which can share a tile."""
    torch.manual_seed(1)
    middle = (nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5))
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), *middle).eval()


def study(**fields: Any) -> dict[str, Any]:
    parameters = {"chip.adc.bits": [4, 9], "chip.adc.columns": [1, 8], "strategy": ["per-layer", "packed"]}
    return {"model": network(), "data": data(), "parameters": parameters, **fields}


def test_points_whose_numbers_are_equal_share_an_emulation() -> None:
    done = cg.sweep(study(model=deeper()))
    assert (len(done.rows), done.emulations) == (8, 2)
    assert len({row["numbers"] for row in done.rows}) == 2
    for bits in ("4", "9"):
        assert len({row["accuracy"] for row in done.rows if row["chip.adc.bits"] == bits}) == 1
    assert {(row["strategy"], row["tiles"]) for row in done.rows} == {("per-layer", 3), ("packed", 2)}
    areas = {(row["chip.adc.bits"], row["chip.adc.columns"]): row["area_mm2"] for row in done.rows}
    assert len(set(areas.values())) == 4
    assert str(done).startswith("8 points, 2 emulations: ")


def test_a_schedule_is_further_columns_where_it_is_asked_for(tmp_path: Path) -> None:
    """The closed form's interval, also where the two layers of one vector share a tile: two sixteenths of the
    time of the first one's, which always works."""
    rows = tmp_path / "rows.csv"
    asked = study(model=deeper(), schedule=4)
    done = cg.sweep(asked, rows)
    assert "schedule_interval_ns" not in cg.sweep(study()).rows[0]
    for row in done.rows:
        assert row["schedule_interval_ns"] == pytest.approx(row["interval_ns"], rel=1e-6)
        assert row["schedule_stalls_ns"] > 0
        assert 0 < row["schedule_tiles_busy"] <= 1 + 1e-9
        assert row["schedule_buffer_bytes"] > 0
    packed = [row["schedule_tiles_busy"] for row in done.rows if row["strategy"] == "packed"]
    assert packed == pytest.approx([(1 + 2 / 16) / 2] * 4)
    assert cg.sweep(asked, rows).rows == done.rows
    assert done.front("schedule_interval_ns")
    assert "schedule_interval_ns" in done.write_page(tmp_path / "page.html").read_text()
    with pytest.raises(cg.ConfigError, match="schedule = 0 must be a number of at least 1"):
        cg.sweep(study(schedule=0))


def test_where_lines_share_a_spread_sharing_decides_numbers() -> None:
    spread = {"config.forward.out_noise_std": [0.3]}
    parameters = {**study()["parameters"], **spread}
    assert cg.sweep(study(parameters=parameters)).emulations == 4


def test_another_cut_is_another_emulation() -> None:
    """64 inputs are halves on tiles of 48 and thirds on tiles of 24, whatever the strategy."""
    tiles = [
        {"label": str(rows), "chip.crossbar.rows": rows, "chip.crossbar.columns": 2 * rows}
        for rows in (48, 24)
    ]
    done = cg.sweep(study(parameters={"tile": tiles, "strategy": ["per-layer", "packed", "replicated"]}))
    assert done.emulations == 2
    halves, thirds = ({row["numbers"] for row in done.rows if row["tile"] == tile} for tile in ("48", "24"))
    assert len(halves) == len(thirds) == 1
    assert halves != thirds


def test_a_row_is_what_emulate_and_its_plan_give() -> None:
    row = cg.sweep(study()).rows[3]  # 4 bits, 8 columns, packed
    settings = yaml.safe_load((Path(cg.__file__).parents[1] / "chip/presets/demo-128.yaml").read_text())
    settings["adc"] |= {"bits": 4, "columns": 8}
    from crossgrid.chip.description.load import parse_chip

    chip = parse_chip(settings, "by hand")
    x, labels = data()
    model = cg.convert_to_analog(network(), cg.InferenceRPUConfig(), seed=0).eval()
    with pytest.warns(UserWarning, match="adc.bits = 4"):
        running = cg.emulate(model, chip, strategy="packed", example_input=x[:1])
    with running:
        torch.manual_seed(0)
        right = (running.infer(x, 250).argmax(1) == labels).double().mean()
        assert running.plan is not None
        cost = cost_of(running.plan, chip)
    assert row["accuracy"] == float(right)
    assert (row["energy_pj"], row["area_mm2"], row["latency_ns"]) == pytest.approx(
        (cost.energy_pj, cost.area_mm2, cost.latency_ns), rel=1e-12
    )
    assert row["warning"].startswith("adc.bits = 4")


def test_more_bits_are_more_right_and_a_year_is_less() -> None:
    """What the emulation is for: with 10 bits more labels are the digital model's than with 3."""
    parameters = {"chip.adc.bits": [3, 10], "drift_s": [1.0, 3.15e8]}
    done = cg.sweep(study(data=data(200), parameters=parameters))
    coarse, _, fine, aged = (row["accuracy"] for row in done.rows)
    assert fine > coarse
    assert aged < fine
    assert done.emulations == 4


def test_points_that_cannot_be_are_rows_with_their_error() -> None:
    parameters = {"chip.grid.rows": [1, 10], "chip.crossbar.rows": [4, 128], "chip.adc.bits": [9, 90]}
    done = cg.sweep(study(parameters=parameters))
    errors = [row["error"] for row in done.rows]
    assert re.match(r"the model needs 19 tiles of 128 x 4 weights .* chip 'demo-128' has 10; ", errors[0])
    assert [not error for error in errors[::2]] == [False, True, True, True]
    assert all("adc.bits = 90" in error for error in errors[1::2])
    assert all(row["accuracy"] is None for row in done.errors)
    assert [row["point"] for row in done.rows] == list(range(8))


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"chip.adc.bit": [4]}, "unknown .*'bit'.*bits"),
        ({"chip.adcs.bits": [4]}, "unknown .*'adcs'.*adc"),
        ({"chip.parts.ADCs.energy_pj": [4]}, "'ADCs': did you mean 'ADC'"),
        ({"config.forward.out_nois": [0.1]}, "field of IOParameters 'out_nois': did you mean 'out_noise"),
        ({"config.forward.noise_management": ["ABSMAX"]}, "did you mean 'ABS_MAX'"),
        ({"strategi": ["packed"]}, "unknown parameter 'strategi': did you mean 'strategy'"),
        ({"tile": [{"crossbar.rows": 3}]}, "unknown parameter 'crossbar.rows'"),
        ({"chip": [4]}, "give a field such as chip.adc.bits"),
        ({"strategy": "packed"}, "must be a list of values"),
        ({"strategy": []}, "must be a list of values"),
        ({}, "a study needs parameters"),
        ({"accuracy": [{"seed": 1}]}, "'accuracy' has the name of a column"),
    ],
)
def test_a_parameter_that_does_not_exist_is_named(parameters: dict[str, Any], error: str) -> None:
    with pytest.raises(cg.ConfigError, match=error):
        cg.sweep(study(parameters=parameters))


def test_studies_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(cg.ConfigError, match="unknown key of study 'chips_': did you mean 'chips'"):
        cg.sweep(study(chips_=3))
    with pytest.raises(cg.ConfigError, match="has no 'data'"):
        cg.sweep({"model": network(), "parameters": {"strategy": ["packed"]}})
    with pytest.raises(cg.ConfigError, match="cannot be read: No such file"):
        cg.sweep(tmp_path / "none.yaml")
    with pytest.raises(cg.ConfigError, match="unknown configuration 'InferenceRPUConfg': did you mean"):
        cg.sweep(study(config="InferenceRPUConfg"))
    with pytest.raises(cg.ConfigError, match=r"inputs have shape \(40, 1, 6, 6\), labels \(39,\)"):
        cg.sweep(study(data=(data()[0], data()[1][1:])))
    with pytest.raises(cg.ConfigError, match="inputs or labels are no tensors"):
        cg.sweep(study(data=(["a"], [1])))
    with pytest.raises(cg.ConfigError, match=r"model = 3 must be a name such as FILE.py:CALLABLE"):
        cg.sweep(study(model=3))
    with pytest.raises(cg.ConfigError, match=r"chip file 'none.yaml' does not exist"):
        cg.sweep(study(chip="none.yaml"))
    with pytest.raises(cg.ConfigError, match=r"'.txt' is no format of rows; give a name in .csv"):
        cg.sweep(study(), tmp_path / "rows.txt")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_are_kept_and_not_done_again(tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="an extra: pip install 'crossgrid[sweep]'")
    rows = tmp_path / f"rows.{ending}"
    first = cg.sweep(study(), rows)
    whole = rows.read_bytes()
    again = cg.sweep(study(), rows)
    assert (again.emulations, again.kept, again.rows) == (0, 8, first.rows)
    assert rows.read_bytes() == whole
    with pytest.raises(cg.ConfigError, match="are of another study"):
        cg.sweep(study(seed=1), rows)
    other = nn.Sequential(*(nn.Tanh() if isinstance(part, nn.ReLU) else part for part in network()))
    with pytest.raises(cg.ConfigError, match="are of another study"):  # of the same weights
        cg.sweep(study(model=other), rows)


def test_a_model_that_fails_is_a_row_with_its_error() -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(36, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 1:
                raise RuntimeError("one at a time")
            return self.layer(x.flatten(1))

    errors = cg.sweep(study(model=Alone())).errors
    assert len(errors) == 8
    assert "the model fails on the study's inputs (RuntimeError: one at a time)" in errors[0]["error"]
    assert not cg.sweep(study(model=Alone(), batch=1)).errors


def test_a_model_without_classes_is_a_row_with_its_error() -> None:
    one = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Flatten(0))
    errors = cg.sweep(study(model=one)).errors
    assert len(errors) == 8
    assert "an accuracy needs a row of classes each" in errors[0]["error"]


def test_rows_that_are_missing_take_equal_numbers_from_those_that_are_there(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    cg.sweep(study(), rows)
    whole = rows.read_bytes()
    lines = whole.decode().splitlines(keepends=True)
    rows.write_text("".join(lines[:3]))  # two of the four points of 4 bits
    again = cg.sweep(study(), rows)
    assert (again.emulations, again.kept) == (1, 2)
    assert rows.read_bytes() == whole


def _killed_in_the_middle(command: list[str], rows: Path) -> list[str]:
    """Run ``command`` until it has written some rows, kill it: the points of these rows."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while not rows.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    with rows.open(newline="") as file:
        return [row["point"] for row in csv.DictReader(file)]


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    """Killed when some rows are there, called again: the file of an undisturbed sweep, byte for byte."""
    settings = yaml.safe_load((EXAMPLES / "10_design_space.yaml").read_text())
    settings["parameters"]["tile"] = settings["parameters"]["tile"][3:]
    settings |= {"model": f"{__file__}:deeper", "data": f"{__file__}:data"}
    path, rows = tmp_path / "study.yaml", tmp_path / "rows.csv"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    command = [sys.executable, "-m", "crossgrid.commands", "sweep", str(path), "--rows", str(rows)]
    killed = _killed_in_the_middle(command, rows)
    assert 0 < len(killed) < 45
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)
    found = re.search(r"45 points, (\d+) emulations, (\d+) rows kept", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) < 5
    assert int(found[2]) == len(killed)
    undisturbed = tmp_path / "undisturbed.csv"
    assert cg.sweep(path, undisturbed).emulations == 5
    assert undisturbed.read_bytes() == rows.read_bytes()


SAMPLED = {
    "chip.adc.bits": [3, 4, 5, 7, 9, 90],
    "chip.adc.columns": [1, 8, 32],
    "strategy": ["per-layer", "packed"],
}


@pytest.mark.parametrize("name", ["nsga2", "tpe", "random"])
def test_a_sampler_s_points_are_those_of_its_seed(name: str, tmp_path: Path) -> None:
    """Called again, or with a file that lacks rows as after a kill: the same rows, byte for byte."""
    pytest.importorskip("optuna", reason="an extra: pip install 'crossgrid[samplers]'")
    asked = study(parameters=SAMPLED, sampler={"name": name, "points": 20, "seed": 3})
    rows = tmp_path / "rows.csv"
    done = cg.sweep(asked, rows)
    assert 5 < len(done.rows) <= 20
    assert len(done.rows) < len(done.study)
    assert all("adc.bits = 90" in row["error"] for row in done.errors)
    whole = rows.read_bytes()
    lines = whole.decode().splitlines(keepends=True)
    rows.write_text("".join(lines[:5]))
    again = cg.sweep(asked, rows)
    assert (again.kept, again.rows) == (4, done.rows)
    assert rows.read_bytes() == whole
    grid = {row["point"]: row for row in cg.sweep(study(parameters=SAMPLED)).rows}
    assert all({**grid[row["point"]], "study": ""} == {**row, "study": ""} for row in done.rows)
    other = cg.sweep(study(parameters=SAMPLED, sampler={"name": name, "points": 20, "seed": 4}))
    assert [row["point"] for row in other.rows] != [row["point"] for row in done.rows]


def test_a_killed_sampler_goes_on(tmp_path: Path) -> None:
    """SIGKILL in the middle, the same command again: the file of an undisturbed sweep, byte for byte."""
    pytest.importorskip("optuna", reason="an extra: pip install 'crossgrid[samplers]'")
    settings = yaml.safe_load((EXAMPLES / "10_design_space.yaml").read_text())
    settings |= {"model": f"{__file__}:deeper", "data": f"{__file__}:data"}
    settings |= {"sampler": {"name": "nsga2", "points": 24, "seed": 2}}
    path, rows = tmp_path / "study.yaml", tmp_path / "rows.csv"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    command = [sys.executable, "-m", "crossgrid.commands", "sweep", str(path), "--rows", str(rows)]
    killed = _killed_in_the_middle(command, rows)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)
    found = re.search(r"(\d+) points, \d+ emulations, (\d+) rows kept", done.stdout)
    assert found is not None, done.stdout
    assert int(found[2]) == len(killed) < int(found[1]) <= 24
    undisturbed = tmp_path / "undisturbed.csv"
    cg.sweep(path, undisturbed)
    assert undisturbed.read_bytes() == rows.read_bytes()


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({"name": "nsga"}, "unknown sampler 'nsga': did you mean 'nsga2'"),
        ({"point": 3}, "unknown key of sampler 'point': did you mean 'points'"),
        ({"points": 0}, "points = 0 must be an integer of at least 1"),
        (
            {"objectives": ["energy"]},
            "unknown figure of sampler: objectives 'energy': did you mean 'energy_pj'",
        ),
        ("nsga2", "must be a mapping such as"),
    ],
)
def test_a_sampler_that_cannot_be_is_named(sampler: Any, words: str) -> None:
    with pytest.raises(cg.ConfigError, match=words):
        cg.sweep(study(sampler=sampler))


def test_a_sampler_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        cg.ConfigError, match=r"needs the package optuna, .*pip install 'crossgrid\[samplers\]'"
    ):
        cg.sweep(study(sampler={"name": "tpe"}))


def test_the_studies_among_the_examples_are_studies() -> None:
    """Every point is a setting: no parameter is misspelt, no value out of range."""
    swept = [p for p in sorted(EXAMPLES.glob("*.yaml")) if yaml.safe_load(p.read_text()).get("parameters")]
    assert len(swept) >= 2  # the others are a chip, and a study of one point that ``choose`` reads
    for path in swept:
        read = as_study(path)
        settings = Settings(read)
        assert len([settings.of(point) for point in read.points()]) == len(read) > 1


def test_the_front_is_what_nothing_beats() -> None:
    rows = [
        {"point": k, "energy_pj": energy, "accuracy": accuracy}
        for k, (energy, accuracy) in enumerate([(2, 0.5), (1, 0.5), (3, 0.9), (4, 0.8), (3, 0.7), (5, None)])
    ]
    assert [row["point"] for row in front(rows, "energy_pj", "accuracy")] == [1, 2]
    with pytest.raises(cg.ConfigError, match="unknown figure 'energy': did you mean 'energy_pj'"):
        front(rows, "energy", "accuracy")


def test_the_command_writes_rows_page_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\ndef net():\n    torch.manual_seed(1)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(36, 5))\n"
        "def images():\n    x = torch.rand(20, 1, 6, 6)\n    return x, net()(x).argmax(1)\n"
    )
    (tmp_path / "study.yaml").write_text(
        "model: net.py:net\ndata: net.py:images\n"
        "parameters:\n  chip.adc.bits: [5, 9]\n  strategy: [per-layer]\n"
    )
    arguments = [f"--{kind}={tmp_path}/sweep.{kind}" for kind in ("html", "png")]
    assert main(["sweep", f"{tmp_path}/study.yaml", f"--rows={tmp_path}/rows.csv", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "2 points, 2 emulations" in printed
    assert "front of accuracy over energy_pj" in printed
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "sweep.html").read_text()
    assert "__DATA__" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # loads nothing
    assert main(["sweep", f"{tmp_path}/study.yaml", "--cost", "energy"]) == 2
    assert "unknown figure 'energy'" in capsys.readouterr().err


def test_ray_gives_the_same_rows() -> None:
    done = cg.sweep(study(), backend="ray", workers=2)
    assert done.rows == cg.sweep(study()).rows
    assert done.emulations == 2
