"""The energy of a run is that of its plan, to 1 %: of networks of all kinds, batches, several small chips.

A plan counts an example's vectors; a run, what its tiles counted. Tiles' own counters stand beside both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.chip import Chip, load_chip
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.description.spec import Grid

BATCH = 3


class Residual(nn.Module):
    """A shortcut with a layer of its own, a stride, and one layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(2, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.short, self.last = nn.Conv2d(2, 6, 1, 2), nn.Linear(6 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.again(torch.relu(self.again(torch.relu(self.first(x)))))
        return self.last(torch.relu(y + self.short(x)).flatten(1))


class Turned(nn.Module):
    """A decoder: a transposed convolution, what it makes beside what was kept, a line of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 4, 2, 2), nn.ConvTranspose2d(4, 3, 2, 2)
        self.merge, self.line = nn.Conv2d(4, 2, 3, padding=1), nn.Conv1d(2, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.merge(torch.cat([x, self.up(torch.relu(self.down(x)))], 1))
        return self.line(y.mean(2))


def block() -> nn.Module:
    return nn.TransformerEncoderLayer(24, 4, 70, dropout=0.0, batch_first=True)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LSTM": (lambda: nn.LSTM(20, 30, 2, batch_first=True), (BATCH, 6, 20)),
    "GRU, both ways, time first": (lambda: nn.GRU(20, 12, bidirectional=True), (6, BATCH, 20)),
    "projected LSTM": (lambda: nn.LSTM(9, 40, proj_size=7, batch_first=True), (BATCH, 5, 9)),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8)),
        (BATCH, 4, 8, 8),
    ),
    "padded, dilated": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, 5, padding=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(5, 40, 3, padding=4, dilation=2),
            nn.Conv2d(40, 2, 1, padding="same", padding_mode="reflect"),
        ),
        (BATCH, 3, 9, 7),
    ),
    "residual": (Residual, (BATCH, 2, 8, 8)),
    "decoder": (Turned, (BATCH, 1, 8, 8)),
    "transformer": (block, (BATCH, 7, 24)),
    "attention": (lambda: nn.Sequential(nn.Linear(12, 24), block(), nn.Linear(24, 50)), (BATCH, 5, 12)),
}


def small(name: str) -> Chip:
    """Tiles of 16 rows and as many outputs, eight a chip: every network needs several of both."""
    chip = load_chip(name)
    width = chip.crossbar.columns // chip.tile_out
    bar = dataclasses.replace(chip.crossbar, rows=16, columns=16 * width)
    return dataclasses.replace(chip, grid=Grid(2, 4), chips=1, crossbar=bar)


@pytest.mark.parametrize(
    ("chip", "mapping"),
    [
        ("demo-128", {}), ("hermes-64", {"strategy": "packed"}), ("isaac", {"placement": "traffic"}),
        ("demo-128", {"strategy": "replicated"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_takes_what_its_plan_says(name: str, chip: str, mapping: dict[str, Any]) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    config = cg.InferenceRPUConfig()
    config.forward.bound_management = cg.BoundManagementType.NONE  # no read is repeated: no plan foresees it
    model = cg.convert_to_analog(make(), config, seed=1).eval()
    described = small(chip)
    with cg.emulate(model, described, chips=60, example_input=shape, **mapping) as running:
        with torch.no_grad():
            for _ in range(2):
                model(0.3 * torch.randn(shape))
        report = running.report()
    plan, events = report.plan, report.events()
    assert plan is not None
    assert events is not None
    assert plan.chips_used > 1 or plan.tiles_used <= 8
    planned = cost_of(plan, described)
    counted = sum(counters["forward_count"] for _, counters in report.samples)
    first = plan.table["copy"] == 0  # the numbers go through the first copy
    vectors = sum(plan.layers[k].reuse for k in plan.table["layer"][first])
    assert counted == 2 * BATCH * vectors
    run = energy_by_part(described, events, plan.chips_used)
    for part, energy_pj in planned.energy_by_part.items():
        assert run[part] == pytest.approx(2 * BATCH * energy_pj, rel=0.01), part
    assert sum(run.values()) == pytest.approx(2 * BATCH * planned.energy_pj, rel=0.01)


@pytest.mark.parametrize("name", ["LSTM", "residual", "transformer"])
def test_without_an_example_a_run_tells_its_plan(name: str) -> None:
    """The first batch says how often layers are read; then both agree again, traffic of an unknown graph
    included."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = cg.convert_to_analog(make(), cg.InferenceRPUConfig(), seed=1).eval()
    described = small("demo-128")
    with cg.emulate(model, described, chips=60) as running, torch.no_grad():
        model(0.1 * torch.randn(shape))
        report = running.report()
    events = report.events()
    assert events is not None
    assert report.plan is not None
    assert sum(counters["retries"] for _, counters in report.samples) == 0
    run = sum(energy_by_part(described, events, report.plan.chips_used).values())
    assert run == pytest.approx(BATCH * cost_of(report.plan, described).energy_pj, rel=0.01)
