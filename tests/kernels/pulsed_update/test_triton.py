"""Triton: interpreted on small shapes, compiled ahead for three architectures, run where there is a card."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from card_registers import UPDATES, compiled, stored
from update_cases import DEVICES, FEW, PULSED

from crossgrid.kernels.devices.drawn.traced import formula_text

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

HERE = Path(__file__).parent


def _run(script: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], env={**os.environ, **environment}, check=False,
        capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_interpreter_agrees_with_numpy_for_every_device_and_pulse_type():
    agreed = _run("triton_checks.py", TRITON_INTERPRET="1").splitlines()
    assert len(agreed) == len(DEVICES) + len(PULSED) + 2


@pytest.mark.parametrize(
    ("architecture", "names"),
    [(90, FEW), *(pytest.param(each, (*DEVICES,), marks=pytest.mark.slow) for each in (80, 90, 100))],
)
def test_devices_compile_ahead_without_a_card_and_the_default_does_not_spill(architecture, names):
    found = compiled(UPDATES, architecture, *(["few"] if names is FEW else []))
    anew = [name for name in names if formula_text(DEVICES[name]) is not None]
    assert len(found) == len(names) + 2 * len(anew) + len(PULSED) + 1
    held = stored(architecture)
    assert held["step constant"].spilled_bytes == 0
    assert held["train STOCHASTIC_COMPRESSED"].spilled_bytes == 0
    assert held["step constant in 4 layers"].spilled_bytes == 0
    # of others some bytes: ptxas spills them for more warps on a multiprocessor
    assert all(held[name].spilled_bytes <= 32 for name in found)


@pytest.mark.slow
def test_rows_of_other_widths_compile_too():
    assert {"step constant 32", "step constant 1024", "step constant 4096"} <= compiled(
        UPDATES, 90, "every"
    ).keys()
    held = stored(90)
    assert held["step constant 32"].spilled_bytes == held["step constant 1024"].spilled_bytes == 0
    assert held["step constant 4096"].spilled_bytes < 160


@pytest.mark.gpu
@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("shape", [(63, 100), (1, 1000), (130, 3)])
def test_a_card_agrees_with_numpy(name, shape):
    from triton_checks import check_update

    from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

    out_size, in_size = shape
    rate = 0.3 if name == "neurosim" else 0.02
    check_update(DEVICES[name], UpdateParameters(), out_size=out_size, in_size=in_size, rate=rate)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", PULSED, ids=lambda kind: kind.name)
def test_a_card_agrees_with_numpy_for_every_pulse_type(kind):
    from triton_checks import check_update

    from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

    check_update(DEVICES["constant"], UpdateParameters(pulse_type=kind), out_size=63, in_size=100)


@pytest.mark.gpu
def test_a_card_draws_the_known_answers():
    from triton_checks import check_known_answers

    check_known_answers()
