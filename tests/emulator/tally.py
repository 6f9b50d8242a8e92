"""The faults that ``make test-chaos`` tried, as a table in docs/faults.md: tally.py results/chaos.jsonl."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

#: between these lines stands the table
BEGIN, END = "<!-- what make test-chaos wrote -->", "<!-- to here -->"


def table(lines: Iterable[str]) -> str:
    """A row for each fault, of the lines that the suite's tallies wrote, one each; in the order of names."""
    tried: dict[str, int] = {}
    survived: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}
    for line in lines:
        tally = json.loads(line)
        fault = tally["fault"]
        tried[fault] = tried.get(fault, 0) + tally["tried"]
        survived[fault] = survived.get(fault, 0) + tally["survived"]
        seconds.setdefault(fault, []).extend(tally["seconds"])
    rows = ["| fault | tried | survived | seconds lost, median | most |", "|---|---|---|---|---|"]
    for fault in sorted(tried):
        lost = seconds[fault]
        cost = f"{statistics.median(lost):.1f} | {max(lost):.1f}" if lost else "- | -"
        rows.append(f"| {fault} | {tried[fault]} | {survived[fault]} | {cost} |")
    return "\n".join(rows)


def with_table(page: str, found: str) -> str:
    """The page with another table in the place of the one that stands there."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{found}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(), table(Path(sys.argv[1]).read_text().splitlines())))
    print(f"wrote the table in {PAGE}")
