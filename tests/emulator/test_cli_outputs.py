"""Where the commands about plans write, and which options go together: it works, or one line says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.emulator.cli.main import main

MAP = ["map", "lenet5", "--chip", "demo-128"]
#: outputs of ``map``, and what one begins with
TEXTS = {"--neurosim": "28,28,1,5,5,16,", "--zigzag": "# demo-128:", "--json": "{", "--html": "<!"}
FILES = ("--save", "--png", "--gantt")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that fails."""
    assert main([*MAP, *arguments]) == 2
    said = capsys.readouterr()
    assert not said.out
    (line,) = said.err.splitlines()
    assert line.startswith("crossgrid: error: ")
    return line


@pytest.mark.parametrize("option", [*TEXTS, *FILES])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{here}", "that is a directory; give a file in it"),
        ("{here}/none/out", "there is no directory '{here}/none'"),
        ("{here}/taken/out", "there is no directory '{here}/taken'"),
        ("", "names no file"),
    ],
)
def test_what_cannot_be_written_is_said_first(
    option: str, target: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the model nothing is read before: it does not exist."""
    (tmp_path / "taken").write_text("a file")
    here = {"here": str(tmp_path)}
    arguments = ["map", "no-such-model", "--chip", "demo-128", option, target.format(**here)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words.format(**here) in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


@pytest.mark.parametrize("option", [*TEXTS, *FILES])
def test_a_device_is_written_to_under_its_own_name(option: str, tmp_path: Path) -> None:
    """No ending is added; a device that takes nothing more is one line."""
    devices = sorted(os.listdir("/dev"))
    assert main([*MAP, option, "/dev/null"]) == 0
    assert main([*MAP, option, str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").stat().st_size > 0
    assert main([*MAP, option, "/dev/full"]) == 2
    assert sorted(os.listdir("/dev")) == devices


@pytest.mark.parametrize("option", TEXTS)
def test_a_text_takes_the_terminal_from_the_report(option: str, tmp_path: Path) -> None:
    """Into a file that stands for the terminal too: opened anew it would be cut under the report."""
    whole = tmp_path / "whole"
    assert main([*MAP, option, str(whole)]) == 0
    for target in ("/dev/stdout", "-"):
        command = [sys.executable, "-m", "crossgrid.commands", *MAP, option, target]
        with (tmp_path / "out").open("wb") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert (tmp_path / "out").read_bytes().rstrip() == whole.read_bytes().rstrip()
    assert whole.read_text().startswith(TEXTS[option])


@pytest.mark.parametrize("option", FILES)
@pytest.mark.parametrize("stream", ["/dev/stdout", "-", "/dev/stderr"])
def test_what_is_no_text_needs_a_file(option: str, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{option} {stream}: what it writes is no text" in refused(capsys, option, stream)


def test_two_texts_do_not_mix_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--json", "-", "--neurosim", "/dev/stdout")
    assert "--json and --neurosim would mix on the terminal" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for this user")
@pytest.mark.parametrize("option", [*TEXTS, *FILES])
def test_a_folder_that_is_read_only(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert "Permission denied" in refused(capsys, option, str(folder / "out"))


def test_zigzag_makes_its_folder_and_takes_no_file_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MAP, "--zigzag", f"{tmp_path}/new/"]) == 0
    assert len(list((tmp_path / "new").iterdir())) == 3
    capsys.readouterr()
    (tmp_path / "file").write_text("a file")
    assert "that is a file; give a directory" in refused(capsys, "--zigzag", f"{tmp_path}/file/")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--strategy", strategy) for strategy in STRATEGIES]
    + [("--placement", "row-major"), ("--chips", "1"), ("--batch", "1"), ("--copies", "conv1=1")],
)
def test_a_plan_leaves_no_choice(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the option says what the plan is, or what is the default."""
    plan = str(tmp_path / "plan")
    assert main([*MAP, "--save", plan]) == 0
    capsys.readouterr()
    said = refused(capsys, "--plan", plan, option, value)
    assert f"--plan {plan} is mapped already: leave out --strategy" in said


def test_all_strategies_on_one_chip(capsys: pytest.CaptureFixture[str]) -> None:
    """What does not fit is left out with its reason, and takes nothing else with it."""
    command = ["compare", "resnet9", "--chip", "demo-128", "--all-strategies", "--chips", "1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    for strategy in ("per-layer", "packed", "replicated"):
        assert f"left out: demo-128, {strategy}: the model needs" in said
    assert "time-multiplexed" in said.partition("left out")[0]
    assert main([*command, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["strategy"] for row in rows} == set(STRATEGIES)
    assert [row["strategy"] for row in rows if "error" not in row] == ["time-multiplexed"]
    assert main(["compare", "lenet5", "--chip", "demo-128", "--all-strategies", "--chips", "1"]) == 0
    said = capsys.readouterr().out
    assert "left out" not in said
    assert all(strategy in said for strategy in STRATEGIES)


def test_where_nothing_fits_one_line_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["compare", "resnet9", "--chip", "demo-128", "--strategy", "packed", "--chips", "1"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no row of the comparison fits: the model needs" in line
