"""Tile actors against the same tiles in this process: bench_ray.py [--rows WORD] [--json FILE] [--plot FILE].

Before a row is timed, both sides must give equal bits. Both are timed alternately in one run; medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from lenet import lenet5
from machine import machine
from ray_transports import BROADCASTS, ROUND_TRIPS
from torch import nn

import crossgrid as cg

Row = dict[str, Any]
Work = Callable[[], Any]

#: before a turn after one that used all processors: its threads may still wait by spinning
SETTLE_S = 0.1

#: actors of the growth row, each with one tile of 128 x 128
GROWTH = (1, 2, 4, 8, 16, 32, 64)


def linear(outputs: int, inputs: int, tile: int) -> nn.Module:
    """A layer cut into tiles of ``tile`` x ``tile``."""
    torch.manual_seed(1)
    mapping = cg.MappingParameter(max_output_size=tile, max_input_size=tile)
    return cg.AnalogLinear(
        inputs, outputs, bias=False, rpu_config=cg.SingleRPUConfig(mapping=mapping), seed=3
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A run prints where its metrics are; not into the table."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def placed(model: nn.Module, **where: Any) -> Iterator[cg.Emulation]:
    """``model`` emulated, without its line."""
    with quiet():
        emulation = cg.emulate(model, **where)
        emulation.__enter__()
    try:
        yield emulation
    finally:
        emulation.__exit__(None, None, None)


def seconds(work: Work) -> float:
    """How long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternately(
    works: dict[str, Work], rounds: int, repeats: int = 1, settle_s: float = 0.0
) -> dict[str, float]:
    """Median seconds of each, taken in turns of ``repeats`` so that a disturbance hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            time.sleep(settle_s)
            times[name] += [seconds(work) for _ in range(repeats)]
    return {name: statistics.median(taken) for name, taken in times.items()}


def require_equal(what: str, here: torch.Tensor, there: torch.Tensor) -> None:
    """End the run where actors gave other bits than this process."""
    if not torch.equal(here, there):
        sys.exit(f"{what}: the actors gave other bits; nothing is timed")


def forward_of(model: nn.Module, x: torch.Tensor) -> Work:
    """A forward pass that nobody trains on."""

    def work() -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = model(x)
        return output

    return work


def one_tile() -> Row:
    """A forward of (8, 512) through one tile: what the way to an actor costs."""
    x = torch.rand(8, 512) - 0.5
    here, there = linear(512, 512, 512), linear(512, 512, 512)
    with placed(here), placed(there, backend="ray"):
        works = {"local": forward_of(here, x), "ray": forward_of(there, x)}
        require_equal("one tile", works["local"](), works["ray"]())
        median = alternately(works, rounds=30, repeats=30)
    over_us = (median["ray"] - median["local"]) * 1e6
    return {"row": "forward (8, 512), one tile actor", **in_ms(median), "figure": over_us, "limit": 350.0,
            "unit": "us over", "met": over_us <= 350.0}  # fmt: skip


def training() -> Row:
    """A training step of LeNet5 on demo-128, one actor a tile."""
    x, y = torch.rand(64, 1, 28, 28), torch.arange(64) % 10
    works: dict[str, Work] = {}
    with contextlib.ExitStack() as stack:
        runs = []
        for backend in ("local", "ray"):
            model = lenet5()
            running = stack.enter_context(placed(model, chip="demo-128", backend=backend))
            optimizer = cg.AnalogSGD(model.parameters(), lr=0.01)
            works[backend] = partial(running.train_step, x, y, nn.NLLLoss(), optimizer)
            works[backend]()
            runs.append(torch.cat([weight.ravel() for weight in running.weights().values()]))
        require_equal("LeNet5", *runs)
        median = alternately(works, rounds=9)
    ratio = median["ray"] / median["local"]
    return {"row": "LeNet5 on demo-128, training step of 64, one actor a tile", **in_ms(median),
            "figure": ratio, "limit": 2.5, "unit": "x local", "met": ratio <= 2.5}  # fmt: skip


def inference() -> Row:
    """2,000 images through LeNet5, one actor a tile: pipelined against one micro-batch at a time."""
    x = torch.rand(2000, 1, 28, 28)
    model = lenet5()
    with placed(model, chip="demo-128", backend="ray") as running:
        works: dict[str, Work] = {f"depth {d}": partial(running.infer, x, 100, d) for d in (1, 2, 4)}
        here = lenet5()
        with placed(here, chip="demo-128") as local:
            require_equal("inference", local.infer(x[:200], 100), running.infer(x[:200], 100, 4))
        median = alternately(works, rounds=5)
    ratio = median["depth 1"] / min(median["depth 2"], median["depth 4"])
    return {"row": "LeNet5, inference of 2,000 images in 100s", **in_ms(median), "figure": ratio,
            "limit": 1.3, "unit": "x faster than depth 1", "met": ratio >= 1.3}  # fmt: skip


def packed() -> Row:
    """A layer of 4096 x 4096 in 64 tiles, packed into two actors."""
    x = torch.rand(64, 4096) - 0.5
    here, there = linear(4096, 4096, 512), linear(4096, 4096, 512)
    with placed(here), placed(there, backend="ray", tiles_per_actor=32):
        works = {"local": forward_of(here, x), "ray": forward_of(there, x)}
        require_equal("64 tiles", works["local"](), works["ray"]())
        median = alternately(works, rounds=9, settle_s=SETTLE_S)
    ratio = median["ray"] / median["local"]
    return {"row": "4096 x 4096 in 64 tiles and 2 actors, forward of 64", **in_ms(median), "figure": ratio,
            "limit": 1.3, "unit": "x local", "met": ratio <= 1.3}  # fmt: skip


def growth() -> Row:
    """Time of a forward per tile, from one actor to 64, and the driver's own part of it."""
    table = []
    x = torch.rand(8, 128) - 0.5
    for actors in GROWTH:
        model, here = linear(128 * actors, 128, 128), linear(128 * actors, 128, 128)
        started = time.perf_counter()
        with placed(model, backend="ray"):
            ready = time.perf_counter() - started
            work = forward_of(model, x)
            require_equal(f"{actors} actors", forward_of(here, x)(), work())
            for _ in range(5):
                work()
            driver = time.process_time()
            taken = [seconds(work) for _ in range(60)]
            driver = (time.process_time() - driver) / len(taken)
        step = statistics.median(taken)
        table.append({"actors": actors, "step_ms": step * 1e3, "us_per_tile": step / actors * 1e6,
                      "driver_us_per_tile": driver / actors * 1e6, "start_s": ready})  # fmt: skip
        line = f"{step * 1e3:7.2f} ms a step, {step / actors * 1e6:6.0f} us a tile, driver"
        print(
            f"  {actors:3d} actors: {line} {driver / actors * 1e6:5.0f} us a tile, start {ready:.1f} s",
            flush=True,
        )
    return {"row": "growth, one tile of 128 x 128 an actor, forward of 8", "table": table}


def transports() -> Row:
    """The same bytes there and back, and to many, over what Ray offers and over our sockets."""
    table = []
    for name, bytes_ in (("(8, 512)", 16 << 10), ("1 MB", 1 << 20)):
        for transport, opened in ROUND_TRIPS.items():
            table.append(
                {"work": f"{name} there and back", "transport": transport, "ms": opened(bytes_) * 1e3}
            )
    for transport, opened in BROADCASTS.items():
        table.append({"work": "16 MB to 4 actors", "transport": transport, "ms": opened(16 << 20, 4) * 1e3})
    for line in table:
        print(f"  {line['work']:24s} {line['transport']:34s} {line['ms']:9.3f} ms", flush=True)
    return {"row": "transports", "table": table}


ROWS = {
    "tile": one_tile, "training": training, "inference": inference, "packed": packed, "growth": growth,
    "transports": transports,
}  # fmt: skip


def in_ms(medians: dict[str, float]) -> dict[str, float]:
    """Seconds by name as milliseconds."""
    return {f"{name} ms": value * 1e3 for name, value in medians.items()}


def judged(row: Row) -> str:
    """A row's medians, and its figure against the limit."""
    times = "  ".join(f"{key} {value:.3f}" for key, value in row.items() if key.endswith(" ms"))
    verdict = "met" if row["met"] else "MISSED"
    return f"{times}  {row['figure']:.2f} {row['unit']} (limit {row['limit']:g}): {verdict}"


def plot(table: list[dict[str, float]], path: Path) -> None:
    """Time per tile over the number of actors, and the driver's part."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    actors = [line["actors"] for line in table]
    for column, label in (
        ("us_per_tile", "a step, per tile"),
        ("driver_us_per_tile", "the driver's processor time, per tile"),
    ):
        axes.plot(actors, [line[column] for line in table], marker="o", label=label)
    axes.set(xlabel="actors, one tile each", ylabel="µs", xscale="log", yscale="log")
    axes.set_xticks(actors, [str(count) for count in actors])
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--json", type=Path, default=Path("results/bench_ray.json"))
    parser.add_argument("--plot", type=Path, default=Path("results/bench_ray.png"))
    options = parser.parse_args()
    names = options.rows.split(",")
    if unknown := set(names) - ROWS.keys():
        parser.error(f"--rows {options.rows}: {', '.join(sorted(unknown))} is none of {', '.join(ROWS)}")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a run sets it that starts Ray itself
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    results = []
    for name in options.rows.split(","):
        row = ROWS[name]()
        results.append(row)
        print(f"{row['row']}: {judged(row)}" if "figure" in row else row["row"], flush=True)
        if name == "growth":
            plot(row["table"], options.plot)
    ray.shutdown()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(
        json.dumps({"machine": machine("ray", "torch"), "results": results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
