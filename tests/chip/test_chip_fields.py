"""No field of a chip's file without effect: another value changes a plan, a cost or a read, or is refused.

Every field of every kind of entry is set to other values, in every described chip and in one of several
small chips, until a number changes: where blocks are, energy, area, times, peak rates, the energy of training
and of programming, the converters that a read goes through, an export's widths, the time of update pulses.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossgrid.chip import LayerShape, map_layers, presets
from crossgrid.chip.cost.cost import cost_of, peak
from crossgrid.chip.cost.events import training_events
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.description.converters import converted_by
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.description.parsing import Figure, hints_of
from crossgrid.chip.description.spec import (
    ADC_KINDS,
    CHIP_LINKS,
    DAC_KINDS,
    EVENTS,
    LINKS,
    MODELS,
    SIGNS,
    Chip,
)
from crossgrid.chip.files.export import zigzag_yaml
from crossgrid.emulator.config.rpu import SingleRPUConfig
from crossgrid.emulator.nn.linear import AnalogLinear
from crossgrid.emulator.run.report import RunReport
from crossgrid.kernels.analog_mvm import IOParameters
from crossgrid.kernels.errors import ConfigError

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
LAYERS = (
    LayerShape("a", 300, 200, 9), LayerShape("b", 120, 300, 4, sources=("a",)),
    LayerShape("c", 60, 300, sources=("a",)), LayerShape("d", 10, 180, sources=("b", "c")),
)  # fmt: skip
#: a trained layer's tiles, each of which was pulsed for three vectors
SPEC = AnalogLinear(4, 3, rpu_config=SingleRPUConfig(), seed=1).grid.spec
SAMPLES = [({"layer": SPEC.name, "tile": "0"}, {"update_count": 3.0})]

#: for a reader: printed in tables and pages, and no number follows from them
TEXTS = {
    "Chip.name", "Chip.title", "Chip.reference", "Chip.estimated", "Cluster.name", "Figure.source",
    "Figure.estimate",
}  # fmt: skip

WORDS = {
    "kind": (*ADC_KINDS, *DAC_KINDS, *LINKS), "chips": CHIP_LINKS, "sign": SIGNS, "model": MODELS,
    "event": EVENTS, "per": ("tile", "chip"),
}  # fmt: skip


@functools.cache
def described() -> dict[str, Any]:
    """Every preset, and demo-128 as nine chips of nine tiles with all that its file leaves out."""
    chips = {name: yaml.safe_load((PRESETS / f"{name}.yaml").read_text()) for name in presets()}
    small = copy.deepcopy(chips["demo-128"])
    small["grid"], small["chips"] = {"rows": 2, "columns": 2}, 9
    small["clusters"] = [{"name": "pair", "tiles": 2}]
    small["links"] |= {"chip_hop_ns": 5, "chip_gbit_per_s": 1}
    small["parts"].append({"name": "pool", "per": "pair", "event": "busy_ns", "power_mw": 2, "area_mm2": 1})
    small["parts"].append({"name": "clock", "event": "mvm", "power_mw": 2, "time_ns": 3})
    return {**chips, "several": small}


def numbers(data: Any) -> str:
    """All that is computed from a chip, but for what repeats its texts."""
    chip = parse_chip(data, "chip.yaml")
    plan = map_layers(LAYERS, chip, chips=chip.chips)
    in_turn = map_layers(LAYERS, chip, strategy="time-multiplexed", chips=1)
    trained = training_events(plan, chip, 1.0) + Events(program_weight=1.0)
    export = str(yaml.safe_load(zigzag_yaml(plan, chip)))
    seen = (
        [(b.tile, b.out_start, b.in_start) for layer in LAYERS for b in plan.blocks_of(layer.name)],
        dataclasses.replace(cost_of(plan, chip), estimates=()), cost_of(in_turn, chip).latency_ns,
        peak(chip), energy_by_part(chip, trained, plan.chips_used),
        re.findall(r"_precision': [^a-z]*", export),
        converted_by(chip, IOParameters(noise_management="NONE", bound_management="NONE")),
        RunReport(plan, [SPEC], SAMPLES, chip).update_ns(),
    )  # fmt: skip
    return repr(seen)


@functools.cache
def reference(name: str) -> str:
    return numbers(described()[name])


def entry(hint: Any) -> Any:
    """The kind of entry that a field holds, one or several; None: it holds a value."""
    return next((each for each in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(each)), None)


def entries(cls: Any, data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The kinds of all entries of a file, and where they are."""
    yield cls, place
    for name, value in data.items():
        kind = entry(hints_of(cls)[name]) if cls is not Figure else None
        for number, each in enumerate(value if isinstance(value, list) else [value]):
            if kind is not None and isinstance(each, dict):
                below = (*place, name, number) if isinstance(value, list) else (*place, name)
                yield from entries(kind, each, below)


def others(name: str, hint: Any, value: Any) -> list[Any]:
    """Values to set in the place of ``value``."""
    kinds = {*typing.get_args(hint), hint}
    if name in WORDS and str in kinds:
        return [word for word in WORDS[name] if word != value]
    if name == "estimate":
        return ["another"]
    if bool in kinds:
        return [True, False]
    if Figure in kinds:
        figure = value if isinstance(value, dict) else {"value": value or 0}
        return [{**figure, "value": 2.5 * figure["value"] + more} for more in (0.0, 1.0, 50.0)]
    if kinds & {int, float}:
        held = value or 0
        return [n for n in (held + 1, 2 * held, held // 2, held - 1, 4 * held, 1, 2, 8, 500) if n != value]
    return ["another"] if str in kinds else [["another"]]


def changed(name: str, place: tuple[Any, ...], field: str, hint: Any) -> Iterator[str]:
    """What happens with each other value of a field of an entry: "number", "error" or "nothing"."""
    data = described()[name]
    for key in place:
        data = data[key]
    for value in others(field, hint, data.get(field)):
        other = copy.deepcopy(described()[name])
        owner = other
        for key in place:
            owner = owner[key]
        owner[field] = value
        try:
            yield "number" if numbers(other) != reference(name) else "nothing"
        except ConfigError:
            yield "error"


def fields() -> dict[str, list[tuple[str, tuple[Any, ...], str, Any]]]:
    """Every field of every kind of entry, with all places where it can be set."""
    found: dict[str, list[tuple[str, tuple[Any, ...], str, Any]]] = {}
    for name, data in described().items():
        for cls, place in entries(Chip, data):
            for field, hint in hints_of(cls).items():
                if entry(hint) in (None, Figure):
                    found.setdefault(f"{cls.__name__}.{field}", []).append((name, place, field, hint))
    return found


FIELDS = fields()


def seen_of(field: str) -> set[str]:
    """What other values of a field do, until one changes a number."""
    seen: set[str] = set()
    for place in FIELDS[field]:
        for what in changed(*place):
            seen.add(what)
            if what == "number":
                return seen
    return seen


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in TEXTS])
def test_a_field_matters(field: str) -> None:
    seen = seen_of(field)
    assert "number" in seen or seen == {"error"}


@pytest.mark.parametrize("field", sorted(TEXTS))
def test_a_text_is_a_text_and_documented(field: str) -> None:
    of_each_kind = {(place[::2], text): (name, place, text, hint)
                    for name, place, text, hint in FIELDS[field]}  # fmt: skip
    assert all("number" not in changed(*each) for each in of_each_kind.values())
    assert f"| `{field}` |" in DOCUMENT.read_text(encoding="utf-8")


def test_every_kind_of_entry_is_walked() -> None:
    kinds = {
        "Chip",
        "Grid",
        "Cluster",
        "Crossbar",
        "Dac",
        "Adc",
        "Links",
        "Write",
        "DesignPoint",
        "Part",
        "Figure",
    }
    assert {field.partition(".")[0] for field in FIELDS} == {*kinds}
