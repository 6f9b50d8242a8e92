"""How often an input passes through each layer reaches the plan: from an example, or from the first batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.chip import load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.kernels.errors import ConfigError


class Net(nn.Module):
    """A residual convolution and a layer used twice; batch normalisation and dropout keep state."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(6), nn.Dropout(0.5)
        self.shared = nn.Linear(6, 6)
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x))
        y = self.drop(y + self.second(y)).mean((2, 3))
        return self.out(self.shared(self.shared(y)))


#: an image of 5 x 7 has 35 positions; the shared layer reads each input twice
REUSE = {"first": 35, "second": 35, "shared": 2, "out": 1}


def analog() -> nn.Module:
    torch.manual_seed(1)
    return cg.convert_to_analog(Net(), cg.SingleRPUConfig())


def reuse(running: cg.Emulation) -> dict[str, int]:
    assert running.plan is not None
    return {layer.name: layer.reuse for layer in running.plan.layers}


@pytest.mark.parametrize(
    "example",
    [torch.rand(3, 1, 5, 7), (3, 1, 5, 7), (torch.rand(2, 1, 5, 7),)],
    ids=["tensor", "shape", "tuple"],
)
def test_an_example_tells_reuse_and_branches(example: object) -> None:
    running = cg.emulate(analog(), chip="demo-128", example_input=example)
    assert reuse(running) == REUSE
    assert running.plan is not None
    shapes = {layer.name: layer for layer in running.plan.layers}
    assert shapes["second"].sources == ("first",)
    assert [(j.name, j.values) for j in shapes["second"].joins] == [("first", 6 * 35)]
    assert shapes["shared"].sources == ("second", "shared")
    assert shapes["second"].convolution is not None
    assert shapes["second"].convolution.size_in == (5, 7)


def test_an_example_changes_nothing() -> None:
    """Same bits as without: no tick, no statistic, no random number is used up."""
    results = []
    for example in (None, (3, 1, 5, 7)):
        model = analog()
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        random = torch.get_rng_state()
        running = cg.emulate(model, chip="demo-128", example_input=example)
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
        assert model.training
        with running:
            results.append(model(torch.ones(2, 1, 5, 7)))
    assert torch.equal(*results)


def test_the_first_batch_tells_reuse() -> None:
    model = analog()
    with cg.emulate(model, chip="demo-128") as running:
        tiles = running.plan.table["tile"].tolist() if running.plan else []
        assert "reuse" not in str(running.report())  # nobody knows yet
        model(torch.rand(4, 1, 5, 7))
        assert reuse(running) == REUSE
        assert running.plan is not None
        assert running.plan.table["tile"].tolist() == tiles
        assert "reuse" in str(running.report())
        assert "     35  " in str(running.report())
        model(torch.rand(4, 1, 9, 9))  # later batches do not
        assert reuse(running) == REUSE
        # energy of what was read: the vectors counted, whatever the plan's reuse is
        events = running.report().events()
        assert events is not None
        assert events.activation == 4 * (35 + 81) * (6 + 6) + 8 * (2 * 6 + 4)


def test_replicated_makes_copies_of_what_is_read_most_often() -> None:
    with pytest.raises(ConfigError, match=r"strategy 'replicated' copies the layers .*example_input"):
        cg.emulate(analog(), chip="demo-128", strategy="replicated")
    running = cg.emulate(analog(), chip="demo-128", strategy="replicated", example_input=(1, 1, 5, 7))
    assert running.plan is not None
    copies = dict(zip((s.name for s in running.plan.layers), running.plan.copies.tolist(), strict=True))
    # 100 tiles are enough for a copy a vector; fewer of the first layer send less through its links
    each = map_layers(running.plan.layers, "demo-128", "replicated", copies={"first": 35, "second": 35})
    assert (
        cost_of(running.plan, load_chip("demo-128")).interval_ns
        <= cost_of(each, load_chip("demo-128")).interval_ns
    )
    assert copies["second"] == 35
    assert copies["first"] > 1
    assert copies["shared"] == 1  # its second use waits for the first: a copy would wait with it
    assert copies["out"] == 1
    with running:
        assert running.model(torch.rand(2, 1, 5, 7)).shape == (2, 4)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ((3, 2, 5, 7), r"example_input of shape \(3, 2, 5, 7\) does not pass|channels"),
        ("image", "example input of type str holds no batch"),
        ((), "example input of type tuple holds no batch"),
        (torch.zeros(0, 1, 5, 7), r"shape \(0, 1, 5, 7\), holds no batch"),
        (torch.tensor(1.0), "give a tensor with at least one sample"),
    ],
)
def test_bad_examples(example: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cg.emulate(analog(), chip="demo-128", example_input=example)


def test_a_recurrent_network() -> None:
    """Each matrix of an LSTM reads each of 7 steps; the state's matrix reads itself."""
    torch.manual_seed(1)
    lstm = nn.LSTM(5, 6, batch_first=True)
    model = cg.convert_to_analog(lstm, cg.SingleRPUConfig())
    running = cg.emulate(model, chip="demo-128", example_input=(2, 7, 5))
    assert sorted(reuse(running).values()) == [7, 7]
    assert running.plan is not None
    by_name = {layer.name.rpartition(".")[2]: layer for layer in running.plan.layers}
    assert by_name["weight_hh_l0"].sources == ("weight_hh_l0",)
    assert [join.name for join in by_name["weight_hh_l0"].joins] == ["weight_ih_l0"]


def test_groups_are_one_layer() -> None:
    model = cg.convert_to_analog(nn.Conv2d(4, 6, 3, groups=2), cg.SingleRPUConfig())
    running = cg.emulate(model, chip="demo-128", example_input=(2, 4, 5, 5))
    assert reuse(running) == {"AnalogConv2d": 9}
