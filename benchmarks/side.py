"""A checkout that does the comparison's work in a process of its own, when asked over a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SLOPE = 0.5  # how far from the exact result a run may be: steps are noisy, a broken kernel is at 0 or beyond
SERVER = """
import json, os, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/benchmarks"]
if sys.argv[3]:
    os.sched_setaffinity(0, [int(core) for core in sys.argv[3].split(",")])
replies, sys.stdout = sys.stdout, sys.stderr
import numba, torch
import crossgrid.kernels
from peer.own import JOBS
from peer.rows import CASES
threads = int(sys.argv[2])
torch.set_num_threads(threads)
numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
job = None
for line in sys.stdin:
    request = json.loads(line)
    if "case" in request:
        case = CASES[request["case"]]
        job = JOBS[case.kind](case.device, case.row)
        answer = job.checked()
    elif "repeats" in request:
        answer = job.times(request["repeats"])
    else:
        answer = [f"{case.kind} {case.device} {case.row.name}" for case in CASES]
    print(json.dumps(answer), file=replies, flush=True)
"""


class Side:
    """The process of a checkout that is set up, with some threads, on all cores or some."""

    def __init__(self, tree: Path, threads: int = 2, cores: Sequence[int] = ()) -> None:
        python = tree / ".venv" / "bin" / "python"
        if not python.exists():
            sys.exit(f"{tree}: there is no {python}; run `make setup` there first")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [str(python), "-c", SERVER, str(tree), str(threads), ",".join(map(str, cores))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree,
        )  # fmt: skip

    def send(self, **request: Any) -> None:
        """Put a request: its answer waits."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The answer to the oldest request."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a side ended; its message is above")
        return json.loads(line)

    def ask(self, **request: Any) -> Any:
        """The answer to one request."""
        self.send(**request)
        return self.answer()

    def open(self, case: int, name: str) -> None:
        """Prepare a row of the comparison; ends the run where its result is wrong."""
        slope = self.ask(case=case)
        if not abs(slope - 1.0) < SLOPE:
            sys.exit(f"{name}: {slope:.3f} of the exact result; nothing is timed")
