"""Two checkouts, alternately, in one run: bench_trees.py --before DIR --after DIR [--busy N].

Each DIR is set up (its .venv) and brings its own benchmarks/. The first is run by two processes: what lies
between them is chance, and what lies outside of that is the change. Before a row is timed, all three results
are compared with the exact one. The rows are those of ``bench_peer.py``; a ratio above 1 is slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from busy import busy
from machine import machine
from side import Side

SIDES = ("before", "after", "again")  # "again" is the first checkout once more
SLICE_MS = 40.0  # how long a side runs before it is another's turn
SETTLE_S = 0.25  # before a turn: idle threads of the others may wait by spinning for 200 ms


def compare(case: int, name: str, sides: dict[str, Side], rounds: int) -> dict[str, Any]:
    """One row: the median over rounds of each round's ratio, beside the control's."""
    for process in sides.values():
        process.open(case, name)
    repeats = max(1, round(SLICE_MS / min(sides["before"].ask(repeats=5))))
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        order = SIDES if number % 2 == 0 else SIDES[::-1]
        for side in order:
            time.sleep(SETTLE_S)
            times[side].append(statistics.median(sides[side].ask(repeats=repeats)))
    ratios = {
        side: sorted(a / b for a, b in zip(times[side], times["before"], strict=True))
        for side in ("after", "again")
    }
    result = {"row": name, "before_ms": statistics.median(times["before"])}
    for side, values in ratios.items():
        result[side] = statistics.median(values)
        result[f"{side}_range"] = [values[0], values[-1]]
    return result


def shown(row: dict[str, Any], side: str) -> str:
    """A side's median and range."""
    low, high = row[f"{side}_range"]
    return f"{row[side]:6.3f} {low:6.3f}-{high:6.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout that is set up")
    parser.add_argument("--after", type=Path, required=True, help="another one")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="other processes that compute")
    parser.add_argument("--rows", default="", help="only rows whose name has this in it")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    trees = {"before": options.before, "after": options.after, "again": options.before}
    sides = {name: Side(tree.resolve()) for name, tree in trees.items()}
    print(f"{'row':42s} {'before ms':>9s} {'after':>6s} {'range':>13s} {'again':>6s} {'range':>13s}")
    results = []
    with busy(options.busy):
        for case, name in enumerate(sides["before"].ask()):
            if options.rows in name:
                row = compare(case, name, sides, options.rounds)
                results.append(row)
                print(
                    f"{name:42s} {row['before_ms']:9.3f} {shown(row, 'after')} {shown(row, 'again')}",
                    flush=True,
                )
    means = {side: statistics.geometric_mean(row[side] for row in results) for side in SIDES[1:]}
    print("geometric mean: " + ", ".join(f"{side} {mean:.3f}" for side, mean in means.items()))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        where = {"machine": machine("numba", "numpy"), "busy": options.busy}
        report = {**where, "geometric_mean": means, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
