"""The small examples beside aihwkit's, over many seeds: compare_examples.py --peer DIR [--seeds N].

DIR is a virtual environment with aihwkit 1.1.0. Every example is the script that users run; its twin is in
peer/examples.py. Compared are the losses after the last epoch, lower is better, with the one-sided
Mann-Whitney test: p is the probability of ranks at least as bad as ours if both sides were the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

EXAMPLES = Path(__file__).parent.parent / "examples"


def ours(name: str, seeds: int) -> list[float]:
    """The last loss of the example for each seed, run as its user runs it."""
    losses = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as results, contextlib.redirect_stdout(io.StringIO()):
            sys.argv = [name, "--seed", str(seed), "--results", results]
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
            losses.append(json.loads((Path(results) / "metrics.json").read_text())["loss"][-1])
    return losses


def theirs(peer: Path, seeds: int) -> dict[str, list[float]]:
    """aihwkit's last losses, by example."""
    script = Path(__file__).parent / "peer" / "examples.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(peer / "bin" / "python"), str(script), str(seeds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} {script} failed:\n{done.stderr}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def spread(values: list[float]) -> str:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.5f} ({low:.5f} to {high:.5f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="an environment with aihwkit 1.1.0")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where to write all losses")
    args = parser.parse_args()

    sys.path.insert(0, str(EXAMPLES))
    peer = theirs(args.peer, args.seeds)
    rows = {}
    print(f"final loss over {args.seeds} seeds: median (quartiles)")
    for name, their_losses in peer.items():
        our_losses = ours(name, args.seeds)
        p = float(mannwhitneyu(our_losses, their_losses, alternative="greater").pvalue)
        rows[name] = {"ours": our_losses, "aihwkit": their_losses, "p_worse": p}
        print(f"{name:36} ours {spread(our_losses)}  aihwkit {spread(their_losses)}  p = {p:.3f}", flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    worse = [name for name, row in rows.items() if row["p_worse"] <= 0.01]
    if worse:
        sys.exit(f"significantly worse than aihwkit (p <= 0.01): {', '.join(worse)}")


if __name__ == "__main__":
    main()
