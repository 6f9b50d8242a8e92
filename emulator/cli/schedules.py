"""Of the command ``map`` what happens when: a stream of inputs over the plan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from crossgrid.kernels.errors import ConfigError

if TYPE_CHECKING:
    from crossgrid.chip.reports.report import Report

#: inputs of a schedule that does not say how many
INPUTS = 8


def schedule_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--schedule", type=int, nargs="?", const=INPUTS, metavar="N",
        help=f"follow N inputs ({INPUTS}) row by row: stalls, buffers, tiles, with a chart on the page",
    )  # fmt: skip
    parser.add_argument("--gantt", metavar="FILE", help="draw the schedule's Gantt chart")
    parser.add_argument(
        "--every-ns",
        type=float,
        default=0.0,
        metavar="T",
        help="from one of its inputs to the next; 0: all wait",
    )
    parser.add_argument(
        "--buffer-bytes",
        type=float,
        metavar="B",
        help="what each tile's buffer holds; by default what it takes",
    )


def scheduled(args: argparse.Namespace, report: Report) -> Report:
    """The report with its schedule, if one is asked for, which is drawn where it is wanted."""
    if args.schedule is None and not args.gantt:
        if args.every_ns or args.buffer_bytes is not None:
            raise ConfigError("--every-ns and --buffer-bytes are of a schedule: add --schedule")
        return report
    from crossgrid.chip.schedule.schedule import schedule

    inputs = INPUTS if args.schedule is None else args.schedule
    found = schedule(report.plan, report.chip, inputs, args.every_ns, args.buffer_bytes)
    if args.gantt:
        found.draw(args.gantt)
    return replace(report, schedule=found)
