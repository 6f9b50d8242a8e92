"""This project and aihwkit, alternately, in one run: bench_peer.py --peer DIR [--json FILE].

DIR is a virtual environment with aihwkit 1.1.0. Before a row is timed, both sides' results are
compared with the exact product or gradient: no figure is printed for a wrong one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from peer.job import Job
from peer.own import JOBS
from peer.rows import CASES, Case

FIRST_REPEATS = 3
CHECKS = 6
SLICE_MS = 80.0  # how long a side runs before it is the other's turn
ENVIRONMENT = dict(os.environ)  # as it is before this project says how its own threads wait
SETTLE_S = 0.3  # before a turn: idle threads of the other side may wait by spinning for 200 ms


class Peer:
    """aihwkit in a process of its own."""

    def __init__(self, directory: Path, threads: int) -> None:
        server = Path(__file__).parent / "peer" / "server.py"
        python = directory / "bin" / "python"
        if not python.exists():
            sys.exit(f"--peer {directory}: there is no {python}; give an environment with aihwkit 1.1.0")
        environment = {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [str(python), str(server), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        """The answer to one request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("aihwkit's process ended; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def check(own: Job, peer: Peer, case: Case) -> tuple[float, float]:
    """Mean slopes of both sides; ends the run where they differ by more than chance and populations can.

    A single run is noisy, so CHECKS of them are averaged: four standard errors of the difference,
    and a tenth for the two populations of devices, whose steps differ by 30 % from one to the next.
    """
    slopes = np.array([[own.checked(), peer.ask(do="check")] for _ in range(CHECKS)])
    ours, theirs = (float(mean) for mean in slopes.mean(axis=0))
    allowed = 0.1 + 4.0 * float(np.sqrt((slopes.var(axis=0) / CHECKS).sum()))
    if abs(ours - theirs) > allowed:
        sys.exit(
            f"{case.kind} {case.device} {case.row.name}: result {ours:.3f} of the exact one, aihwkit's "
            f"{theirs:.3f}; they may differ by {allowed:.3f}"
        )
    return ours, theirs


def measure(case: Case, peer: Peer, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    own = JOBS[case.kind](case.device, case.row)
    peer.ask(do="open", kind=case.kind, device=case.device, row=dataclasses.asdict(case.row))
    slopes = check(own, peer, case)
    repeats = [
        max(1, round(SLICE_MS / min(side(FIRST_REPEATS))))
        for side in (own.times, lambda n: peer.ask(do="times", repeats=n))
    ]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        time.sleep(SETTLE_S)
        ours += own.times(repeats[0])
        time.sleep(SETTLE_S)
        theirs += peer.ask(do="times", repeats=repeats[1])
    medians = float(np.median(ours)), float(np.median(theirs))
    return {
        "work": case.kind, "device": case.device, "row": case.row.name, "ms": medians[0],
        "peer_ms": medians[1], "ratio": medians[1] / medians[0], "slope": slopes[0], "peer_slope": slopes[1],
        "runs": len(ours), "peer_runs": len(theirs),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="virtual environment with aihwkit 1.1.0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rows", default="", help="only cases whose work, device or shape has this in it")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()

    import crossgrid.kernels.devices  # noqa: F401  (before the threads start: it says how they wait)
    import numba
    import torch

    torch.set_num_threads(options.threads)
    numba.set_num_threads(min(options.threads, numba.config.NUMBA_NUM_THREADS))
    peer = Peer(options.peer, options.threads)
    results = []
    print(f"{'work':14s} {'device':20s} {'out x in x batch':16s} {'ms':>8s} {'aihwkit':>8s} {'ratio':>6s}")
    for kind in JOBS:
        for case in CASES:
            if case.kind != kind or options.rows not in f"{kind} {case.device} {case.row.name}":
                continue
            r = measure(case, peer, options.rounds)
            results.append(r)
            figures = f"{r['ms']:8.3f} {r['peer_ms']:8.3f} {r['ratio']:6.2f}"
            print(f"{kind:14s} {case.device:20s} {case.row.name:16s} {figures}", flush=True)
        ratios = [r["ratio"] for r in results if r["work"] == kind]
        if len(ratios) > 1:
            mean = float(np.exp(np.mean(np.log(ratios))))
            print(f"{kind}: geometric mean {mean:.2f}, lowest {min(ratios):.2f}")
    peer.close()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine("numba", "numpy"), "threads": options.threads, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
