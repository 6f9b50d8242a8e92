"""The commands about studies: sweep, sensitivity and choose."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from crossgrid.chip.description.yaml_text import from_yaml
from crossgrid.chip.files.pictures import picture_format
from crossgrid.kernels.errors import ConfigError

from .output import is_asked_for, write_json, write_text

if TYPE_CHECKING:
    from ..sensitivity.choice import KindChoice
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
    """A study's points: costed, emulated, kept, drawn; 1 where none of them can be."""
    from ..sweep.figures import front
    from ..sweep.plot import page
    from ..sweep.sweep import sweep

    front([], args.cost, args.gain)  # a figure that does not exist is said before, not after
    if args.png:
        picture_format(args.png)
    done = sweep(args.study, args.rows, args.backend, args.workers)
    if args.html:
        write_text(args.html, page(done))
    if args.png:
        done.draw(args.png, args.cost, args.gain)
    if is_asked_for(args):
        _print_front(done, args.cost, args.gain)
    for row in done.errors[:3]:
        print(f"point {row['point']}: {row['error']}", file=sys.stderr)
    if is_asked_for(args):
        print(done)
    return 1 if done.rows and len(done.errors) == len(done.rows) else 0


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
    from ..sensitivity.chart import page
    from ..sensitivity.sensitivity import sensitivity

    if args.png:
        picture_format(args.png)
    layers, causes = (
        None if text is None else [name.strip() for name in text.split(",")]
        for text in (args.layers, args.causes)
    )
    found = sensitivity(
        args.study, args.rows, args.backend, args.workers,
        layers=layers, causes=causes, settings=_settings(args.set),
    )  # fmt: skip
    if args.html:
        write_text(args.html, page(found))
    if args.png:
        found.draw(args.png)
    if is_asked_for(args):
        _print_losses(found)
    if args.json:
        write_json(args.json, found.as_dict())
    return 0


def choose_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", metavar="STUDY.yaml", help="model, data, and a chip of several kinds of tiles"
    )
    parser.add_argument(
        "--budget", type=float, required=True, metavar="B",
        help="accuracy to give up at most, a fraction of the inputs: 0.01 is one in 100",
    )  # fmt: skip
    parser.add_argument(
        "--rows",
        metavar="FILE",
        help="CSV or Parquet file for single layers' rows; a killed run goes on from it",
    )
    parser.add_argument("--json", metavar="FILE", help="write choice, options and runs; - is the terminal")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="instead of what the study says, such as drift_s=86400; may be repeated",
    )  # fmt: skip
    _backend_arguments(parser)


def run_choose(args: argparse.Namespace) -> int:
    """The kind of tile of each layer, by what it loses there."""
    from ..sensitivity.choice import choose_kinds

    found = choose_kinds(
        args.study, args.budget, args.rows, args.backend, args.workers, settings=_settings(args.set)
    )
    if args.json != "-":
        _print_choice(found)
    if args.json:
        write_json(args.json, found.as_dict())
    return 0


def _print_choice(found: KindChoice) -> None:
    shown = Console(markup=False)
    names = [kind for kind in found.runs if kind != "chosen"]
    title = "each layer alone on a kind of tile: % of the inputs lost, nJ an input; * is chosen"
    table = Table("layer", *names, title=title, title_justify="left")
    for layer, options in found.options.items():
        cells = []
        for kind in names:
            of = options.get(kind)
            mark = "*" if found.kinds[layer] == kind else ""
            cells.append("error" if of is None else f"{mark}{100 * of.loss:.4g} %, {of.energy_pj / 1e3:.4g}")
        table.add_row(layer, *cells)
    shown.print(table)
    runs = Table(
        "layers on", "right %", "µJ an input", "mm²", "latency µs", title="as a whole", title_justify="left"
    )
    for name, row in found.runs.items():
        figures = [
            (row["accuracy"], 100),
            (row["energy_pj"], 1e-6),
            (row["area_mm2"], 1),
            (row["latency_ns"], 1e-3),
        ]
        shares = ("–" if value is None else f"{value * scale:.5g}" for value, scale in figures)
        runs.add_row(name, *shares)
        if row["error"]:
            print(f"{name}: {row['error']}", file=sys.stderr)
    shown.print(runs)
    shown.print(
        f"losses of the chosen add up to {100 * found.choice.loss:.4g} % of {found.samples} inputs, "
        f"{100 * found.budget:.4g} % were allowed",
        highlight=False,
    )
    print(f"--kinds '{found.text}'")


def _settings(entries: list[str]) -> dict[str, Any]:
    """Values by name, from NAME=VALUE; values are read as in a study's file."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        try:
            value = from_yaml(text)
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
