"""What the examples share: their flags, the image sets, an epoch and a test with a progress bar, plots."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import crossgrid as cg

#: public mirrors of MNIST's four files, and the MD5 sums that they are published with
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
TEST_DIGITS = 360


def arguments(
    description: str,
    epochs: int,
    results: str,
    images: bool = False,
    chip: str = "none",
    crosspoints: Sequence[str] = (),
    backend: str = "local",
) -> argparse.Namespace:
    """The flags of every example; those that need images also take a data set, some what a crosspoint is."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--backend", choices=("local", "ray"), default=backend, help="where the tiles live")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(results), help="folder for results")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--chip", default=chip, help="a preset's name, a YAML file, or none")
    parser.add_argument("--tiles-per-actor", default=None, help="a number, or auto")
    parser.add_argument(
        "--device", choices=("cpu", "cuda", "naive"), default="cpu", help="what the tiles compute on"
    )
    parser.add_argument("--metrics-port", type=int, default=None)
    if crosspoints:
        parser.add_argument("--crosspoint", choices=crosspoints, default=crosspoints[0], help="what learns")
    if images:
        parser.add_argument("--dataset", choices=("digits", "mnist"), default="digits")
        parser.add_argument("--data-dir", type=Path, default=None, help="folder of MNIST's four files")
    return parser.parse_args()


def emulation(
    model: torch.nn.Module, args: argparse.Namespace, weights: Path | None = None, stages: int | None = None
) -> cg.Emulation:
    """``cg.emulate`` as the flags ask for; numbers from files, and processes for parts of the model."""
    chip = None if args.chip == "none" else args.chip
    per_actor = args.tiles_per_actor
    if per_actor not in (None, "auto"):
        per_actor = int(per_actor)
    return cg.emulate(
        model,
        chip,
        args.backend,
        tiles_per_actor=per_actor,
        metrics_port=args.metrics_port,
        device=args.device,
        weights=weights,
        stages=stages,
    )


def images(args: argparse.Namespace, batch: int, flat: bool = False) -> tuple[DataLoader, DataLoader]:
    """Training and test loaders of 28x28 images in [0, 1]; the training order follows the seed."""
    sets = digits() if args.dataset == "digits" else mnist(args.data_dir)
    if flat:
        sets = tuple((x.reshape(len(x), -1), y) for x, y in sets)
    train, test = (TensorDataset(torch.from_numpy(x), torch.from_numpy(y)) for x, y in sets)
    order = torch.Generator().manual_seed(args.seed)
    return DataLoader(train, batch, shuffle=True, generator=order), DataLoader(test, 64)


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The 1797 handwritten digits that scikit-learn ships, resized to 28x28; 360 of them to test with."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.from_numpy(x.reshape(-1, 1, 8, 8).astype(np.float32) / 16)
    x = torch.nn.functional.interpolate(x, (28, 28), mode="bilinear", align_corners=False).numpy()
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order].astype(np.int64)
    return (x[TEST_DIGITS:], y[TEST_DIGITS:]), (x[:TEST_DIGITS], y[:TEST_DIGITS])


def mnist(folder: Path | None) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """MNIST from ``folder``, else the user's cache, else a public mirror (checked by its sum)."""
    raw = {name: _mnist_file(name, folder) for name in MNIST}

    def part(stem: str) -> tuple[np.ndarray, np.ndarray]:
        x = np.frombuffer(raw[f"{stem}-images-idx3-ubyte.gz"], np.uint8, offset=16).reshape(-1, 1, 28, 28)
        y = np.frombuffer(raw[f"{stem}-labels-idx1-ubyte.gz"], np.uint8, offset=8)
        return x.astype(np.float32) / 255, y.astype(np.int64)

    return part("train"), part("t10k")


def _mnist_file(name: str, folder: Path | None) -> bytes:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "crossgrid" / "mnist"
    for place in (folder, cache):
        if place is not None and (place / name).is_file():
            return gzip.decompress((place / name).read_bytes())
    for mirror in MIRRORS:
        try:
            packed = urllib.request.urlopen(mirror + name, timeout=30).read()
        except OSError:
            continue
        if hashlib.md5(packed).hexdigest() == MNIST[name]:
            cache.mkdir(parents=True, exist_ok=True)
            (cache / name).write_bytes(packed)
            return gzip.decompress(packed)
    wanted = ", ".join(MNIST)
    raise SystemExit(
        f"MNIST's {name} is neither in --data-dir {folder} nor in {cache}, and no mirror gave it; "
        f"put the four files {wanted} into a folder and pass it as --data-dir"
    )


def shown(loader: DataLoader, title: str) -> Iterator[Any]:
    """The batches of ``loader``, with a bar in the terminal where they take long."""
    with cg.progress_bar(title, len(loader)) as advance:
        for batch in loader:
            yield batch
            advance()


def train_epoch(
    model: torch.nn.Module,
    loader: DataLoader,
    criterion: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    running: cg.Emulation,
    title: str,
) -> float:
    """One pass over the training images; the mean loss a sample."""
    model.train()
    total, count = 0.0, 0
    for x, y in shown(loader, title):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        running.record(loss.item())
        total, count = total + loss.item() * len(y), count + len(y)
    return total / count


@torch.no_grad()
def evaluate(model: torch.nn.Module, loader: DataLoader, criterion: torch.nn.Module) -> tuple[float, float]:
    """Mean loss a sample, and accuracy as a fraction."""
    model.eval()
    total, right, count = 0.0, 0, 0
    for x, y in shown(loader, "test"):
        output = model(x)
        total += criterion(output, y).item() * len(y)
        right += int((output.argmax(dim=1) == y).sum())
        count += len(y)
    return total / count, right / count


def say(text: str) -> None:
    """A line with the time of day."""
    print(time.strftime("%H:%M:%S"), "---", text, flush=True)


def save_results(args: argparse.Namespace, model: torch.nn.Module, started: float, **values: Any) -> None:
    """Write ``metrics.json``."""
    args.results.mkdir(parents=True, exist_ok=True)
    values["weights_sha256"] = cg.weights_sha256(model)
    values["seconds"] = time.perf_counter() - started
    (args.results / "metrics.json").write_text(json.dumps(values, indent=2) + "\n")
    print(f"results in {args.results}/: {', '.join(sorted(p.name for p in args.results.iterdir()))}")


def finish(
    args: argparse.Namespace, model: torch.nn.Module, started: float, losses: Sequence[float], tiles: int
) -> None:
    """Results of an example that only has a loss."""
    plot_curves(args.results / "loss.png", "loss", {"train": losses})
    save_results(args, model, started, loss=losses, tiles=tiles)


def run(main: Callable[[], None]) -> None:
    """Run an example; what a user can mend ends in one line."""
    try:
        main()
    except cg.CrossgridError as error:
        sys.exit(f"error: {error}")


def plot_curves(
    path: Path,
    ylabel: str,
    curves: dict[str, Sequence[float]],
    x: Sequence[float] | None = None,
    xlabel: str = "epoch",
) -> None:
    """A PNG with one line a curve, over epochs or over ``x`` (logarithmic)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for label, values in curves.items():
        axes.plot(x or range(1, len(values) + 1), values, marker="o", markersize=3, label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if x is not None:
        axes.set_xscale("symlog")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
