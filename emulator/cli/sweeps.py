"""The command about studies: sweep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ..sweep.result import Sweep


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY.yaml", help="model, data, chip and the parameters that vary")
    parser.add_argument(
        "--rows", metavar="FILE", help="CSV or Parquet file for the rows; a killed sweep goes on from it"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with every point and the front")
    parser.add_argument("--png", metavar="FILE", help="draw every point and the front")
    parser.add_argument("--cost", default="energy_pj", metavar="FIGURE", help="what the front is over")
    parser.add_argument("--gain", default="accuracy", metavar="FIGURE", help="what the front is of")
    parser.add_argument("--backend", default="local", choices=("local", "ray"), help="ray: in parallel")
    parser.add_argument("--workers", type=int, metavar="N", help="emulations at once under Ray")


def run_sweep(args: argparse.Namespace) -> int:
    """A study's points: costed, emulated, kept, drawn."""
    from ..sweep.front import front
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
