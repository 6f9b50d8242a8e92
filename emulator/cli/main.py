"""The command ``crossgrid``: all its commands. A further one is one more entry of ``COMMANDS``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crossgrid.kernels.errors import CrossgridError

from . import plans, running, runs, sweeps
from .output import check_outputs


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is for, which arguments it takes, what it does."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None, known: Mapping[str, Command] | None = None) -> int:
    """Run the command line with ``COMMANDS``, or ``known`` ones; errors that a user can mend are one line."""
    known = COMMANDS if known is None else known
    parser = argparse.ArgumentParser(prog="crossgrid", description="Analog crossbar chips, emulated.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in known.items():
        command.arguments(commands.add_parser(name, help=command.help, description=command.help))
    args = parser.parse_args(argv)
    try:
        check_outputs(args)
        return known[args.command].run(args)
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (CrossgridError, OSError) as error:
        print(f"crossgrid: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("crossgrid: interrupted", file=sys.stderr)
        return 130


COMMANDS: dict[str, Command] = {
    "map": Command("map a model onto a chip: tiles, utilization, cost", plans.map_arguments, plans.run_map),
    "compare": Command("map a model onto several chips", plans.compare_arguments, plans.run_compare),
    "chips": Command(
        "list the chips that are described, or show one", plans.chips_arguments, plans.run_chips
    ),
    "diff": Command("say what two saved plans differ in", plans.diff_arguments, plans.run_diff),
    "sweep": Command(
        "vary a chip, a configuration, a mapping: accuracy beside cost",
        sweeps.sweep_arguments,
        sweeps.run_sweep,
    ),
    "sensitivity": Command(
        "say which layer's converters, noise, drift or faults cost the accuracy",
        sweeps.sensitivity_arguments,
        sweeps.run_sensitivity,
    ),
    "choose": Command(
        "choose the kind of tile of each layer, by what it loses there",
        sweeps.choose_arguments,
        sweeps.run_choose,
    ),
    "inspect": Command("say what is in a saved run", runs.inspect_arguments, runs.run_inspect),
    "demo": Command("train LeNet5 on a chip's tiles", running.demo_arguments, running.run_demo),
    "doctor": Command("look at this machine, or at a model", running.doctor_arguments, running.run_doctor),
    "bench": Command("run a benchmark", running.bench_arguments, running.run_bench),
}

if __name__ == "__main__":
    sys.exit(main())
