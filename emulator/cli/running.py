"""The commands that run something: demo, doctor and bench."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crossgrid.kernels.errors import ConfigError

from .output import is_asked_for, write_json

#: the checkout, where examples and benchmarks live beside the package
ROOT = Path(__file__).resolve().parents[2]

BENCHMARKS = {"peer": "bench_peer.py", "ray": "bench_ray.py", "gpu": "bench_gpu.py"}


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("local", "ray"), default="ray", help="where the tiles live")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--results", default="results/demo", help="folder for results")


def run_demo(args: argparse.Namespace) -> int:
    """LeNet5 on the digits, on the chip demo-128."""
    script = _script("examples", "04_lenet5_training.py")
    flags = ["--dataset", "digits", "--backend", args.backend, "--epochs", str(args.epochs)]
    return subprocess.call([sys.executable, str(script), *flags, "--results", args.results])


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="FILE.py:CALLABLE",
        help="look at this model instead: what of it is on tiles, what is not and why",
    )  # fmt: skip
    parser.add_argument("--no-ray", action="store_true", help="do not start Ray")
    parser.add_argument("--clean", action="store_true", help="only remove what killed runs left behind")
    parser.add_argument(
        "--config", choices=("SingleRPUConfig", "InferenceRPUConfig"), default="SingleRPUConfig",
        help="what a model without analog layers is converted with",
    )  # fmt: skip
    parser.add_argument("--chip", metavar="CHIP", help="warn of converters of this chip too")
    parser.add_argument("--json", metavar="FILE", help="write what is said of a model; - is the terminal")


def run_doctor(args: argparse.Namespace) -> int:
    """Exit status 1 where something does not work."""
    if args.model is not None:
        return _examine_model(args)
    if args.chip or args.json:
        raise ConfigError("--chip and --json belong to a model: crossgrid doctor FILE.py:CALLABLE")
    from .doctor import examine

    if args.clean:
        from ..wire.directory import remove_abandoned

        for path in remove_abandoned():
            print(f"removed {path}")
        return 0
    table = Table("", "what", "")
    healthy = True
    for finding in examine(not args.no_ray):
        table.add_row("ok" if finding.works else "--", finding.what, finding.says)
        healthy = healthy and finding.works
    Console().print(table)
    return 0 if healthy else 1


def _examine_model(args: argparse.Namespace) -> int:
    """Print the summary of a user's model."""
    from .doctor import examine_model

    summary = examine_model(args.model, args.config, args.chip)
    if is_asked_for(args):
        print(summary)
    if args.json:
        write_json(args.json, summary.as_dict())
    return 0


def bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=tuple(BENCHMARKS), help="which benchmark")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its own flags")


def run_bench(args: argparse.Namespace) -> int:
    """A benchmark of the checkout."""
    return subprocess.call([sys.executable, str(_script("benchmarks", BENCHMARKS[args.name])), *args.rest])


def _script(folder: str, name: str) -> Path:
    path = ROOT / folder / name
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: this command runs in a checkout, from `make setup`")
    return path
