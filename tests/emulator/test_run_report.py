"""What a run tells: the mapping, what its tiles did, and the energy that follows from it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.parts import energy_by_part


def test_a_report_counts_and_costs() -> None:
    """Twice as many vectors, twice the conversions; a backward read converts the inputs' side."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(200, 100), nn.Linear(100, 10)), cg.SingleRPUConfig())
    with cg.emulate(model, "demo-128") as running:
        with torch.no_grad():
            model(torch.rand(3, 200))
        once = running.report()
        with torch.no_grad():
            model(torch.rand(3, 200))
        twice = running.report()
        model(torch.rand(3, 200)).sum().backward()
        trained = running.report()
    text = str(once)
    assert "demo-128, per-layer: 3 of 100 tiles" in text
    assert "what the tiles have done" in text
    assert "energy on demo-128" in text
    assert once._repr_html_().lstrip().startswith("<!DOCTYPE html>")
    first, second, third = (report.events() for report in (once, twice, trained))
    # 3 vectors through two tiles of 100 outputs and one of 10, one conversion an output
    assert first.adc_conversion == pytest.approx(3 * (2 * 100 + 10))
    assert second.adc_conversion == pytest.approx(2 * first.adc_conversion)
    assert third.adc_conversion > 3 * first.adc_conversion


def test_pulses_take_the_time_of_their_slots() -> None:
    """3 vectors of 31 slots of demo-128's 5 ns; layers are pulsed at the same time."""
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 5)), cg.SingleRPUConfig())
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    with cg.emulate(model, "demo-128") as running:
        model(torch.rand(3, 20)).sum().backward()
        assert running.report().update_ns() == 0.0
        optimizer.step()
        report = running.report()
    assert report.update_ns() == pytest.approx(3 * 31 * 5.0)
    assert "update pulses took at most 0.000465 ms" in " ".join(str(report).split())


def test_without_a_chip_there_is_no_cost() -> None:
    model = cg.convert_to_analog(nn.Linear(20, 10), cg.SingleRPUConfig())
    with cg.emulate(model) as running:
        assert running.report().events() is None
        assert "AnalogLinear" in str(running.report())


@pytest.mark.parametrize("chip", ["hermes-64", "demo-128", "isaac"])
def test_the_energy_of_a_run_is_that_of_its_plan(chip: str) -> None:
    """Static power, links and all: an image costs what the plan says it costs, to 1 %."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    model = cg.convert_to_analog(net, cg.SingleRPUConfig(device=cg.IdealDevice()))
    with cg.emulate(model, chip, example_input=(1, 1, 8, 8)) as running, torch.no_grad():
        model(torch.rand(5, 1, 8, 8))
        report = running.report()
    events = report.events()
    assert events is not None
    assert report.plan is not None
    assert report.chip is not None
    planned = cost_of(report.plan, report.chip)
    retried = sum(counters["retries"] for _, counters in report.samples)
    assert retried == 0  # bound management reads again, which no plan foresees
    run = energy_by_part(report.chip, events, report.plan.chips_used)
    assert sum(run.values()) == pytest.approx(5 * planned.energy_pj, rel=0.01)
    assert run == pytest.approx(
        {part: 5 * energy for part, energy in planned.energy_by_part.items()}, rel=0.01
    )
    assert "left out: digital layers" in str(report)
