"""The run for a machine with a card, rehearsed without one; examples and doctor as they are used there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

ROOT = Path(__file__).parents[1]
RUN = ROOT / "benchmarks" / "card" / "run.py"
without_a_card = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")


def called(*command: str, interpreted: bool = False) -> subprocess.CompletedProcess[str]:
    """A script or module of the checkout, by this Python."""
    environment = {**os.environ, "TRITON_INTERPRET": str(int(interpreted))}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, check=False, capture_output=True, text=True,
        timeout=560,
    )  # fmt: skip


@without_a_card
def test_without_a_card_every_part_says_so(tmp_path: Path) -> None:
    done = called(str(RUN), "--results", str(tmp_path))
    lines = done.stdout.splitlines()
    assert len(lines) == 16
    assert all("not run: torch" in line and "finds no CUDA card" in line for line in lines)
    assert done.returncode == 1
    assert done.stderr.startswith("card: torch")
    assert not list(tmp_path.glob("*.md"))


def test_the_table_is_named_after_the_card_and_says_what_was_not_run(tmp_path: Path) -> None:
    done = called(str(RUN), "--results", str(tmp_path), "--parts", "machine,memory,step", interpreted=True)
    assert done.returncode == 1
    assert "card: not whole: step" in done.stderr
    (file,) = tmp_path.glob("*.md")
    assert file.name == "triton-s-interpreter.md"
    rows = [line.strip("| ").split(" | ") for line in file.read_text().splitlines()[4:]]
    assert {row[0] for row in rows} == {"machine", "memory", "step"}
    assert ["torch", torch.__version__] in [row[2:] for row in rows]
    assert [row[1] for row in rows if row[0] == "step"] == [
        "not run: needs a card, Triton's interpreter is none"
    ]


def test_a_part_ends_after_its_time_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))
    import run

    log = tmp_path / "log"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('child |', child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    assert run.execute([sys.executable, "-c", code], 3.0, log) is None
    ((what, child),) = run.figures_of(log)
    assert what == "child"
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(child)) and psutil.Process(int(child)).status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run.execute([sys.executable, "-c", "import sys; print('bad luck'); sys.exit(4)"], 20.0, log) == 4
    assert run.figures_of(log) == (("last line", "bad luck"),)


EVERY_EXAMPLE = """
import runpy, sys
sys.path.insert(0, "examples")
for script in sys.argv[1:]:
    sys.argv = [script, "--device", "cuda", "--epochs", "1"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        print(error.code, file=sys.stderr)
"""


@without_a_card
def test_every_example_takes_a_card_and_says_where_there_is_none() -> None:
    scripts = sorted(str(path) for path in (ROOT / "examples").glob("0*.py"))
    done = called("-c", EVERY_EXAMPLE, *scripts)
    said = 'error: device "cuda" needs a CUDA card, and torch finds none; use device="cpu"'
    assert done.stderr.splitlines() == [said] * len(scripts)


@pytest.mark.parametrize(
    "script", ["01_simple_layer", pytest.param("08_simple_layer_with_tiki_taka", marks=pytest.mark.slow)]
)
def test_an_example_trains_on_kernels_for_a_card(script: str, tmp_path: Path) -> None:
    flags = ("--device", "cuda", "--epochs", "1", "--results", str(tmp_path))
    done = called(f"examples/{script}.py", *flags, interpreted=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.json").is_file()


def test_doctor_compiles_and_runs_a_tile_on_the_card() -> None:
    code = (
        "from crossgrid.emulator.cli import doctor\n"
        "print(*[found for found in doctor.examine(False) if found.what == 'CUDA'])"
    )
    done = called("-c", code, interpreted=True)
    assert "works=True, says=\"Triton's interpreter: a tile gave 4 outputs and took " in done.stdout
