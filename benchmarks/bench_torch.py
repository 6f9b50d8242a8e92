"""LeNet5's training step on tiles and in plain torch, alternately: bench_torch.py [--data-dir MNIST].

Eight images a step, criterion and optimizer included, both sides with all threads: MNIST's, whose pixels are
zero for four fifths, and uniform random ones, whose are not, so more devices are pulsed. Before anything is
timed, the tiles' outputs are compared with the digital model's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from peer.network import TrainingStep, lenet5
from peer.rows import IMAGES, LEARNING_RATE

import crossgrid as cg

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from common import mnist

SLICE_S = 0.1  # how long a side runs before it is the other's turn
SETTLE_S = 0.25
SLOPE = 0.3  # how far from the digital outputs' the tiles' may be: a read is noisy


def jobs(images: torch.Tensor, classes: torch.Tensor) -> dict[str, TrainingStep]:
    """The same step on both sides."""
    digital = lenet5()
    analog = cg.convert_to_analog(lenet5(), cg.SingleRPUConfig(device=cg.ConstantStepDevice()))
    made = {
        "tiles": TrainingStep(digital, analog, cg.AnalogSGD(analog.parameters(), lr=LEARNING_RATE), IMAGES),
        "torch": TrainingStep(
            digital, plain := lenet5(), torch.optim.SGD(plain.parameters(), lr=LEARNING_RATE), IMAGES
        ),
    }
    for job in made.values():
        job.x, job.classes = images, classes
    return made


def compare(name: str, images: torch.Tensor, classes: torch.Tensor, rounds: int) -> dict[str, Any]:
    """Milliseconds of both sides, and the median over rounds of each round's ratio."""
    sides = jobs(images, classes)
    for side, job in sides.items():
        slope = job.checked()
        if not abs(slope - 1.0) < SLOPE:
            sys.exit(f"{name}: {side} gives {slope:.3f} of the digital outputs; nothing is timed")
    repeats = {side: max(3, round(1e3 * SLICE_S / min(job.times(5)))) for side, job in sides.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in [*sides] if number % 2 == 0 else [*sides][::-1]:
            time.sleep(SETTLE_S)
            times[side].append(statistics.median(sides[side].times(repeats[side])))
    ratios = sorted(a / b for a, b in zip(times["tiles"], times["torch"], strict=True))
    return {
        "images": name, "tiles_ms": statistics.median(times["tiles"]),
        "torch_ms": statistics.median(times["torch"]), "ratio": statistics.median(ratios),
        "range": [ratios[0], ratios[-1]],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="where MNIST's four files are")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (x, y), _ = mnist(options.data_dir)
    shape = (IMAGES.batch, 1, 28, 28)
    uniform = np.random.default_rng(3).random(shape).astype(np.float32)
    kinds = {
        "MNIST": (torch.from_numpy(x[: IMAGES.batch].reshape(shape)), torch.from_numpy(y[: IMAGES.batch])),
        "uniform random": (torch.from_numpy(uniform), torch.arange(IMAGES.batch) % IMAGES.out_size),
    }
    print(f"{'images':16s} {'tiles ms':>9s} {'torch ms':>9s} {'ratio':>6s} {'range':>11s}")
    results = [compare(name, *images, options.rounds) for name, images in kinds.items()]
    for r in results:
        low, high = r["range"]
        figures = f"{r['tiles_ms']:9.3f} {r['torch_ms']:9.3f} {r['ratio']:6.2f} {low:5.2f}-{high:5.2f}"
        print(f"{r['images']:16s} {figures}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine("numba", "numpy", "torch"), "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
