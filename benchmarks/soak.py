"""Half an hour with checkpoints, kills and scrapes: soak.py [--minutes 30] [--json FILE] [--plot FILE].

A small network trains by pulses, an actor a tile. Every few seconds it is saved, its metrics are scraped, and
now and then a random actor is killed. Memory, descriptors and threads of the driver and of all actors are
noted; the exit status is 1 where any of them grows from the second quarter to the last by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from machine import machine
from torch import nn

import crossgrid as cg
from crossgrid.emulator.run.progress import progress_bar

EVERY_S = {"sample": 5.0, "scrape": 5.0, "save": 20.0, "kill": 30.0}
GROWTH = 1.1  # from the second quarter to the last: what is forgotten is there every second, and adds up
FIGURES = (
    "driver MiB",
    "driver descriptors",
    "driver threads",
    "actors MiB",
    "actors descriptors",
    "actors threads",
)


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Two layers on three tiles."""
    torch.manual_seed(0)
    config = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=64, max_input_size=128))
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)), config)
    return model, cg.AnalogSGD(model.parameters(), lr=0.01)


def sample(pids: list[int]) -> list[float]:
    """The figures of this process, and their sums over actors that are alive."""
    of_actors = [0.0, 0.0, 0.0]
    for pid in pids:
        try:
            found = _of(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue  # its successor is not there yet
        of_actors = [a + b for a, b in zip(of_actors, found, strict=True)]
    return [*_of(psutil.Process()), *of_actors]


def _of(process: psutil.Process) -> list[float]:
    with process.oneshot():
        return [process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()]


def kill(running: cg.Emulation, drawn: random.Random) -> bool:
    """Kill a random actor; whether there was one."""
    host = drawn.randrange(len(running.executor.hosts))
    try:
        os.kill(int(running.executor.hosts[host].address.pid), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def soak(minutes: float, folder: Path) -> dict[str, Any]:
    """The figures over time, and what was done meanwhile."""
    model, optimizer = network()
    emulation = cg.emulate(model, backend="ray")
    emulation.recovery = cg.Recovery(restarts=10**6)
    drawn, data = random.Random(1), torch.Generator().manual_seed(1)
    counts = {"steps": 0, "save": 0, "scrape": 0, "kill": 0}
    samples: list[tuple[float, list[float]]] = []
    with emulation as running, progress_bar("seconds", round(60 * minutes)) as advance:
        started = shown = time.monotonic()
        url = running.metrics_url
        assert url is not None
        acts: dict[str, Callable[[], bool]] = {
            "scrape": lambda: urllib.request.urlopen(url, timeout=60).status == 200,
            "save": lambda: running.save(folder / "run", optimizer) is None or True,
            "kill": lambda: kill(running, drawn),
        }
        due = dict.fromkeys(EVERY_S, started)
        while (now := time.monotonic()) < started + 60 * minutes:
            x, y = torch.randn(16, 128, generator=data), torch.randint(10, (16,), generator=data)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            counts["steps"] += 1
            for name, act in acts.items():
                if now >= due[name]:
                    due[name] = now + EVERY_S[name]
                    counts[name] += act()
            if now >= due["sample"]:
                due["sample"] = now + EVERY_S["sample"]
                pids = [int(host.address.pid) for host in running.executor.hosts]
                samples.append((now - started, sample(pids)))
            while shown + 1.0 <= now:
                advance()
                shown += 1.0
    return {"counts": counts, "figures": FIGURES, "samples": samples}


def growth(samples: list[tuple[float, list[float]]]) -> dict[str, float]:
    """The last quarter's median over the second quarter's, of each figure."""
    quarter = len(samples) // 4
    return {
        name: statistics.median(values[k] for _, values in samples[-quarter:])
        / statistics.median(values[k] for _, values in samples[quarter : 2 * quarter])
        for k, name in enumerate(FIGURES)
    }


def plot(samples: list[tuple[float, list[float]]], path: Path) -> None:
    """A panel for each figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    for k, (name, axes) in enumerate(zip(FIGURES, figure.subplots(2, 3).flat, strict=True)):
        found = [values[k] for _, values in samples]
        axes.plot([t / 60 for t, _ in samples], found, lw=1)
        axes.set(title=name, xlabel="minutes", ylim=(0, 1.1 * max(found)))
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--plot", type=Path, help="where the picture of them goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(options.minutes, Path(folder))
    grown = growth(found["samples"])
    print(", ".join(f"{count} {name}" for name, count in found["counts"].items()))
    for name, factor in grown.items():
        print(f"{name:20s} {factor:6.3f} from the second quarter to the last")
    for path in (options.json, options.plot):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine("ray"), "growth": grown, **found}) + "\n")
    if options.plot:
        plot(found["samples"], options.plot)
    sys.exit(int(max(grown.values()) > GROWTH))


if __name__ == "__main__":
    main()
