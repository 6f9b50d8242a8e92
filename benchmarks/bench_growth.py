"""What a second core brings: bench_growth.py [--json FILE], the rows of ``bench_peer.py`` in three ways.

One process with one thread on one core; one with two threads on two; and two processes at a time, each with
one thread on a core of its own, which is how tile actors use a machine. The first and the last also tell how
far cores get in each other's way: memory, caches, clocks.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from machine import machine
from side import Side

from crossgrid.emulator.run.progress import progress_bar

SLICE_MS = 40.0  # how long a way runs before it is another's turn
SETTLE_S = 0.25  # before a turn: idle threads of the others may wait by spinning for 200 ms
TREE = Path(__file__).resolve().parent.parent


class Growth:
    """The three ways to do a row's work."""

    def __init__(self) -> None:
        first, second = sorted(os.sched_getaffinity(0))[:2]
        self.alone, self.other = Side(TREE, 1, [first]), Side(TREE, 1, [second])
        self.threads = Side(TREE, 2, [first, second])
        self.names: list[str] = self.alone.ask()

    def measure(self, case: int, rounds: int) -> dict[str, Any]:
        """A row: milliseconds of one thread, and how many times as much two threads and two processes do."""
        name = self.names[case]
        for side in (self.alone, self.other, self.threads):
            side.open(case, name)
        repeats = max(1, round(SLICE_MS / min(self.alone.ask(repeats=5))))
        one, two, pair = [], [], []
        for _ in range(rounds):
            time.sleep(SETTLE_S)
            one.append(statistics.median(self.alone.ask(repeats=repeats)))
            time.sleep(SETTLE_S)
            two.append(statistics.median(self.threads.ask(repeats=repeats)))
            time.sleep(SETTLE_S)
            for side in (self.alone, self.other):
                side.send(repeats=repeats)
            pair.append(statistics.mean(statistics.median(s.answer()) for s in (self.alone, self.other)))
        return {
            "row": name, "one_ms": statistics.median(one),
            "two_threads": statistics.median(a / b for a, b in zip(one, two, strict=True)),
            "two_processes": statistics.median(2.0 * a / b for a, b in zip(one, pair, strict=True)),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", default="", help="only rows whose name has this in it")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench_growth needs two cores, this process may use one")
    growth = Growth()
    cases = [case for case, name in enumerate(growth.names) if options.rows in name]
    with progress_bar("rows", len(cases)) as advance:
        results = []
        for case in cases:
            results.append(growth.measure(case, options.rounds))
            advance()
    print(f"{'row':42s} {'1 thread, ms':>12s} {'2 threads':>9s} {'2 processes':>11s}")
    for r in results:
        print(f"{r['row']:42s} {r['one_ms']:12.3f} {r['two_threads']:9.2f} {r['two_processes']:11.2f}")
    means = {k: statistics.geometric_mean(r[k] for r in results) for k in ("two_threads", "two_processes")}
    print("geometric mean: " + ", ".join(f"{k.replace('_', ' ')} {mean:.2f}" for k, mean in means.items()))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine("numba", "numpy"), "geometric_mean": means, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
