"""A kernel's stored code is that of the sources whose hash it is stored under."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import crossgrid.kernels

NAME = """
import os
import sys
from pathlib import Path
from crossgrid.kernels.machine.jit import sources_hash

read, formula = (Path(sys.path[0], "crossgrid/kernels", each) for each in ("read.py", "formula.py"))
if sys.argv[1]:
    formula.write_text(sys.argv[1])
print(sources_hash(read))
"""


def test_what_a_file_says_after_the_start_is_not_what_runs(tmp_path: Path) -> None:
    """An old process that finds new text compiles old code: under a name that no new process looks for."""
    package = tmp_path / "crossgrid"
    kernels = next(iter(crossgrid.kernels.__path__))
    shutil.copytree(kernels, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").write_text("")
    (package / "kernels/read.py").write_text("from .formula import law\n")
    (package / "kernels/formula.py").write_text("law = 1\n")
    (tmp_path / "name.py").write_text(NAME)

    def name(edit: str = "") -> str:
        ran = subprocess.run(
            [sys.executable, tmp_path / "name.py", edit], env={**os.environ, "PYTHONPATH": ""},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return ran.stdout

    first = name()
    assert name() == first
    in_an_old_process = name("law = 2\n")
    second = name()
    assert name() == second
    assert len({first, in_an_old_process, second}) == 3
