"""Tables of docs/chip.md and chip/README.md are what chips give now (tests/golden/make_chip.py)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from chip_beside import LARGE, large_layers, right
from chip_tables import TABLES, filled

from crossgrid.chip import map_layers

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("docs/chip.md", "chip/README.md")}


@pytest.mark.parametrize("table", sorted(set(TABLES) - {"accuracies"}))
def test_a_table_is_what_the_chips_give(table: str) -> None:
    held = [name for name, text in TEXTS.items() if f"<!-- table {table} -->" in text]
    assert len(held) == 1
    assert filled(TEXTS[held[0]], [table]) == TEXTS[held[0]]


def test_what_chips_name_rightly_is_what_the_table_says() -> None:
    """Trained weights differ between processors by rounding, and with them a digit or two. One cell a weight
    and 5 bits a sum are noise, and nothing else is."""
    held = TEXTS["docs/chip.md"].partition("<!-- table accuracies -->\n")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in held.splitlines()[2:]]
    found = right()
    assert {name: float(now) for name, _, now in rows} == pytest.approx(found, abs=3.0)
    for name, percent in found.items():
        if name == "neurosim-one-cell":
            assert percent < 25.0
        else:
            assert percent > found["digital"] - 3.0


@pytest.mark.slow  # timed
@pytest.mark.parametrize(("name", "limit"), [(entry[0], entry[-1]) for entry in LARGE])
def test_large_networks_are_mapped_in_seconds(name: str, limit: float) -> None:
    began = time.process_time()
    map_layers(large_layers(name), "hermes-64")
    assert time.process_time() - began < limit
