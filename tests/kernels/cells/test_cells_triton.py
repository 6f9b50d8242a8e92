"""Every cell has the same bits, whether processors or kernels for a card compute it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stored_runs.cells import CELLS

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

FEW = ("vector-cell-SingleRandom", "one-sided-cell", "mixed-precision", "chopped-transfer")


@pytest.mark.parametrize(
    "names", [pytest.param(FEW, id="few"), pytest.param((*CELLS,), id="all", marks=pytest.mark.slow)]
)
def test_the_interpreter_has_the_processors_bits(names: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("cell_checks.py")), *names],
        env={**os.environ, "TRITON_INTERPRET": "1"}, check=False, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(names)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CELLS)
def test_a_card_has_the_processors_bits(name: str) -> None:
    from cell_checks import check_cell

    check_cell(name)
