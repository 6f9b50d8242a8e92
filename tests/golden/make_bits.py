"""Store the bits of named runs anew: python tests/golden/make_bits.py [--file FILE] NAME [NAME ...]

A stored value changes only in a commit of its own that names the entries, the formula or case that was
wrong, and the outside check (CONTRIBUTING.md). All other entries of bits.json stay as they are; an entry
whose run is gone is dropped when it is named.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

import stored_table
from stored_runs import RUNS


def refusal(names: list[str], known: set[str]) -> str | None:
    """Why these names cannot be remade, or None."""
    if not names:
        return (
            "no name is given; values are remade by name only, never all at once. "
            f"{stored_table.RULE}. The names: {', '.join(sorted(known))}"
        )
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            return f"there is no stored run '{name}'; the nearest is '{near}'"
    return None


def remake(names: list[str], file: Path) -> None:
    """Measure the entries ``names`` and write them among the others."""
    table = stored_table.load(file)
    entries = table["entries"]
    with stored_table.Bench() as bench:
        for name in names:
            before = entries.pop(name, None)
            if name not in RUNS:
                print(f"{name}: dropped, its run is gone")
                continue
            entries[name] = bench.digests(name)
            print(f"{name}: {'new' if before is None else 'equal' if before == entries[name] else 'changed'}")
    stored_table.save(table, file)
    for line in stored_table.differences(table["holds_for"], stored_table.here()):
        print(f"unlike the machine of the other entries: {line}", file=sys.stderr)


def main() -> int:
    """The command; 2 where it refuses."""
    parser = argparse.ArgumentParser(description="Store the bits of named runs anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a stored run")
    parser.add_argument("--file", type=Path, default=stored_table.FILE, help="the table, bits.json")
    asked = parser.parse_args()
    reason = refusal(asked.names, {*RUNS, *stored_table.load(asked.file)["entries"]})
    if reason is not None:
        print(f"make_bits: {reason}", file=sys.stderr)
        return 2
    remake(asked.names, asked.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
