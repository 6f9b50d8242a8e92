"""Every cell has the same bits, whether processors or kernels for a card compute it."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from card_registers import CELLS as KERNELS
from card_registers import compiled, stored
from cell_checks import CASES

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

FEW = ("one-sided-cell", "mixed-precision", "chopped-transfer", "decay-to-levels")


@pytest.mark.parametrize(
    "names", [pytest.param(FEW, id="few"), pytest.param((*CASES,), id="all", marks=pytest.mark.slow)]
)
def test_the_interpreter_has_the_processors_bits(names: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("cell_checks.py")), *names],
        env={**os.environ, "TRITON_INTERPRET": "1"}, check=False, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(names)


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(100, marks=pytest.mark.slow)],
)
def test_kernels_of_cells_compile_ahead_without_a_card_and_those_of_the_default_do_not_spill(
    architecture: int,
) -> None:
    found = compiled(KERNELS, architecture)
    assert len(found) == 16
    others = {name for name in found if name.endswith((" of linear", " of soft_bounds_reference"))}
    held = stored(architecture)
    assert all(held[name].spilled_bytes == 0 for name in found.keys() - others)
    assert all(held[name].spilled_bytes <= 32 for name in found)  # as those of updates


def test_a_card_works_with_the_numbers_of_cells_as_a_processor_does() -> None:
    """Every method of one is there in the other, of the same arguments."""
    from crossgrid.kernels.cells.numbers import cuda, host

    for name in ("Numbers", "LineDraws", "Turns", "Choices"):
        here, there = getattr(host, name), getattr(cuda, name)
        for method in {each for each in vars(here) if not each.startswith("_")}:
            if callable(getattr(here, method)):
                arguments = [[*signature(getattr(kind, method)).parameters] for kind in (here, there)]
                assert arguments[0] == arguments[1], f"{name}.{method}"


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_card_has_the_processors_bits(name: str) -> None:
    from cell_checks import check_cell

    check_cell(name)
