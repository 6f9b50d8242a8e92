"""Any network on any chip: figures are finite, parts add up, orders hold, all reports say one thing."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, Join, LayerShape, map_layers, presets
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.plan.plan import MappingPlan
from crossgrid.chip.reports.page import page
from crossgrid.chip.reports.report import Report
from crossgrid.kernels.errors import ConfigError

#: shrinking a case maps it hundreds of times
QUICK = (Phase.explicit, Phase.generate)

EDITS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("adc", "bits"): (2, 5, 9, 14),
    ("adc", "columns"): (1, 2, 8, 16),
    ("adc", "overlaps"): (True, False),
    ("dac", "bits"): (1, 3, 8),
    ("crossbar", "rows"): (8, 32, 128, 300),
    ("crossbar", "columns"): (16, 64, 256),
    ("crossbar", "rows_at_once"): (1, 8, 32),
    ("crossbar", "phases"): (1, 2, 4),
    ("links", "width_bits"): (1, 8, 512),
    ("links", "kind"): ("mesh", "torus", "h-tree"),
    ("links", "chips"): ("mesh", "ring", "star"),
    ("links", "multicast"): (True, False),
}


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """A preset with a grid of its own and up to four fields edited."""
    name = draw(st.sampled_from([name for name in presets() if name != "ideal"]))
    data = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    data["grid"] = {"rows": draw(st.integers(1, 6)), "columns": draw(st.integers(1, 6))}
    tiles = data["grid"]["rows"] * data["grid"]["columns"]
    data["clusters"] = [cluster for cluster in data.get("clusters", []) if cluster["tiles"] <= tiles]
    levels = {"tile", "chip", *(cluster["name"] for cluster in data["clusters"])}
    data["parts"] = [part for part in data["parts"] if part.get("per", "tile") in levels]
    before = copy.deepcopy(data)
    for section, key in draw(st.lists(st.sampled_from(sorted(EDITS)), max_size=4)):
        data.setdefault(section, {})[key] = draw(st.sampled_from(EDITS[section, key]))
    try:
        return parse_chip(data, "chip.yaml")
    except ConfigError:  # the edits contradict each other
        return parse_chip(before, "chip.yaml")


@st.composite
def networks(draw: st.DrawFn) -> list[LayerShape]:
    """Up to five layers, groups, branches, joins, loops and experts among them."""
    layers: list[LayerShape] = []
    for k in range(draw(st.integers(1, 5))):
        groups = draw(st.sampled_from([1, 1, 2, 8]))
        known = ["", *(layer.name for layer in layers), f"l{k}"]
        read = draw(st.none() | st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
        met = draw(st.lists(st.sampled_from(known[:-1]), max_size=1))
        layers.append(
            LayerShape(
                f"l{k}", groups * draw(st.integers(1, 40)), groups * draw(st.integers(1, 60)),
                draw(st.sampled_from([1, 7, 100, 3000])), sources=None if read is None else tuple(read),
                joins=tuple(Join(name, draw(st.integers(1, 500))) for name in met), groups=groups,
                grouped=draw(st.sampled_from(["separate", "diagonal"])),
                steps=draw(st.sampled_from([None, 1, 3])), activity=draw(st.sampled_from([1.0, 0.25])),
            )
        )  # fmt: skip
    return layers


def mapped(layers: list[LayerShape], chip: Chip, strategy: str, placement: str = "row-major") -> MappingPlan:
    """On as many chips as it needs; programmed anew on one."""
    return map_layers(layers, chip, strategy, 1 if strategy == "time-multiplexed" else None, placement)


def numbers(data: Any) -> Iterator[float]:
    if isinstance(data, dict):
        for value in data.values():
            yield from numbers(value)
    elif isinstance(data, list):
        for value in data:
            yield from numbers(value)
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        yield data


@given(networks(), chips(), st.sampled_from(sorted(STRATEGIES)))
@settings(max_examples=40, deadline=None, derandomize=True, phases=QUICK)
def test_every_figure_is_finite_and_parts_add_up(layers: list[LayerShape], chip: Chip, strategy: str) -> None:
    plan = mapped(layers, chip, strategy)
    report = Report.of(plan, chip)
    cost = report.cost
    assert all(math.isfinite(number) and number >= 0 for number in numbers(report.as_dict()))
    for whole, parts in (
        (cost.energy_pj, cost.energy_by_part.values()),
        (cost.area_mm2, cost.area_by_part.values()),
        (cost.latency_ns, cost.latency_by_part.values()),
        (cost.hop_bits, (layer.hop_bits for layer in cost.layers)),
        (cost.crossing_bits, (layer.crossing_bits for layer in cost.layers)),
        *((layer.energy_pj, layer.energy_by_part.values()) for layer in cost.layers),
    ):
        assert whole == pytest.approx(sum(parts))
    at_rest = sum(energy_by_part(chip, Events(static_ns=cost.interval_ns), plan.chips_used).values())
    assert cost.energy_pj == pytest.approx(at_rest + sum(layer.energy_pj for layer in cost.layers))
    held = plan.block_weights[plan.table["copy"] == 0].sum()
    assert held == sum(layer.weights for layer in layers)


@given(networks(), chips(), st.sampled_from(sorted(STRATEGIES)))
@settings(max_examples=40, deadline=None, derandomize=True, phases=QUICK)
def test_orders_hold(layers: list[LayerShape], chip: Chip, strategy: str) -> None:
    """An input leaves no earlier than the next one may enter; nobody works more than all the time."""
    plan = mapped(layers, chip, strategy)
    report = Report.of(plan, chip)
    cost, close = report.cost, 1.0 + 1e-9
    assert cost.interval_ns <= cost.latency_ns * close
    assert cost.slowest_link_ns <= cost.interval_ns * close
    assert report.time_utilization <= report.tiles_busy * close
    assert report.tiles_busy <= close
    assert 0.0 < plan.utilization <= close
    assert (plan.tile_fill <= close).all()


@given(networks(), chips(), st.sampled_from(sorted(STRATEGIES)))
@settings(max_examples=15, deadline=None, derandomize=True, phases=QUICK)
def test_placing_by_traffic_never_takes_more(layers: list[LayerShape], chip: Chip, strategy: str) -> None:
    link, crossing = (
        sum(energy_by_part(chip, events, 1).values())
        for events in (Events(hop_bit=1.0), Events(crossing_bit=1.0))
    )
    energies = []
    for placement in ("traffic", "row-major"):
        traffic = traffic_of(mapped(layers, chip, strategy, placement), chip)
        energies.append(link * traffic.hop_bits.sum() + crossing * traffic.crossing_bits.sum())
    assert energies[0] <= energies[1] * (1.0 + 1e-9)


@given(networks(), chips())
@settings(max_examples=15, deadline=None, derandomize=True, phases=QUICK)
def test_the_page_says_what_the_data_say(layers: list[LayerShape], chip: Chip) -> None:
    report = Report.of(mapped(layers, chip, "per-layer"), chip)
    text = page([report])
    (shown,) = json.JSONDecoder().raw_decode(text[text.index('[{"model"') :])[0]
    del shown["floor"], shown["chart"]  # pictures
    assert shown == json.loads(json.dumps(report.as_dict()))
