"""Random networks on random chips by every strategy: what a run counts is what its plan foresees."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import crossgrid as cg
from crossgrid.chip import Chip, presets
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.kernels.errors import ConfigError

#: random converters lose what they sum, and are warned of
pytestmark = pytest.mark.filterwarnings("ignore:chip ")

BATCH = 3

EDITS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("adc", "bits"): (6, 8, 11), ("adc", "columns"): (1, 4, 16), ("dac", "bits"): (1, 4, 8),
    ("crossbar", "rows"): (16, 40, 128), ("crossbar", "columns"): (16, 64, 256),
    ("crossbar", "rows_at_once"): (8, 16), ("crossbar", "phases"): (1, 2, 4),
    ("links", "kind"): ("mesh", "torus", "h-tree"), ("links", "sums"): ("tree", "chain", "star"),
    ("links", "multicast"): (True, False),
}  # fmt: skip


def random_chip(draw: random.Random) -> Chip:
    """A preset with up to four fields edited and room for any of the networks."""
    name = draw.choice([name for name in presets() if name != "ideal"])
    data = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    data["grid"], data["chips"] = {"rows": 32, "columns": 64}, 2
    for section, key in draw.sample(sorted(EDITS), draw.randint(0, 4)):
        edited = copy.deepcopy(data)
        edited.setdefault(section, {})[key] = draw.choice(EDITS[section, key])
        try:
            parse_chip(edited, "chip.yaml")
        except ConfigError:  # contradicts an edit before
            continue
        data = edited
    return parse_chip(data, "chip.yaml")


def random_network(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions, grouped ones, pooling, then matrices; or a sequence through a few of them."""
    if draw.random() < 0.3:
        widths = [draw.randint(2, 60) for _ in range(3)]
        layers: list[nn.Module] = [nn.LSTM(widths[0], widths[1], batch_first=True), _First()]
        layers += [nn.Linear(widths[1], widths[2]), nn.Tanh()]
        return nn.Sequential(*layers), (BATCH, draw.randint(1, 5), widths[0])
    channels, size = draw.randint(1, 6), draw.randint(6, 9)
    shape, layers = (BATCH, channels, size, size), []
    for _ in range(draw.randint(1, 3)):
        groups = draw.choice([1, 1, channels])
        out = groups * draw.randint(1, 6)
        kernel, stride = draw.choice([1, 3]), draw.choice([1, 2])
        layers += [nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups), nn.ReLU()]
        channels, size = out, (size - 1) // stride + 1
    layers += [nn.Flatten(), nn.Linear(channels * size**2, draw.randint(1, 50))]
    return nn.Sequential(*layers), shape


class _First(nn.Module):
    def forward(self, both: Any) -> Any:
        return both[0]


def check(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    chip, (net, shape) = random_chip(draw), random_network(draw)
    config = cg.InferenceRPUConfig()
    config.forward.bound_management = "NONE"  # reads again what clips, which no plan foresees
    config.mapping.grouped = draw.choice(["separate", "diagonal"])
    model = cg.convert_to_analog(net, config).eval()
    strategy = draw.choice(sorted(STRATEGIES))
    with cg.emulate(model, chip, strategy=strategy, example_input=shape) as running, torch.no_grad():
        model(torch.rand(shape))
        report = running.report()
    plan, events = report.plan, report.events()
    assert plan is not None
    assert events is not None
    planned = cost_of(plan, chip)
    counted: dict[str, list[float]] = defaultdict(list)
    for labels, counters in report.samples:
        counted[labels["layer"]].append(counters["forward_count"])
    conversions = 0.0
    for k, layer in enumerate(plan.layers):
        blocks = [block for block in plan.blocks_of(layer.name) if block.copy == 0]
        assert counted[layer.name] == [BATCH * layer.reuse] * len(blocks)
        for block in blocks:
            groups = -(-(block.in_stop - block.in_start) // chip.rows_at_once)
            lines = (block.out_stop - block.out_start) * chip.slices + chip.crossbar.offset_columns
            conversions += BATCH * layer.reuse * chip.passes * groups * lines
        assert plan.layer_tiles[k] >= 1
    assert events.adc_conversion == pytest.approx(conversions)
    assert BATCH * planned.events.adc_conversion == pytest.approx(conversions)
    assert sum(plan.block_weights[plan.table["copy"] == 0]) == sum(layer.weights for layer in plan.layers)
    if (
        strategy != "time-multiplexed" or plan.rounds == 1
    ):  # else programming is paid, which a run does not do
        run = energy_by_part(chip, events, plan.chips_used)
        foreseen = {part: BATCH * energy for part, energy in planned.energy_by_part.items()}
        assert run == pytest.approx(foreseen, rel=0.01, abs=1e-9)


@pytest.mark.parametrize("seed", range(24))
def test_a_run_counts_what_its_plan_foresees(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1010))
def test_thirty_more_of_each(seed: int) -> None:
    for k in range(30):
        check(seed * 100 + k)
