"""Tables of docs/chip.md and chip/README.md are what chips give now (tests/golden/make_chip.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from chip_tables import TABLES, filled

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("docs/chip.md", "chip/README.md")}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_what_the_chips_give(table: str) -> None:
    held = [name for name, text in TEXTS.items() if f"<!-- table {table} -->" in text]
    assert len(held) == 1
    assert filled(TEXTS[held[0]], [table]) == TEXTS[held[0]]
