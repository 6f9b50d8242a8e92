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
STORED = Path(__file__).parents[1] / "golden" / "card_step.json"


def counted(*flags: str) -> str:
    """What the script prints last."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *flags], env={**os.environ, "TRITON_INTERPRET": "1"}, check=False,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_training_step_asks_no_more_of_a_card_than_is_stored() -> None:
    """LeNet5 of example 4, the second step; a smaller count is stored too, by the script's own output."""
    found, stored = json.loads(counted()), json.loads(STORED.read_text())
    assert found == stored
