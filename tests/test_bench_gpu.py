"""The benchmark of cards: the whole script on tiny shapes under Triton's interpreter."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bench_gpu.py"


@pytest.mark.slow
def test_the_script_checks_and_times_every_part(tmp_path: Path) -> None:
    file = tmp_path / "figures" / "bench_gpu.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--small", "--json", str(file)],
        env={**os.environ, "TRITON_INTERPRET": "1"}, check=False, capture_output=True, text=True, timeout=290,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(file.read_text())
    rows = [result["row"] for result in report["results"]]
    assert [row.split()[0] for row in rows] == [
        "update", "update", "update", "forward", "backward", "forward", "backward", "update", "training",
    ]  # fmt: skip
    assert all(result["ms"] > 0 for result in report["results"])
    assert all(row in done.stdout for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    with pytest.raises(SystemExit, match="no CUDA card"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
