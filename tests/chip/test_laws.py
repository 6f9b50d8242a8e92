"""Every number of every described chip, raised: energy, area and time go where they must, or stay.

Signs are those of physics, not of the code: more levels, cells, devices, wider links, older nodes cost more;
sharing saves area and takes time; a wider digit is fewer passes; a bound, a name of a width or what only
programming asks costs a read nothing. A number that no law names fails the test.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import yaml

from crossgrid.chip import map_layers, presets
from crossgrid.chip.cost.components import size
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.events import mvm_interval_ns
from crossgrid.chip.cost.parts import design_of
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

DESCRIBED = [name for name in presets() if name != "ideal"]

Place = tuple[Any, ...]


class Law(NamedTuple):
    """+: never falls; -: never rises; =: stays; ?: a trade, either way."""

    energy: str
    area: str
    vector: str  # the time of one vector on a tile
    latency: str


#: what a raised number does to LeNet5
LAWS = {
    "node_nm": Law("+", "+", "=", "="),
    "chips": Law("=", "=", "=", "="),
    "operation_bits": Law("=", "=", "=", "="),
    "output_bits": Law("+", "+", "=", "+"),
    "sum_bits": Law("+", "=", "=", "+"),
    "grid.rows": Law("=", "+", "=", "="),
    "grid.columns": Law("=", "+", "=", "="),
    "clusters.tiles": Law("-", "-", "=", "="),  # that share a part
    "crossbar.rows": Law("?", "+", "+", "?"),  # fewer sums between tiles, longer lines
    "crossbar.columns": Law("?", "+", "=", "-"),
    "crossbar.cells_per_weight": Law("+", "-", "=", "+"),
    "crossbar.devices_per_cell": Law("+", "+", "=", "="),
    "crossbar.bits_per_cell": Law("+", "=", "=", "+"),  # wider sums; its converters are another number
    "crossbar.weight_bits": Law("=", "=", "=", "="),
    "crossbar.phases": Law("+", "=", "+", "+"),
    "crossbar.rows_at_once": Law("-", "=", "-", "-"),
    "dac.bits": Law("+", "+", "+", "+"),
    "dac.bits of several passes": Law("-", "+", "-", "-"),
    "dac.input_bits": Law("+", "=", "+", "+"),
    "dac.bound": Law("=", "=", "=", "="),
    "dac.time_ns.value": Law("+", "=", "+", "+"),
    "dac.time_ns.at_bits": Law("-", "=", "-", "-"),
    "adc.bits": Law("+", "+", "+", "+"),
    "adc.bound": Law("=", "=", "=", "="),
    "adc.saved_bits": Law("=", "=", "=", "="),
    "adc.columns": Law("?", "-", "+", "+"),  # what is drawn all the time is drawn longer, on less area
    "adc.time_ns.value": Law("?", "-", "+", "+"),  # a slow converter takes less, what else is on takes more
    "adc.time_ns.at_bits": Law("?", "+", "-", "-"),
    "mvm_overhead_ns.value": Law("+", "=", "+", "+"),
    "stages_ns.value": Law("=", "=", "=", "+"),
    "links.width_bits": Law("+", "+", "=", "-"),
    "links.clock_ghz.value": Law("=", "=", "=", "-"),
    "links.chip_gbit_per_s.value": Law("=", "=", "=", "-"),
    "write.time_ns_per_row.value": Law("=", "=", "=", "="),
    "write.pulse_ns.value": Law("=", "=", "=", "="),
    "parts.count": Law("+", "+", "=", "="),
    "parts.area_mm2.value": Law("+", "+", "=", "="),  # larger tiles have longer links
    "parts.energy_pj.value": Law("+", "=", "=", "="),
    "parts.power_mw.value": Law("+", "=", "=", "="),
    "parts.time_ns.value": Law("+", "=", "=", "="),
    # figures of a larger design promise less for the same
    "parts.at.bits": Law("-", "-", "=", "="),
    "parts.at.rows": Law("-", "-", "=", "="),
    "parts.at.columns": Law("-", "-", "=", "="),
    "parts.at.devices_per_cell": Law("-", "-", "=", "="),
    "parts.at.lines": Law("-", "-", "=", "="),
    "parts.at.values": Law("-", "-", "=", "="),
    "parts.at.value_bits": Law("-", "-", "=", "="),
    "parts.at.width_bits": Law("-", "-", "=", "="),
    "parts.at.pitch_mm": Law("-", "=", "=", "="),
    "parts.at.node_nm": Law("-", "-", "=", "="),
    "parts.at.time_ns": Law("?", "+", "=", "="),  # of a converter a slow one, of an array a long read
}


@functools.cache
def file_of(name: str) -> Any:
    return yaml.safe_load((PRESETS / f"{name}.yaml").read_text())


def described(name: str) -> Any:
    return copy.deepcopy(file_of(name))


def numbers(data: Any, place: Place = ()) -> Iterator[tuple[Place, float]]:
    """Every number of a file and its place."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from numbers(value, (*place, key))
    elif isinstance(data, list):
        for key, value in enumerate(data):
            yield from numbers(value, (*place, key))
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        yield place, data


def law_of(name: str, place: Place) -> Law:
    words = ".".join(key for key in place if isinstance(key, str))
    dac = file_of(name)["dac"]
    if words == "dac.bits" and dac.get("input_bits", dac["bits"]) > dac["bits"]:
        words += " of several passes"
    assert words in LAWS, f"no law says what {words} does"
    return LAWS[words]


def costs(data: Any) -> tuple[float, ...]:
    """Energy, area, time of a vector and latency of LeNet5."""
    chip = parse_chip(data, "chip.yaml")
    plan = map_layers(zoo_layers("lenet5"), chip)
    cost = cost_of(plan, chip)
    assert cost.energy_pj == pytest.approx(sum(cost.energy_by_part.values()))
    assert cost.area_mm2 == pytest.approx(sum(cost.area_by_part.values()))
    return cost.energy_pj, cost.area_mm2 / plan.chips_used, mvm_interval_ns(chip), cost.latency_ns


def raised(name: str, place: Place, value: float) -> Iterator[tuple[float, ...]]:
    """Costs with one number one, two and four steps higher, as far as the chip can be."""
    steps = (1, 2, 4) if isinstance(value, int) and value <= 16 else (value, 3 * value)
    for step in steps:
        data = described(name)
        owner = data
        for key in place[:-1]:
            owner = owner[key]
        owner[place[-1]] = value + step
        try:
            yield costs(data)
        except ConfigError:
            continue


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_number_of_a_chip_does_what_its_law_says(name: str) -> None:
    data = described(name)
    before, broken = costs(data), []
    for place, value in numbers(data):
        law = law_of(name, place)
        for less, more in pairwise([before, *raised(name, place, value)]):
            for sign, a, b, what in zip(law, less, more, Law._fields, strict=True):
                same = b == pytest.approx(a, rel=1e-9)
                kept = {"+": same or b > a, "-": same or b < a, "=": same, "?": 0.0 <= b < float("inf")}[sign]
                if not kept:
                    broken.append((place, what, a, b))
    assert not broken


@pytest.mark.parametrize(
    "place",
    [
        ("adc", "bits"), ("dac", "bits"), ("crossbar", "rows"), ("crossbar", "columns"), ("adc", "columns"),
        ("links", "width_bits"), ("node_nm",), ("output_bits",), ("grid", "rows"),
        ("links", "clock_ghz", "value"), ("dac", "time_ns", "value"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", DESCRIBED)
def test_no_number_that_an_architect_turns_is_without_effect(name: str, place: Place) -> None:
    """A chip of hermes has no area for its links, one of NeuroSim time of its converters alone."""
    data = described(name)
    value: Any = data
    for key in place:
        value = value[key]
    before = costs(data)
    changed = list(raised(name, place, value))
    if place == ("adc", "columns") and not changed:  # all lines of a tile share one already
        data["adc"]["columns"] = value // 2
        changed = [costs(data)]
    assert any(after != pytest.approx(before, rel=1e-9) for after in changed)


def test_a_link_spans_a_tile() -> None:
    """Twice the side, the same router: the wire's half of the price doubles, wherever the area comes from."""
    chip = parse_chip(described("demo-128"), "chip.yaml")
    here = design_of(chip)
    assert here.pitch_mm == pytest.approx(0.03756**0.5)  # square millimetres of a tile's other parts
    one, two, three = (
        size("link", dataclasses.replace(here, pitch_mm=side)).energy_pj for side in (1.0, 2.0, 3.0)
    )
    assert three - two == pytest.approx(two - one)
    assert two - one == pytest.approx(0.1)  # pJ a millimetre
