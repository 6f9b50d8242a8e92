"""Programs of a launch in any order, under Triton's interpreter: equal results, no races, no strays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is an extra: pip install 'crossgrid[cuda]'")


@pytest.mark.slow
def test_no_result_depends_on_the_order_of_programs() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("order_checks.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1"}, check=False, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 6
