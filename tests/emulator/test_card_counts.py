"""How much a training step asks of a card: launches, operators, waits, copies, held to a stored table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")

SCRIPT = Path(__file__).with_name("card_counts.py")
GOLDEN = Path(__file__).parents[1] / "golden"
STORED, OTHERS = GOLDEN / "card_step.json", GOLDEN / "card_others.json"


def said(script: Path, *arguments: str) -> str:
    """What a script prints under Triton's interpreter."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments], env={**os.environ, "TRITON_INTERPRET": "1"}, check=False,
        capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_training_step_asks_no_more_of_a_card_than_is_stored() -> None:
    """LeNet5 of example 4, the second step; a smaller count is stored too, by the script's own output."""
    found, stored = json.loads(said(SCRIPT)), json.loads(STORED.read_text())
    assert found == stored


def test_other_devices_ask_no_more_of_a_card_than_is_stored() -> None:
    """Decay, cells of several devices, a digital trainer: no wait and no copy."""
    found, stored = json.loads(said(SCRIPT, "others")), json.loads(OTHERS.read_text())
    assert found == stored
    assert not [name for name, counts in stored.items() if counts["waits"] or counts["copies"]]
    asking = {name for name, counts in stored.items() if counts["allocations"]}
    assert asking == {"digital trainer", "digital trainer, scaled, with ranges"}  # for torch's gradients


@pytest.mark.slow
def test_what_a_card_finds_wrong_is_said_late_by_layer_and_step() -> None:
    """No step waits; counters are those of processors, also with retries of bound management."""
    assert said(SCRIPT.with_name("late_checks.py")).splitlines()[-1] == "agrees"


@pytest.mark.parametrize(
    "kind",
    [
        "retries",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("momentum", "soft bounds", "obstacles")),
    ],
)
def test_a_step_that_a_card_repeats_alone_has_the_bits_of_one_that_the_host_leads(kind: str) -> None:
    assert said(SCRIPT.with_name("replay_checks.py"), kind).splitlines()[-1] == "agrees"
