"""A plan that is given is what runs and what is costed, whoever made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.chip.cost.cost import cost_of
from crossgrid.emulator.cli.main import main

MODEL = """
import torch
from torch import nn

def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 140)), (1, 1, 8, 8)
"""


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 140))


def analog(config: object | None = None) -> nn.Module:
    return cg.convert_to_analog(network(), config or cg.InferenceRPUConfig(), seed=5).eval()


def plan_of(strategy: str = "per-layer", chips: int = 1) -> cg.MappingPlan:
    with cg.emulate(
        analog(), "demo-128", example_input=(1, 1, 8, 8), strategy=strategy, chips=chips
    ) as running:
        assert running.plan is not None
        return running.plan


def replaced(plan: cg.MappingPlan, **columns: np.ndarray) -> cg.MappingPlan:
    table = {**plan.table, **{key: np.asarray(values, np.int32) for key, values in columns.items()}}
    return dataclasses.replace(plan, table=table)


def another_cut(plan: cg.MappingPlan) -> cg.MappingPlan:
    """What another mapper could give: the second layer cut at 40 of 140 outputs and at 128 and 200 of 288
    inputs, its blocks backwards from the chip's last tile."""
    outs, ins = [(0, 40), (40, 140)], [(0, 128), (128, 200), (200, 288)]
    blocks = [(0, 0, 0, 8, 0, 9, 50)]
    blocks += [
        (1, k, *outs[k // 3], *ins[k % 3], 99 - k) for k in range(6)
    ]  # fmt: skip
    keys = ("layer", "index", "out_start", "out_stop", "in_start", "in_stop", "tile")
    columns = dict(zip(keys, np.array(blocks, np.int32).T, strict=True))
    zeros = np.zeros(len(blocks), np.int32)
    table = {**dict.fromkeys(plan.table, zeros), **columns}
    return dataclasses.replace(plan, table=table, strategy="by hand", strategy_why="as drawn")


def outputs(plan: object, **arguments: object) -> torch.Tensor:
    model = analog()
    with cg.emulate(model, "demo-128", plan=plan, **arguments) as running:
        return running.infer(torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8))


def test_a_plan_of_the_command_runs_and_is_costed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    saved = tmp_path / "net.plan"
    arguments = ["--chip", "demo-128", "--strategy", "packed", "--save", str(saved)]
    assert main(["map", f"{tmp_path}/net.py:net", *arguments]) == 0
    plan = cg.load_plan(saved)
    with cg.emulate(analog(), plan=saved) as running, torch.no_grad():
        running.model(torch.rand(2, 1, 8, 8))
        for name, layer in running.layers:
            labels = [tile.label for tile in layer.grid.spec.tiles]
            assert labels == [str(block.tile) for block in plan.blocks_of(name)]
        report = running.report()
    assert report.plan == plan
    assert "demo-128, packed" in str(report)
    counted, planned = report.events(), cost_of(plan, cg.load_chip("demo-128")).events
    assert counted is not None
    assert counted.adc_conversion == pytest.approx(2 * planned.adc_conversion)
    assert counted.hop_bit == pytest.approx(2 * planned.hop_bit)


def test_a_foreign_cut_runs_block_by_block(tmp_path: Path) -> None:
    """y = W x + b, whatever W is cut into; what the tiles hold is W, in the shapes of the plan."""
    plan = another_cut(plan_of())
    cg.save_plan(plan, tmp_path / "foreign.plan")
    config = cg.InferenceRPUConfig()
    config.forward.is_perfect = True
    model, x = analog(config), torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)
    with cg.emulate(model, "demo-128", plan=tmp_path / "foreign.plan") as running:
        y = running.infer(x)
        held = running.tile_weights()["3"]
        cost = cost_of(running.plan, cg.load_chip("demo-128"))
        text = str(running.report())
    torch.testing.assert_close(y, network()(x).detach(), rtol=1e-5, atol=1e-5)
    # the first block on the last tile, the others on those before it
    shapes = [(40, 128), (40, 72), (40, 88), (100, 128), (100, 72), (100, 88)]
    assert {label: tuple(w.shape) for label, w in held.items()} == {
        f"0/9,{9 - k}": shape for k, shape in enumerate(shapes)
    }
    assert "demo-128, by hand: 7 of 100 tiles" in text
    # 36 vectors of 8 outputs; then 140 outputs, each of 3 blocks of inputs
    assert cost.events.adc_conversion == 36 * 8 + 3 * 140


def test_where_a_block_sits_changes_no_bit_and_how_it_is_cut_does() -> None:
    plan = plan_of()
    moved = replaced(plan, tile=plan.table["tile"][::-1] + 17)
    own = outputs(plan)
    assert torch.equal(own, outputs(moved))
    assert torch.equal(own, outputs(None, placement="traffic", chips=3))
    assert not torch.equal(own, outputs(another_cut(plan)))


def test_more_chips_and_their_placement_are_what_runs() -> None:
    with cg.emulate(analog(), "demo-128", chips=2, placement="traffic") as running:
        assert running.plan is not None
        assert (running.plan.chips, running.plan.placement) == (2, "traffic")


def test_copies_of_a_given_plan_are_costed() -> None:
    plan = plan_of("replicated")
    assert plan.copies[0] > 1
    with cg.emulate(analog(), plan=plan) as running:
        assert running.plan == plan
        assert torch.equal(outputs(plan), outputs(plan_of()))  # the first copy computes


def test_an_example_tells_a_given_plan_how_often_it_is_read() -> None:
    blind = cg.map_layers([cg.LayerShape("0", 8, 9), cg.LayerShape("3", 140, 288)], "demo-128", chips=1)
    with cg.emulate(analog(), plan=blind, example_input=(1, 1, 8, 8)) as running:
        assert running.plan is not None
        assert [layer.reuse for layer in running.plan.layers] == [36, 1]
    with cg.emulate(analog(), plan=blind) as running:  # or the first batch does
        running.infer(torch.rand(2, 1, 8, 8))
        assert [layer.reuse for layer in running.plan.layers] == [36, 1]


def test_a_run_on_a_foreign_plan_goes_on(tmp_path: Path) -> None:
    plan, x = another_cut(plan_of()), torch.rand(2, 1, 8, 8)
    with cg.emulate(analog(), plan=plan) as running:
        running.save(tmp_path / "run")
        expected = running.infer(x)
    with pytest.raises(cg.ConfigError, match="on a plan of 'by hand'; give it as plan="):
        cg.restore(tmp_path / "run", analog())
    with cg.restore(tmp_path / "run", analog(), plan=plan) as running:
        assert torch.equal(running.infer(x), expected)


def test_a_plan_of_another_model_or_chip_is_refused(tmp_path: Path) -> None:
    plan = plan_of()
    other = cg.convert_to_analog(nn.Sequential(nn.Linear(5, 4)), cg.InferenceRPUConfig())
    with pytest.raises(cg.ConfigError, match=r"another model: its layer 0 is '0' \(8 x 9\), the model's is"):
        cg.emulate(other, plan=plan)
    with pytest.raises(cg.ConfigError, match="made for 'demo-128' as described then, not for 'hermes-64'"):
        cg.emulate(analog(), "hermes-64", plan=plan)
    with pytest.raises(cg.ConfigError, match="leave out strategy, placement, chips and kinds"):
        cg.emulate(analog(), plan=plan, chips=2)
    with pytest.raises(cg.ConfigError, match="unknown argument of emulate 'plans': did you mean 'plan'"):
        cg.emulate(analog(), plans=plan)
    with pytest.raises(cg.ConfigError, match="give chip="):
        cg.emulate(analog(), chips=2)
    with pytest.raises(cg.ConfigError, match="give a MappingPlan, or the file"):
        cg.emulate(analog(), "demo-128", plan=7)
    foreign = dataclasses.replace(plan, chip="mine")
    with pytest.raises(cg.ConfigError, match="'mine', which is no preset: give chip="):
        cg.emulate(analog(), plan=foreign)


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("out_stop", {1: 39}, "the 6 blocks of layer '3' are no cut of 140 x 288 weights"),
        ("in_start", {3: 201}, "no cut"),
        ("index", {1: 1, 2: 0}, "list blocks by copy"),
        ("layer", {0: 1}, "list every layer's blocks, layer after layer"),
        ("copy", {6: 1}, "6 blocks in 2 copies"),
        ("in_offset", {2: 100}, "reaches to input 172 of a tile that has 128; cut it smaller"),
        ("tile", {2: 99}, "blocks of layers '3' and '3' lie on the same cells of tile 0/9,9"),
    ],
)
def test_blocks_that_are_no_cut_are_refused(
    tmp_path: Path, column: str, values: dict[int, int], error: str
) -> None:
    plan = another_cut(plan_of())
    changed = plan.table[column].copy()
    for row, value in values.items():
        changed[row] = value
    unsound = replaced(plan, **{column: changed})
    with pytest.raises(cg.ConfigError, match=error):
        cg.emulate(analog(), plan=unsound)
    cg.save_plan(unsound, tmp_path / "unsound")
    with pytest.raises(cg.ConfigError, match=error):
        cg.load_plan(tmp_path / "unsound")


def test_blocks_beside_each_other_on_a_tile_are_a_plan() -> None:
    plan = another_cut(plan_of())
    shared = plan.table["tile"].copy()
    offset = np.zeros(len(shared), np.int32)
    shared[2], offset[2] = shared[0], 9  # 40 x 72 beside the 8 x 9 of the first layer
    beside = replaced(plan, tile=shared, in_offset=offset)
    assert torch.equal(outputs(beside), outputs(plan))
