"""Results are those of yesterday, bit for bit: small runs of every kernel against stored digests."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stored_table
from stored_runs import RUNS
from stored_table import Bench

COMMAND = stored_table.FILE.with_name("make_bits.py")
REMAKE = "python tests/golden/make_bits.py"
TABLE = stored_table.load()

pytestmark = pytest.mark.timeout(900)  # the first run of all may compile every kernel


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A process to measure in, of its own: numpy's loops are chosen when it is loaded."""
    if platform.machine() != TABLE["holds_for"]["machine"]:
        pytest.skip(
            f"bits are stored for {TABLE['holds_for']['machine']}: the C library of {platform.machine()} has "
            "other exponentials and logarithms"
        )
    with Bench() as process:
        yield process


@pytest.mark.parametrize("name", [*RUNS])
def test_a_run_has_its_stored_bits(bench: Bench, name: str) -> None:
    """On another machine too: what may explain a difference there is named, not forgiven."""
    assert name in TABLE["entries"], f"'{name}' has no stored value; a new run is stored by {REMAKE} {name}"
    stored, found = TABLE["entries"][name], bench.digests(name)
    changed = [part for part in {**stored, **found} if stored.get(part) != found.get(part)]
    others = stored_table.differences(TABLE["holds_for"], stored_table.here())
    assert not changed, (
        f"'{name}': other bits in {', '.join(changed)}. {stored_table.RULE}. "
        f"To remake it: {REMAKE} {name}. "
        + ("This machine differs: " + "; ".join(others) if others else "The values hold for this machine.")
    )


def test_every_stored_value_has_its_run() -> None:
    gone = sorted({*TABLE["entries"]} - {*RUNS})
    assert not gone, f"stored values without a run: {', '.join(gone)}. {stored_table.RULE}"


def test_what_differs_from_the_stored_machine_is_named() -> None:
    stored = {"numpy": "2.0", "processor features": "avx avx2", "libc": "glibc 2.36"}
    present = {"numpy": "2.1", "processor features": "avx fma", "libc": "glibc 2.36"}
    assert stored_table.differences(stored, present) == [
        "numpy: 2.1, stored with 2.0", "processor features: without avx2", "processor features: also fma",
    ]  # fmt: skip


def make_bits(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_nothing_is_remade_without_a_name() -> None:
    before = stored_table.FILE.read_bytes()
    done = make_bits()
    assert done.returncode != 0
    assert "no name is given" in done.stderr
    assert all(name in done.stderr for name in RUNS)
    assert stored_table.FILE.read_bytes() == before


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    before = stored_table.FILE.read_bytes()
    done = make_bits("soft-bounds", "soft-bound")
    assert done.returncode != 0
    assert "no stored run 'soft-bound'; the nearest is 'soft-bounds'" in done.stderr
    assert stored_table.FILE.read_bytes() == before


def test_remaking_one_entry_leaves_all_others_alone(tmp_path: Path) -> None:
    """Two entries are spoilt and one is gone; the named one alone is put right."""
    file = tmp_path / "bits.json"
    shutil.copy(stored_table.FILE, file)
    spoilt = stored_table.load(file)
    for name in ("read-perfect", "read-quantised"):
        spoilt["entries"][name] = {"forward 0": "0" * 64}
    stored_table.save(spoilt, file)
    done = make_bits("--file", str(file), "read-perfect")
    assert done.returncode == 0, done.stderr
    assert "read-perfect: changed" in done.stdout
    found = stored_table.load(file)
    measured = found["entries"].pop("read-perfect")
    del spoilt["entries"]["read-perfect"]
    assert json.dumps(found) == json.dumps(spoilt)
    assert measured.keys() == TABLE["entries"]["read-perfect"].keys()
