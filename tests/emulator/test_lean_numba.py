"""Loading kernels without what compiling needs gives the same kernels, and compiling still works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from crossgrid.emulator.cli import doctor
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.machine import lean_numba, switches

LOADED = """
import sys
import numpy as np
import numba
from crossgrid.kernels.arrays.draws import cpu, naive
from crossgrid.kernels.machine.lean_numba import load_only

load_only()
keys, high = np.array([[1, 2]], np.uint32), (np.uint32(3), np.uint32(4))
words = cpu.words(keys, 0, 2, 5, *high)
assert (words == naive.words(keys, 0, 2, 5, *high)).all()
print(sum(cpu.words.stats.cache_hits.values()), "numba.np.arraymath" in sys.modules)

@numba.njit
def second(keys, c2, c3):
    return cpu.words(keys, 0, 2, 5, c2, c3)[1]

assert (second(keys, *high) == words[1]).all()
"""


def lean(**environment: str) -> str:
    """What a process that loads the kernel and then compiles one that uses it says."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_loaded_kernel_computes_and_can_be_compiled_against() -> None:
    """The first process may compile the kernel; the second loads it, and nothing of the compiler with it."""
    lean()
    assert lean().split() == ["1", "False"]


USERS = """
import sys
import numba
import numpy as np

if sys.argv[1] == "lean":
    from crossgrid.kernels.machine.lean_numba import load_only
    load_only()

@numba.vectorize(["float32(float32)", "complex64(complex64)"], cache=True)
def twice(x):
    return x + x

@numba.njit(cache=True)
def of_a_list(x):
    return np.linalg.norm(np.array([x, x]))

assert twice(np.float32(1.5)) == 3.0
assert of_a_list(3.0) == np.sqrt(18.0)
"""


def test_a_users_own_cached_functions_work_beside_it(tmp_path: Path) -> None:
    """A stage has modules of others, whose functions numba loads with all that they need."""
    script = tmp_path / "users.py"
    script.write_text(USERS)
    for process in ("fills the cache", "lean"):
        subprocess.run([sys.executable, str(script), process], check=True, timeout=200)


def test_it_can_be_switched_off_and_gives_the_same_numbers() -> None:
    """What is printed last tells that numba did all it does by itself; the process compares the bits."""
    assert lean(CROSSGRID_PLAIN="lean_numba").split()[1] == "True"


@pytest.mark.parametrize(
    ("versions", "plain", "says"),
    [
        (((0, 0),), frozenset(), "is not 0.0, whose internals it knows"),
        ((numba.version_info[:2],), frozenset({"lean_numba"}), "CROSSGRID_PLAIN switches it off"),
        ((numba.version_info[:2],), frozenset(), None),
    ],
)
def test_doctor_tells_whether_it_is_active(
    monkeypatch: pytest.MonkeyPatch, versions: object, plain: object, says: str | None
) -> None:
    monkeypatch.setattr(lean_numba, "KNOWN", versions)
    monkeypatch.setattr(lean_numba, "PLAIN", plain)
    (found,) = [finding for finding in doctor.examine(False) if finding.what == "lean numba"]
    assert found.works
    assert f"(numba {numba.__version__})" in found.says
    assert (says in found.says) if says else found.says.startswith("in tile actors")


def test_a_switch_that_does_not_exist_is_refused() -> None:
    assert switches.chosen(" pages, lean_numba") == {"pages", "lean_numba"}
    assert switches.chosen("") == frozenset()
    with pytest.raises(ConfigError, match="unknown trick in CROSSGRID_PLAIN 'page': did you mean 'pages'"):
        switches.chosen("page")
