"""aihwkit's own tests over this package: as many pass as are counted in ``counts.json``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COUNTS: dict[str, int] = json.loads((HERE / "counts.json").read_text())
PATHS = [str(HERE), str(HERE / "standins")]
FOLDER = os.environ.get("CROSSGRID_AIHWKIT", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER,
        reason="set CROSSGRID_AIHWKIT to a folder with aihwkit's tests/, and install parameterized",
    ),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COUNTS)
def test_as_many_pass_as_before(name: str) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir",
            ".", "-p", "placeholders", "--tb=no", "--continue-on-collection-errors", f"tests/{name}",
        ],
        cwd=FOLDER, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    assert int(found[1]) >= COUNTS[name], done.stdout[-1000:]
