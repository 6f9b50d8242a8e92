"""Write the tables of docs/chip.md and chip/README.md anew: run in the repository's root."""

from __future__ import annotations

from pathlib import Path

from chip_tables import filled

if __name__ == "__main__":
    for name in ("docs/chip.md", "chip/README.md"):
        path = Path(name)
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
