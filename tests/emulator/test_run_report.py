"""What a run tells: the mapping, what its tiles did, and the energy that follows from it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg


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


def test_without_a_chip_there_is_no_cost() -> None:
    model = cg.convert_to_analog(nn.Linear(20, 10), cg.SingleRPUConfig())
    with cg.emulate(model) as running:
        assert running.report().events() is None
        assert "AnalogLinear" in str(running.report())
