"""This project and aihwkit, alternately, in one run: bench_peer.py --peer DIR [--busy N] [--json FILE].

DIR is a virtual environment with aihwkit 1.1.0. Before a row is timed, both sides' results are
compared with the exact product or gradient: no figure is printed for a wrong one. Each round goes through
all rows of a kind: where other work slows the machine for seconds, it slows a bit of every row. With --busy
N other processes compute all the time, as on a machine that others use too.
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
from busy import busy
from machine import machine
from peer.job import Job
from peer.own import JOBS
from peer.rows import CASES, Case

from crossgrid.emulator.run.progress import progress_bar

FIRST_REPEATS = 3
CHECKS = 6
SLICE_MS = 40.0  # how long a side runs before it is the other's turn
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


class Duel:
    """One row of the table: the same work of both sides."""

    def __init__(self, case: Case, peer: Peer, number: int) -> None:
        self.case, self.peer, self.number = case, peer, number
        self.own: Job = JOBS[case.kind](case.device, case.row)
        self.ask("open", kind=case.kind, device=case.device, row=dataclasses.asdict(case.row))
        self.slopes = self._check()
        sides = self.own.times, self._peer_times
        self.repeats = [max(1, round(SLICE_MS / min(times(FIRST_REPEATS)))) for times in sides]
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def ask(self, do: str, **request: Any) -> Any:
        """aihwkit's answer for this row."""
        return self.peer.ask(do=do, number=self.number, **request)

    def _peer_times(self, repeats: int) -> Any:
        return self.ask("times", repeats=repeats)

    def _check(self) -> tuple[float, float]:
        """Mean slopes of both; ends the run where they differ by more than chance and populations can.

        A single run is noisy, so CHECKS of them are averaged: four standard errors of the difference,
        and a tenth for the two populations of devices, whose steps differ by 30 % from one to the next.
        """
        slopes = np.array([[self.own.checked(), self.ask("check")] for _ in range(CHECKS)])
        ours, theirs = (float(mean) for mean in slopes.mean(axis=0))
        allowed = 0.1 + 4.0 * float(np.sqrt((slopes.var(axis=0) / CHECKS).sum()))
        if abs(ours - theirs) > allowed:
            sys.exit(
                f"{self.case.kind} {self.case.device} {self.case.row.name}: result {ours:.3f} of the exact "
                f"one, aihwkit's {theirs:.3f}; they may differ by {allowed:.3f}"
            )
        return ours, theirs

    def run(self) -> None:
        """A slice of each side."""
        time.sleep(SETTLE_S)
        self.ours += self.own.times(self.repeats[0])
        time.sleep(SETTLE_S)
        self.theirs += self._peer_times(self.repeats[1])

    def result(self) -> dict[str, Any]:
        """The row's figures."""
        ms, peer_ms = float(np.median(self.ours)), float(np.median(self.theirs))
        return {
            "work": self.case.kind, "device": self.case.device, "row": self.case.row.name, "ms": ms,
            "peer_ms": peer_ms, "ratio": peer_ms / ms, "slope": self.slopes[0], "peer_slope": self.slopes[1],
            "runs": len(self.ours), "peer_runs": len(self.theirs),
        }  # fmt: skip


def measure(kind: str, rows: str, peer: Peer, rounds: int) -> list[dict[str, Any]]:
    """The rows of one kind of work, printed."""
    cases = [case for case in CASES if case.kind == kind and rows in f"{kind} {case.device} {case.row.name}"]
    duels = [Duel(case, peer, number) for number, case in enumerate(cases)]
    with progress_bar(kind, rounds * len(duels)) as advance:
        for _ in range(rounds):
            for duel in duels:
                duel.run()
                advance()
    results = [duel.result() for duel in duels]
    for duel, r in zip(duels, results, strict=True):
        duel.ask("close")
        figures = f"{r['ms']:8.3f} {r['peer_ms']:8.3f} {r['ratio']:6.2f}"
        print(f"{kind:14s} {r['device']:20s} {r['row']:16s} {figures}", flush=True)
    ratios = [r["ratio"] for r in results]
    if len(ratios) > 1:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"{kind}: geometric mean {mean:.2f}, lowest {min(ratios):.2f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="virtual environment with aihwkit 1.1.0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="other processes that compute")
    parser.add_argument("--rows", default="", help="only cases whose work, device or shape has this in it")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    names = [f"{case.kind} {case.device} {case.row.name}" for case in CASES]
    if not any(options.rows in name for name in names):
        sys.exit(f"--rows {options.rows!r} is in none of these: {', '.join(names)}")

    import numba
    import torch

    import crossgrid.kernels.devices  # noqa: F401  (before the threads start: it says how they wait)

    torch.set_num_threads(options.threads)
    numba.set_num_threads(min(options.threads, numba.config.NUMBA_NUM_THREADS))
    peer = Peer(options.peer, options.threads)
    print(f"{'work':14s} {'device':20s} {'out x in x batch':16s} {'ms':>8s} {'aihwkit':>8s} {'ratio':>6s}")
    with busy(options.busy):
        results = [r for kind in JOBS for r in measure(kind, options.rows, peer, options.rounds)]
    peer.close()
    ratios = [r["ratio"] for r in results]
    print(f"all: geometric mean {np.exp(np.mean(np.log(ratios))):.2f}, lowest {min(ratios):.2f}", flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "machine": machine("numba", "numpy"),
            "threads": options.threads,
            "busy": options.busy,
            "results": results,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
