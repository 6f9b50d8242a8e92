"""The commands about plans: map, compare, chips and diff."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from crossgrid.chip.description.load import load_chip, presets
from crossgrid.chip.description.spec import Chip
from crossgrid.chip.mapping.mapper import PLACEMENTS, map_layers
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.plan.layer_shape import GROUPED
from crossgrid.chip.plan.plan import MappingPlan, check_chip
from crossgrid.kernels.errors import ConfigError, CrossgridError

from ..readers.named import FORMS, Model, read_model
from .output import is_asked_for, write_json, write_text
from .schedules import schedule_arguments, scheduled

DEFAULT_STRATEGY = "per-layer"
#: blocks up to which a page compares all strategies without being asked
COMPARED_BLOCKS = 20_000

if TYPE_CHECKING:
    from crossgrid.chip.reports.report import Report


def model_shapes(args: argparse.Namespace) -> Model:
    """Of what the command line names, which is asked once."""
    model = read_model(args.model, args.input)
    for note in model.notes:
        print(f"crossgrid: note: {note}", file=sys.stderr)
    if args.grouped == "separate":
        return model
    return model._replace(layers=tuple(replace(layer, grouped=args.grouped) for layer in model.layers))


def _report(args: argparse.Namespace, model: Model, chip: Chip, strategy: str) -> Report:
    from crossgrid.chip.plan.file import load_plan
    from crossgrid.chip.reports.report import Report

    if getattr(args, "plan", None):
        given = (args.strategy, args.chips, args.placement, args.copies, args.batch, args.kinds)
        if any(option is not None for option in given):
            raise ConfigError(
                f"--plan {args.plan} is mapped already: leave out --strategy, --chips, --placement, "
                "--copies, --batch and --kinds"
            )
        plan = load_plan(args.plan)
        plan.check_model(model.layers)
        check_chip(plan, chip)
    else:
        plan = map_layers(
            model.layers, chip, strategy, args.chips, args.placement or PLACEMENTS[0], model.digital,
            kinds=args.kinds, **_options(args, strategy),
        )  # fmt: skip
    return Report.of(plan, chip, args.model)


class Options(TypedDict):
    """What strategies take of their own."""

    copies: dict[str, int] | None
    batch: int


def _options(args: argparse.Namespace, strategy: str) -> Options:
    """As they are given; where several strategies are compared, each gets its own alone."""
    copies, batch = _copies(args.copies), 1 if args.batch is None else args.batch
    if strategy == (args.strategy or DEFAULT_STRATEGY) and not getattr(args, "all_strategies", False):
        return {"copies": copies, "batch": batch}
    return {
        "copies": copies if strategy == "replicated" else None,
        "batch": batch if strategy == "time-multiplexed" else 1,
    }


def _copies(text: str | None) -> dict[str, int] | None:
    """Copies of layers, from LAYER=N,LAYER=N."""
    if text is None:
        return None
    found: dict[str, int] = {}
    for entry in text.split(","):
        name, equals, number = entry.rpartition("=")
        if not equals or not re.fullmatch(r"\s*\d{1,15}\s*", number) or name.strip() in found:
            raise ConfigError(
                f"--copies '{text}': '{entry}' is no LAYER=N of a layer of its own; write conv1=8,conv2=4"
            )
        found[name.strip()] = int(number)
    return found


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=FORMS)
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=SHAPE",
        help="an input by name, such as x=1x3x224x224 or input_ids=1x128:int64; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--strategy", metavar="S", help=f"one of {', '.join(STRATEGIES)}; {DEFAULT_STRATEGY} by default"
    )
    parser.add_argument(
        "--placement", metavar="P", help=f"one of {', '.join(PLACEMENTS)}; {PLACEMENTS[0]} by default"
    )
    parser.add_argument(
        "--grouped", default="separate", choices=GROUPED,
        help="groups of a convolution on tiles of their own, or side by side along a tile's diagonal",
    )  # fmt: skip
    parser.add_argument(
        "--chips", type=int, metavar="N", help="chips to use; as many as are needed by default"
    )
    parser.add_argument(
        "--copies", metavar="LAYER=N,...",
        help="with --strategy replicated: copies of these layers, one of each other; by default the fastest",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, metavar="N",
        help="with --strategy time-multiplexed: inputs that share each programming of the tiles",
    )  # fmt: skip
    parser.add_argument(
        "--kinds", metavar="LAYER=KIND,...",
        help="on a chip with several kinds of tiles: which one layers are on, such as '*=coarse,fc=digital'",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - is the terminal")
    parser.add_argument("--html", metavar="FILE", help="write one self-contained page")


def map_arguments(parser: argparse.ArgumentParser) -> None:
    _model_arguments(parser)
    parser.add_argument(
        "--chip", required=True, metavar="CHIP", help="a YAML file or a chip of 'crossgrid chips'"
    )
    parser.add_argument("--save", metavar="PLAN", help="write the plan (msgpack)")
    parser.add_argument("--plan", metavar="PLAN", help="take a saved plan instead of mapping")
    parser.add_argument("--png", metavar="FILE", help="draw the floor plan")
    parser.add_argument("--neurosim", metavar="FILE", help="write the layers as NeuroSim's NetWork.csv")
    parser.add_argument(
        "--zigzag", metavar="FILE",
        help="write workload, accelerator and mapping as ZigZag's YAML; to NAME/ as the three files it reads",
    )  # fmt: skip
    parser.add_argument("--why", metavar="LAYER", help="say why the blocks of a layer are where they are")
    schedule_arguments(parser)


def run_map(args: argparse.Namespace) -> int:
    """A model on a chip: printed, drawn, saved."""
    from crossgrid.chip.files.neurosim import neurosim_csv
    from crossgrid.chip.plan.file import save_plan
    from crossgrid.chip.reports.page import page
    from crossgrid.chip.reports.report import draw_floor_plan

    chip, model = load_chip(args.chip), model_shapes(args)
    report = scheduled(args, _report(args, model, chip, args.strategy or DEFAULT_STRATEGY))
    if args.save:
        save_plan(report.plan, args.save)
    if args.html:
        write_text(args.html, page([report, *_other_strategies(args, model, report)]))
    if args.png:
        draw_floor_plan(report.plan, args.png)
    if args.neurosim:
        write_text(args.neurosim, neurosim_csv(report.plan.layers))
    if args.zigzag:
        _write_zigzag(args.zigzag, report)
    if args.why:
        _print_why(report.plan, args.why)
    elif is_asked_for(args):
        report.print()
    if args.json:
        write_json(args.json, report.as_dict())
    return 0


def _write_zigzag(given: str, report: Report) -> None:
    from crossgrid.chip.files.export import zigzag_files, zigzag_yaml

    if not given.endswith("/"):
        write_text(given, zigzag_yaml(report.plan, report.chip))
        return
    Path(given).mkdir(parents=True, exist_ok=True)
    for name, text in zigzag_files(report.plan, report.chip).items():
        (Path(given) / name).write_text(text, encoding="utf-8")


def _other_strategies(args: argparse.Namespace, model: Model, report: Report) -> list[Report]:
    """Reports of the other strategies, for a page that compares them; of a large model there are none."""
    if len(report.plan) > COMPARED_BLOCKS or args.plan:
        return []
    others = []
    for strategy in STRATEGIES:
        if strategy != report.plan.strategy:
            try:
                others.append(_report(args, model, report.chip, strategy))
            except CrossgridError:  # with so few chips this one does not fit
                continue
    return others


def _print_why(plan: MappingPlan, layer: str) -> None:
    for block in plan.blocks_of(layer):
        extent = f"[{block.out_start}:{block.out_stop}, {block.in_start}:{block.in_stop}]"
        print(f"{block.layer}{extent} on {block.tile}: {block.why}")


def chips_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this chip (or YAML file) alone")
    parser.add_argument("--json", metavar="FILE", help="write what is shown as JSON; - is the terminal")


def run_chips(args: argparse.Namespace) -> int:
    """The chips that are described, or one of them."""
    from crossgrid.chip.reports.chip_report import chip_dict, print_chip, print_chips

    chips = [load_chip(args.name)] if args.name else [load_chip(name) for name in presets()]
    if is_asked_for(args):
        print_chip(chips[0]) if args.name else print_chips(chips)
    if args.json:
        shown = [chip_dict(chip) for chip in chips]
        write_json(args.json, shown[0] if args.name else shown)
    return 0


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    _model_arguments(parser)
    parser.add_argument("--chip", action="append", required=True, metavar="CHIP", help="a chip; give several")
    parser.add_argument("--all-strategies", action="store_true", help="every strategy on every chip")


def run_compare(args: argparse.Namespace) -> int:
    """A model on several chips, side by side."""
    from crossgrid.chip.reports.page import page
    from crossgrid.chip.reports.report import print_comparison

    strategies = list(STRATEGIES) if args.all_strategies else [args.strategy or DEFAULT_STRATEGY]
    chips = [load_chip(chip) for chip in args.chip]
    model = model_shapes(args)
    reports, missing = [], []
    for chip in chips:
        for strategy in strategies:
            try:
                reports.append(_report(args, model, chip, strategy))
            except CrossgridError as error:
                missing.append({"chip": chip.name, "strategy": strategy, "error": str(error)})
    if not reports:
        raise ConfigError(f"no row of the comparison fits: {missing[0]['error']}")
    if is_asked_for(args):
        print_comparison(reports)
        for row in missing:
            print(f"left out: {row['chip']}, {row['strategy']}: {row['error']}")
    if args.html:
        write_text(args.html, page(reports))
    if args.json:
        write_json(args.json, [*(report.as_dict() for report in reports), *missing])
    return 0


def diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="PLAN")
    parser.add_argument("after", metavar="PLAN")


def run_diff(args: argparse.Namespace) -> int:
    """What two saved plans differ in, and what that costs."""
    from crossgrid.chip.plan.file import load_plan
    from crossgrid.chip.reports.difference import difference

    for line in difference(load_plan(args.before), load_plan(args.after)):
        print(line)
    return 0
