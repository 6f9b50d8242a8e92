"""The read by Triton: interpreted on small shapes, compiled ahead for three architectures, run on a card."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from card_registers import READS, compiled, stored
from test_read import CONFIGURATIONS

from crossgrid.kernels.analog_mvm import IOParameters

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

HERE = Path(__file__).parent


def _lines_of(script: str, *arguments: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], env={**os.environ, **environment}, check=False,
        capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_the_interpreter_agrees_with_numpy_for_every_configuration():
    agreed = _lines_of("read_checks.py", TRITON_INTERPRET="1")
    assert len(agreed) == len(CONFIGURATIONS) + 1


@pytest.mark.slow
def test_the_interpreter_agrees_with_numpy_both_ways():
    agreed = _lines_of("read_checks.py", "every", TRITON_INTERPRET="1")
    assert len(agreed) == len(CONFIGURATIONS) + 1


def test_the_read_compiles_ahead_without_a_card_and_does_not_spill():
    found = compiled(READS, 90)
    assert found.keys() == {"average", "read many", "read back many", "read full"}
    held = stored(90)
    assert held["read many"].spilled_bytes == held["read back many"].spilled_bytes == 0


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90, 100])
def test_every_read_compiles_ahead_without_a_card(architecture):
    found = compiled(READS, architecture, "every")
    assert len(found) == 11
    large = {"read full", "read two passes", "read digital sum"}  # four sums and their draws at once
    held = stored(architecture)
    assert {name for name in found if held[name].spilled_bytes} <= large


@pytest.mark.gpu
@pytest.mark.parametrize("io", CONFIGURATIONS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("shape", [(13, 29, 5), (130, 257, 70), (1, 1000, 1), (600, 3, 33)], ids=str)
def test_a_card_agrees_with_numpy(io: IOParameters, direction: str, shape: tuple[int, int, int]):
    from read_checks import check_read

    out_size, in_size, batch = shape
    check_read(io, direction, out_size, in_size, batch, reads=2)


@pytest.mark.gpu
def test_a_card_knows_what_is_special():
    from read_checks import check_what_is_special

    check_what_is_special()
