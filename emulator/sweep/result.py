"""A sweep that is done: its rows, its fronts, a page, plots, a summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .figures import Row, front
from .study import Study


@dataclass(frozen=True, slots=True)
class Sweep:
    """The rows of a study and what they took."""

    study: Study
    rows: list[Row]
    emulations: int  # that this call ran
    kept: int  # rows that were in the file already
    seconds: float

    def __str__(self) -> str:
        bad = sum(bool(row["error"]) for row in self.rows)
        parts = [f"{len(self.rows)} points", f"{self.emulations} emulations"]
        parts += [f"{self.kept} rows kept"] if self.kept else []
        parts += [f"{bad} with errors"] if bad else []
        return f"{', '.join(parts)}: {self.seconds:.1f} s"

    @property
    def errors(self) -> list[Row]:
        """The points that could not be costed or emulated."""
        return [row for row in self.rows if row["error"]]

    def front(self, cost: str = "energy_pj", gain: str = "accuracy") -> list[Row]:
        """The rows that no other row beats in one of two figures without losing in the other.

        Sorted by ``cost``; of equal rows the first point.
        """
        return front(self.rows, cost, gain)

    def write_page(self, path: str | Path) -> Path:
        """One self-contained page: every point, the front over any two figures, a table."""
        from .plot import page

        Path(path).write_text(page(self), encoding="utf-8")
        return Path(path)

    def draw(self, path: str | Path, cost: str = "energy_pj", gain: str = "accuracy") -> Path:
        """Two figures of every point as a picture, its front marked and named."""
        from .plot import draw

        return draw(self, Path(path), cost, gain)
