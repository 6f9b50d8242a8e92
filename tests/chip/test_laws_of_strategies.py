"""One field of a chip's file edited: cost follows, under every strategy, on every described chip, for several
kinds of networks.

The signs are those of physics (``test_laws``). Energy is that of events; what is drawn all the time is a
constant times the interval, whose law is another column. A strategy may answer with another plan, the fastest
of several: laws of the interval hold for whatever it takes, those of energy and latency for one plan.
"""

from __future__ import annotations

import copy
import functools
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import yaml

from crossgrid.chip import Chip, Convolution, Join, LayerShape, MappingPlan, map_layers, presets
from crossgrid.chip.cost.cost import cost_of, interval_of
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

DESCRIBED = [name for name in presets() if name != "ideal"]


class Law(NamedTuple):
    """+: never falls; -: never rises; =: stays; ?: a trade, either way."""

    energy: str
    area: str  # of a chip
    interval: str
    latency: str


#: field, what is done to its value in turn, the law
EDITS: tuple[tuple[str, tuple[float, ...], Law], ...] = (
    ("adc.bits", (0, 1, 4), Law("+", "+", "+", "+")),
    ("adc.columns", (0.25, 1, 4), Law("?", "-", "+", "+")),
    ("dac.bits", (0, 1, 3), Law("+", "+", "+", "+")),
    ("crossbar.rows", (0.5, 1, 2), Law("?", "+", "?", "?")),
    ("crossbar.columns", (0.5, 1, 2), Law("?", "+", "?", "?")),
    ("links.width_bits", (0.25, 1, 4), Law("+", "+", "-", "-")),
    ("links.clock_ghz.value", (0.25, 1, 4), Law("=", "=", "-", "-")),
    ("links.chip_gbit_per_s.value", (0.25, 1, 4), Law("=", "=", "-", "-")),
    ("dac.time_ns.value", (0.5, 1, 4), Law("+", "=", "+", "+")),
    ("adc.time_ns.value", (0.5, 1, 4), Law("?", "-", "+", "+")),
    ("mvm_overhead_ns.value", (1, 9), Law("+", "=", "+", "+")),
    ("stages_ns.value", (1, 9), Law("=", "=", "+", "+")),
    ("write.time_ns_per_row.value", (1, 3), Law("=", "=", "+", "+")),
    ("node_nm", (1, 2), Law("+", "+", "=", "=")),
    ("output_bits", (1, 2), Law("+", "+", "+", "+")),
)
#: bits of a pass, where an input takes several: fewer passes
STREAMED = Law("-", "+", "-", "-")
ADDED = {"adc.bits", "dac.bits"}  # other values are multiplied
#: what an architect turns: no network may be deaf to it
TURNED = {"adc.bits", "adc.columns", "dac.bits", "crossbar.rows", "dac.time_ns.value"}
#: what makes parts slower or faster
PACES = {
    "adc.bits", "adc.columns", "links.width_bits", "links.clock_ghz.value", "links.chip_gbit_per_s.value",
    "dac.time_ns.value", "adc.time_ns.value",
}  # fmt: skip


def image(name: str, out: int, channels: int, side: int, **more: Any) -> LayerShape:
    shape = Convolution(channels, (3, 3), (1, 1), (side, side), (side, side))
    return LayerShape(name, out, 9 * channels, side * side, shape, **more)


def recurrent() -> list[LayerShape]:
    """An LSTM of 100 states and 6 steps, and what reads it."""
    gates = LayerShape("ih", 400, 60, 6, sources=("",), in_step=True)
    state = LayerShape("hh", 400, 100, 6, sources=("hh",), joins=(Join("ih", 2400),))
    return [gates, state, LayerShape("fc", 10, 100, 1, sources=("hh",))]


def convolutional() -> list[LayerShape]:
    """Images of 8 x 8 pixels, a shortcut, a head that waits for all."""
    first, second = image("a", 40, 3, 8, sources=("",)), image("b", 40, 40, 8, sources=("a",))
    third = image("c", 40, 40, 8, sources=("b",), joins=(Join("a", 40 * 64),))
    return [first, second, third, LayerShape("fc", 10, 40 * 64, 1, sources=("c",))]


def attending() -> list[LayerShape]:
    """Two transformer blocks of 96 values, nine tokens."""
    layers, read = [], ""
    for k in range(2):
        q, kv, o, up, down = (f"{k}.{part}" for part in ("q", "kv", "o", "up", "down"))
        layers += [
            LayerShape(q, 96, 96, 9, sources=(read,)), LayerShape(kv, 192, 96, 9, sources=(read,)),
            LayerShape(o, 96, 96, 9, sources=(q,), joins=(Join(kv, 9 * 192),)),
            LayerShape(up, 384, 96, 9, sources=(o,), in_step=True),
            LayerShape(down, 96, 384, 9, sources=(up,), joins=(Join(o, 9 * 96),), in_step=True),
        ]  # fmt: skip
        read = down
    return layers


NETWORKS = {
    "lenet5": zoo_layers("lenet5"), "convolutional": convolutional(), "recurrent": recurrent(),
    "attending": attending(),
}  # fmt: skip


@functools.cache
def described(name: str) -> Any:
    """A chip's file with few tiles a chip: networks take several, or several rounds of one."""
    data = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    side = 4 if name.startswith("neurosim") else 3  # a part of its tree serves sixteen tiles
    data["grid"] = {"rows": side, "columns": side}
    data["clusters"] = [cluster for cluster in data.get("clusters", []) if cluster["tiles"] <= side**2]
    levels = {"tile", "chip", *(cluster["name"] for cluster in data["clusters"])}
    data["parts"] = [part for part in data["parts"] if part.get("per", "tile") in levels]
    return data


@functools.cache
def edited(name: str, field: str, change: float) -> Chip | None:
    """The chip with one field of its file changed; None where that cannot be."""
    data = copy.deepcopy(described(name))
    owner, (*way, key) = data, field.split(".")
    for step in way:
        owner = owner.get(step, {})
    if key not in owner:
        return None
    value = owner[key] + change if field in ADDED else owner[key] * change
    owner[key] = int(value) if isinstance(owner[key], int) else value
    try:
        return parse_chip(data, "chip.yaml")
    except ConfigError:  # more than the tile has, say
        return None


@functools.cache
def plan_of(name: str, strategy: str, network: str) -> MappingPlan:
    return mapped(parse_chip(described(name), "chip.yaml"), strategy, network)


def mapped(chip: Chip, strategy: str, network: str) -> MappingPlan:
    """Copies of layers fill what a chip more than is needed leaves free."""
    chips = {"time-multiplexed": 1}.get(strategy)
    if strategy == "replicated":
        chips = map_layers(NETWORKS[network], chip).chips_used + 1
    return map_layers(NETWORKS[network], chip, strategy, chips)


def measured(plan: MappingPlan, chip: Chip) -> tuple[float, ...]:
    """Energy of events, area of a chip, interval, latency."""
    cost = cost_of(plan, chip)
    events = sum(layer.energy_pj for layer in cost.layers)
    return events, cost.area_mm2 / plan.chips_used, cost.interval_ns, cost.latency_ns


def law_of(name: str, field: str, law: Law) -> Law:
    dac = described(name)["dac"]
    streamed = dac.get("input_bits", dac["bits"]) > dac["bits"]
    return STREAMED if field == "dac.bits" and streamed else law


def kept(sign: str, less: float, more: float) -> bool:
    same = more == pytest.approx(less, rel=1e-9)
    return {"+": same or more > less, "-": same or more < less, "=": same, "?": 0.0 <= more < float("inf")}[
        sign
    ]


def planned(chips: list[Chip], name: str, strategy: str, network: str, field: str) -> list[MappingPlan]:
    """A plan for each chip; of strategies that take the fastest the one of the chip as it is, for each."""
    if strategy not in ("replicated", "packed") or field.startswith("crossbar"):
        return [mapped(chip, strategy, network) for chip in chips]
    return [plan_of(name, strategy, network)] * len(chips)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("name", DESCRIBED)
def test_an_edited_field_moves_cost_as_its_law_says(name: str, strategy: str) -> None:
    broken, deaf = [], []
    for field, changes, usual in EDITS:
        law = law_of(name, field, usual)
        chips = [chip for change in changes if (chip := edited(name, field, change)) is not None]
        for network in NETWORKS:
            plans = planned(chips, name, strategy, network, field)
            found = [measured(plan, chip) for plan, chip in zip(plans, chips, strict=True)]
            broken += [
                (field, network, what, a, b)
                for less, more in pairwise(found)
                for sign, a, b, what in zip(law, less, more, Law._fields, strict=True)
                if not kept(sign, a, b)
            ]
            if field in TURNED and all(one == pytest.approx(found[0], rel=1e-9) for one in found):
                deaf.append((field, network))
            if field.startswith("crossbar") and strategy in ("per-layer", "time-multiplexed"):
                assert [len(plan) for plan in plans] == sorted((len(plan) for plan in plans), reverse=True)
    assert not broken
    assert not deaf


@pytest.mark.parametrize("name", DESCRIBED)
def test_slower_parts_never_make_a_replicated_network_faster(name: str) -> None:
    """Whichever plan is taken for each chip: its interval follows the law."""
    broken = []
    for field, changes, law in EDITS:
        if field not in PACES:
            continue
        sign = law_of(name, field, law).interval
        chips = [chip for change in (changes[0], changes[-1]) if (chip := edited(name, field, change))]
        for network in ("convolutional", "attending"):
            intervals = [interval_of(mapped(chip, "replicated", network), chip) for chip in chips]
            broken += [(field, network, pair) for pair in pairwise(intervals) if not kept(sign, *pair)]
    assert not broken
