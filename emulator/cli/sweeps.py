"""The commands about studies: sweep and sensitivity."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from crossgrid.kernels.errors import ConfigError

from .output import write_json

if TYPE_CHECKING:
    from ..sensitivity.sensitivity import Sensitivity
    from ..sweep.result import Sweep


def _backend_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", default="local", choices=("local", "ray"), help="ray: in parallel")
    parser.add_argument("--workers", type=int, metavar="N", help="emulations at once under Ray")


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY.yaml", help="model, data, chip and the parameters that vary")
    parser.add_argument(
        "--rows", metavar="FILE", help="CSV or Parquet file for the rows; a killed sweep goes on from it"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with every point and the front")
    parser.add_argument("--png", metavar="FILE", help="draw every point and the front")
    parser.add_argument("--cost", default="energy_pj", metavar="FIGURE", help="what the front is over")
    parser.add_argument("--gain", default="accuracy", metavar="FIGURE", help="what the front is of")
    _backend_arguments(parser)


def run_sweep(args: argparse.Namespace) -> int:
    """A study's points: costed, emulated, kept, drawn."""
    from ..sweep.figures import front
    from ..sweep.plot import check_picture
    from ..sweep.sweep import sweep

    front([], args.cost, args.gain)  # a figure that does not exist is said before, not after
    if args.png:
        check_picture(Path(args.png))
    done = sweep(args.study, args.rows, args.backend, args.workers)
    if args.html:
        done.write_page(args.html)
    if args.png:
        done.draw(args.png, args.cost, args.gain)
    _print_front(done, args.cost, args.gain)
    for row in done.errors[:3]:
        print(f"point {row['point']}: {row['error']}", file=sys.stderr)
    print(done)
    return 0


def _print_front(done: Sweep, cost: str, gain: str) -> None:
    names = list(done.study.parameters)
    table = Table("point", *names, cost, gain, title=f"front of {gain} over {cost}", title_justify="left")
    for row in done.front(cost, gain):
        figures = (f"{row[key]:.6g}" for key in (cost, gain))
        table.add_row(str(row["point"]), *(str(row[name]) for name in names), *figures)
    Console().print(table)


def sensitivity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY.yaml", help="model, data, chip; one value for each parameter")
    parser.add_argument(
        "--rows", metavar="FILE", help="CSV or Parquet file for the rows; a killed run goes on from it"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with the bars")
    parser.add_argument("--png", metavar="FILE", help="draw the bars")
    parser.add_argument("--json", metavar="FILE", help="write the losses as JSON; - is the terminal")
    parser.add_argument("--layers", metavar="L,L,...", help="names of layers; all by default")
    parser.add_argument(
        "--causes", metavar="C,C,...",
        help="of adc, dac, read, programming, drift, faults, all; those of the study by default",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="instead of what the study says, such as chip.adc.bits=4 or drift_s=86400; may be repeated",
    )  # fmt: skip
    _backend_arguments(parser)


def run_sensitivity(args: argparse.Namespace) -> int:
    """Each cause at each layer alone: run, kept, drawn."""
    from ..sensitivity.sensitivity import sensitivity
    from ..sweep.plot import check_picture

    if args.png:
        check_picture(Path(args.png))
    layers, causes = (
        None if text is None else [name.strip() for name in text.split(",")]
        for text in (args.layers, args.causes)
    )
    found = sensitivity(
        args.study, args.rows, args.backend, args.workers,
        layers=layers, causes=causes, settings=_settings(args.set),
    )  # fmt: skip
    if args.html:
        found.write_page(args.html)
    if args.png:
        found.draw(args.png)
    if args.json != "-":
        _print_losses(found)
    if args.json:
        write_json(args.json, found.as_dict())
    return 0


def _settings(entries: list[str]) -> dict[str, Any]:
    """Values by name, from NAME=VALUE; values are read as in a study's file."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if not equals or not name.strip() or name.strip() in found:
            raise ConfigError(f"--set '{entry}' is no NAME=VALUE of a name of its own")
        found[name.strip()] = value
    return found


def _print_losses(found: Sensitivity) -> None:
    title = "accuracy lost to one cause at one layer alone, % of the inputs"
    table = Table("layer", *found.causes, title=title, title_justify="left")
    for layer, losses in found.losses.items():
        table.add_row(layer, *("error" if x is None else f"{100 * x:.4g}" for x in losses.values()))
    Console(markup=False).print(table)
    for row in found.sweep.errors[:3]:
        print(f"{row['layer']}, {row['cause']}: {row['error']}", file=sys.stderr)
    print(found)
