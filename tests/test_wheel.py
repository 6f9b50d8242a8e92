"""The package as others install it: a source archive, the wheel made from it, its modules imported."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMPORT_ALL = """
import importlib, pkgutil, sys
import crossgrid
names = [module.name for module in pkgutil.walk_packages(crossgrid.__path__, "crossgrid.", lambda name: None)]
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:  # what is left out of aihwkit's modules says what to use
        if not name.startswith("crossgrid.aihwkit.") or "is not in crossgrid.aihwkit" not in str(error):
            raise
print(crossgrid.__file__)
print(len(names))
print(len(crossgrid.chip.presets()))
for name in crossgrid.__all__:
    getattr(crossgrid, name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source archive, which is built from this folder."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    (found,) = folder.glob("*.whl")
    return found


def tracked(*patterns: str) -> set[str]:
    """Files that belong to the project, as they are called inside the package."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return {name if name.startswith("crossgrid/") else f"crossgrid/{name}" for name in listed}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source archive has no list of its files")
def test_the_wheel_holds_every_module_and_no_other_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = tracked(
        "crossgrid/*.py", "crossgrid/*.pyi", "crossgrid/py.typed", "kernels/**.py", "chip/**.py",
        "emulator/**.py", "emulator/sweep/*.html", "emulator/sensitivity/*.html",
        "chip/presets/*.yaml", "chip/reports/*.html",
    )  # fmt: skip
    assert names == wanted


def test_every_module_is_imported_from_the_wheel_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    command = [sys.executable, "-c", IMPORT_ALL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    file, modules, presets = done.stdout.split()
    assert Path(file) == site / "crossgrid" / "__init__.py"
    assert int(modules) > 150
    assert int(presets) >= 6
