"""What it costs to be ready for a death: bench_recovery.py [--data-dir MNIST].

LeNet5's training step on MNIST with one actor a tile, and in two stages, with and without snapshots and a log
of what was told since; alternately, each run in processes of its own. Afterwards both must have the same
weights. Of stages, which keep what they were told in any case, "off" is a run that takes no snapshot.

Besides the time of a step the processor time of this process and of those that it started is measured: on a
busy machine it varies less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from machine import machine
from peer.network import lenet5
from torch import Tensor, nn

import crossgrid as cg

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from common import mnist

#: steps before the clock starts, and images of a step
WARM, BATCH = 10, 8

#: more than any run has of messages, and of bytes
NEVER = 1 << 60


def analog() -> tuple[nn.Module, torch.optim.Optimizer]:
    """LeNet5 on tiles of 128 x 128, pulsed, and its optimizer."""
    mapping = cg.MappingParameter(max_input_size=128, max_output_size=128)
    config = cg.SingleRPUConfig(device=cg.ConstantStepDevice(), mapping=mapping)
    model = cg.convert_to_analog(lenet5(), config)
    return model, cg.AnalogSGD(model.parameters(), lr=0.01)


def processor_seconds(running: cg.Emulation) -> float:
    """What this process and those with tiles or stages have used."""
    ends: Any = running.stages.stages if running.stages is not None else running.executor.hosts
    times = [psutil.Process(int(end.address.pid)).cpu_times() for end in ends]
    return time.process_time() + sum(used.user + used.system for used in times)


def run(kind: str, on: bool, steps: int, x: Tensor, y: Tensor) -> tuple[float, float, str]:
    """Milliseconds of a step, of them on processors, and the digest of the weights after all."""
    model, optimizer = analog()
    where: dict[str, Any] = {"stages": 2} if kind == "two stages" else {}
    emulation = cg.emulate(model, backend="ray", **where)
    if not on:
        never = cg.Recovery(snapshot_messages=NEVER, log_bytes=NEVER)
        emulation.recovery = never if where else None
    criterion = nn.NLLLoss()
    with emulation as running:

        def step(number: int) -> None:
            part = slice(number * BATCH, (number + 1) * BATCH)
            if where:
                running.train_step(x[part], y[part], criterion, optimizer, 2)
                return
            optimizer.zero_grad()
            criterion(model(x[part]), y[part]).backward()
            optimizer.step()

        for number in range(WARM):
            step(number)
        running.weights()
        began, used = time.perf_counter(), processor_seconds(running)
        for number in range(WARM, WARM + steps):
            step(number)
        running.weights()  # what was told without waiting is done
        seconds, used = time.perf_counter() - began, processor_seconds(running) - used
    return 1e3 * seconds / steps, 1e3 * used / steps, cg.weights_sha256(model)


def compare(kind: str, rounds: int, steps: int, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Both ways, alternately; the median over rounds of each round's ratio."""
    times: dict[bool, list[float]] = {True: [], False: []}
    used: dict[bool, list[float]] = {True: [], False: []}
    digests = set()
    for number in range(rounds):
        for on in (True, False) if number % 2 == 0 else (False, True):
            milliseconds, of_processors, digest = run(kind, on, steps, x, y)
            times[on].append(milliseconds)
            used[on].append(of_processors)
            digests.add(digest)
            which = f"{kind}, round {number}, {'on' if on else 'off'}"
            print(f"{which}: {milliseconds:.2f} ms, {of_processors:.2f} ms of processors", flush=True)
    if len(digests) != 1:
        sys.exit(f"{kind}: the weights differ with and without snapshots; no figure counts")
    return {
        "run": kind, "rounds": rounds, "steps": steps, "time": figures(times), "processors": figures(used)
    }  # fmt: skip


def figures(found: dict[bool, list[float]]) -> dict[str, Any]:
    """Medians with and without, in milliseconds a step, and of each round's ratio."""
    ratios = sorted(a / b for a, b in zip(found[True], found[False], strict=True))
    return {
        "on_ms": statistics.median(found[True]), "off_ms": statistics.median(found[False]),
        "ratio": statistics.median(ratios), "range": [ratios[0], ratios[-1]],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="where MNIST's four files are")
    parser.add_argument("--kind", choices=("an actor a tile", "two stages"), help="one of the two alone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    (x, y), _ = mnist(options.data_dir)
    count = BATCH * (WARM + options.steps)
    images, classes = torch.from_numpy(x[:count]).reshape(count, 1, 28, 28), torch.from_numpy(y[:count])
    kinds = [options.kind] if options.kind else ["an actor a tile", "two stages"]
    results = [compare(kind, options.rounds, options.steps, images, classes) for kind in kinds]
    print(f"{'run':16s} {'of':11s} {'on ms':>8s} {'off ms':>8s} {'ratio':>6s} {'range':>11s}")
    for result in results:
        for of in ("time", "processors"):
            r = result[of]
            medians = f"{r['on_ms']:8.2f} {r['off_ms']:8.2f} {r['ratio']:6.3f}"
            print(f"{result['run']:16s} {of:11s} {medians} {r['range'][0]:5.2f}-{r['range'][1]:5.2f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine("numba", "numpy", "torch", "ray"), "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
