"""Tiles that are programmed anew in rounds: a batch of inputs passes through each round before the next.

The outside truth is a timetable of every input in every layer; a round's time over a batch is that of a flow
shop whose stations each take the same for every job.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from crossgrid.chip import Chip, LayerShape, MappingPlan, load_chip, map_layers
from crossgrid.chip.cost.cost import Cost, cost_of
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Adc, Crossbar, Dac, Grid, Links, Part, Write
from crossgrid.emulator.shapes.zoo import zoo_layers


def exact(value: float) -> Figure:
    return Figure(value, "given", estimate=False)


#: two tiles; 45 ns a vector and 8 more for its outputs; a row is programmed in 100 ns, a weight for 3 pJ
CHIP = Chip(
    name="small", grid=Grid(1, 2), crossbar=Crossbar(rows=8, columns=8), output_bits=8,
    dac=Dac(bits=8, time_ns=exact(45)), adc=Adc(bits=8, bound=4.0, columns=8, time_ns=exact(1)),
    links=Links(width_bits=1 << 16, clock_ghz=exact(1e9)), write=Write(time_ns_per_row=exact(100)),
    parts=(Part("programming", per="chip", event="program_weight", energy_pj=exact(3)),),
)  # fmt: skip

#: five layers in three rounds: matrices that wait for all of what they read
LAYERS = [LayerShape(f"l{k}", 8, 8, vectors) for k, vectors in enumerate((3, 7, 2, 2, 9))]


def plan_of(batch: int) -> MappingPlan:
    return map_layers(LAYERS, CHIP, "time-multiplexed", batch=batch)


def timetable(cost: Cost, rounds: list[list[int]], batch: int, program_ns: float) -> float:
    """When the last input of a batch leaves the last round: every input of every layer, one by one."""
    now = 0.0
    for members in rounds:
        now += program_ns
        free = dict.fromkeys(members, now)
        done = [now] * batch
        for k in members:
            layer = cost.layers[k]
            for number in range(batch):
                begin = max(done[number], free[k])
                free[k] = begin + layer.interval_ns
                done[number] = begin + layer.latency_ns
        now = max(done)
    return now


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_a_batch_takes_what_its_timetable_says(batch: int) -> None:
    plan = plan_of(batch)
    assert plan.rounds == 3
    cost = cost_of(plan, CHIP)
    whole = timetable(cost, [[0, 1], [2, 3], [4]], batch, 8 * 100)
    assert cost.latency_ns == pytest.approx(whole, rel=1e-6)
    assert cost.interval_ns == pytest.approx(whole / batch, rel=1e-6)
    assert sum(cost.latency_by_part.values()) == pytest.approx(cost.latency_ns)
    assert cost.events.program_weight == pytest.approx(5 * 64 / batch)
    assert cost.energy_by_part["programming"] == pytest.approx(3 * 5 * 64 / batch)


@pytest.mark.parametrize(
    ("model", "chip"), [("resnet9", "hermes-64"), ("lenet5", "isaac"), ("vgg8", "demo-128")]
)
def test_a_larger_batch_never_costs_an_input_more(model: str, chip: str) -> None:
    """And no input is done sooner; in the end programming takes nothing beside the rounds."""
    described = dataclasses.replace(load_chip(chip), grid=Grid(2, 2), clusters=())
    parts = tuple(part for part in described.parts if part.per in ("tile", "chip"))
    described = dataclasses.replace(described, parts=parts)
    costs = [
        cost_of(map_layers(zoo_layers(model), described, "time-multiplexed", chips=1, batch=batch), described)
        for batch in (1, 2, 16, 1024, 1 << 20)
    ]
    for less, more in pairwise(costs):
        assert more.interval_ns <= less.interval_ns * (1 + 1e-9)
        assert more.energy_pj <= less.energy_pj * (1 + 1e-9)
        assert more.latency_ns >= less.latency_ns
    assert costs[0].interval_ns == costs[0].latency_ns
    assert costs[-1].energy_by_part["programming"] < 1e-4 * costs[0].energy_by_part["programming"]
    assert costs[-1].interval_ns < 0.2 * costs[0].interval_ns


def test_what_is_programmed_once_asks_for_no_batch() -> None:
    """A model that fits: one round, whose tiles are never programmed anew, whatever the batch."""
    one, many = (
        cost_of(map_layers(LAYERS[:2], CHIP, "time-multiplexed", batch=batch), CHIP) for batch in (1, 9)
    )
    assert one == many
    assert one.events.program_weight == 0
