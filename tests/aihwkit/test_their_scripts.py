"""aihwkit's example scripts over this package, cut short by ``shorten.py``: each ends, saying what it should.

``scripts.json`` lists those that are expected to: numbers that are made smaller, what the script prints, a
package that it needs, and a script whose results it reads. Data sets are drawn (``standins/``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shorten import shortened

HERE = Path(__file__).parent
SCRIPTS: dict[str, dict[str, Any]] = json.loads((HERE / "scripts.json").read_text(encoding="utf-8"))
FOLDER = os.environ.get("CROSSGRID_AIHWKIT", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="set CROSSGRID_AIHWKIT to a folder with aihwkit's examples/"),
]


def run(name: str, folder: Path) -> str:
    """What the script prints, which must end well."""
    examples, table = Path(FOLDER) / "examples", SCRIPTS[name]
    source = (examples / f"{name}.py").read_text(encoding="utf-8")
    (folder / f"{name}.py").write_text(shortened(source, table.get("values", {})), encoding="utf-8")
    if not (folder / "csv").exists():
        (folder / "csv").symlink_to(examples / "csv")
    paths = [str(HERE / "standins"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "crossgrid.aihwkit", f"{name}.py"],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_ends_and_says_what_it_should(name: str, tmp_path: Path) -> None:
    table = SCRIPTS[name]
    needs = table.get("needs")
    if needs is not None and importlib.util.find_spec(needs) is None:
        pytest.skip(f"the script imports {needs}")
    if "after" in table:
        run(table["after"], tmp_path)
    printed = run(name, tmp_path)
    assert re.search(table.get("prints", ""), printed), printed[-2000:]
