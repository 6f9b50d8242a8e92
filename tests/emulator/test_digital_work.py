"""What stays digital, counted by hand: modules, functions, attention, parameters that no layer owns."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import crossgrid as cg
from crossgrid.chip import load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.digital import digital_cost
from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.chip.plan.file import load_plan, save_plan
from crossgrid.chip.reports.report import Report
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.shapes.digital import shapes_of
from crossgrid.emulator.shapes.zoo import ZOO, zoo_digital, zoo_layers


class OwnConv(nn.ConvTranspose2d):
    """A transposed convolution with a forward pass of its own: it stays digital."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, self.weight, self.bias, self.stride)


class Mixed(nn.Module):
    """Two inputs of 3 x 8 x 8 go through what no tile holds, and one layer that tiles do."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.randn(10, 16))
        self.up, self.norm = OwnConv(3, 4, 2, stride=2), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.max_pool2d(torch.relu(self.norm(self.up(x))), 2)
        t = self.fc(y.flatten(2).transpose(1, 2))  # [2, 64, 16]
        a = functional.scaled_dot_product_attention(t, t, t)
        b = self.attention(t, t, t)[0]
        c = torch.softmax(t @ t.transpose(1, 2), -1) @ t
        return functional.linear(a + b + c, self.own)


def works() -> dict[tuple[str, str], DigitalWork]:
    found = shapes_of(Mixed(), (2, 3, 8, 8))
    assert [layer.name for layer in found.layers] == ["fc", "attention.in_proj", "attention.out_proj"]
    return {(work.name, work.kind): work for work in found.digital}


def test_products_are_counted_by_hand() -> None:
    """Every count is for one of the two inputs."""
    found = works()
    up = found["up", "convolution"]
    assert (up.macs, up.weights) == (64 * 3 * 4 * 4, 3 * 4 * 4 + 4)  # each pixel makes 2 x 2 of 4 channels
    both = 2 * 64 * 64 * 16  # 64 queries of 16 with 64 keys, and the result with 64 values
    assert found["", "attention"].macs == both
    assert found["attention", "attention"].macs == both
    own = found["", "matrix product"]
    assert own.macs == both + 64 * 16 * 10
    assert own.weights == 160
    assert found["", "softmax"].operations == 4 * 64 * 64
    assert found["", "pooling"].operations == 4 * 16 * 16
    assert found["norm", "normalization"].operations == 2 * 4 * 16 * 16
    assert found["norm", "normalization"].weights == 8


def test_an_embedding_reads_rows_not_its_table() -> None:
    model = nn.Sequential(nn.Embedding(1000, 8), nn.Linear(8, 2))
    (work,) = (w for w in shapes_of(model, torch.zeros(1, 5, dtype=torch.long)).digital if w.name == "0")
    assert (work.kind, work.values, work.weights) == ("embedding", 2 * 5 * 8, 8000)


def test_without_an_example_modules_are_named_and_counts_unknown() -> None:
    found = {work.name: work for work in shapes_of(Mixed()).digital}
    assert found["up"].kind == "convolution"
    assert found["up"].macs is None
    assert found[""].weights == 160  # the parameter of its own
    assert "fc" not in found
    assert "attention" not in found


def test_every_layer_of_a_model_is_analog_or_digital() -> None:
    """No parameter is lost: those of tiles and those of digital work are all that the model has."""
    model = Mixed()
    found = shapes_of(model, (2, 3, 8, 8))
    biases = sum(p.numel() for name, p in model.named_parameters() if name in (
        "fc.bias", "attention.in_proj_bias", "attention.out_proj.bias"
    ))  # fmt: skip
    held = sum(layer.weights for layer in found.layers)
    assert held + biases + sum(work.weights for work in found.digital) == sum(
        p.numel() for p in model.parameters()
    )


def test_a_unit_costs_what_its_figures_say() -> None:
    """8 bits a value: 0.23 pJ a product, 0.03 pJ an operation, 1.25 pJ a byte; 256 of them a ns."""
    chip = load_chip("demo-128")
    cost = digital_cost([DigitalWork("a", "softmax", 1000, 200, 50), DigitalWork("b", "pooling")], chip)
    assert cost.bytes == 50 * chip.output_bits / 8
    assert cost.energy_pj == pytest.approx(1000 * 0.23 + 200 * 0.03 + cost.bytes * 1.25)
    assert cost.time_ns == 1200 / 256
    assert cost.unknown == 1


def test_plans_reports_and_files_have_it(tmp_path, capsys) -> None:
    found = shapes_of(Mixed(), (2, 3, 8, 8))
    chip = load_chip("demo-128")
    plan = map_layers(found.layers, chip, digital=found.digital)
    save_plan(plan, tmp_path / "plan")
    assert load_plan(tmp_path / "plan") == plan
    data = json.loads(json.dumps(Report.of(plan, chip).as_dict()))
    macs = sum(work.macs for work in found.digital)
    assert data["digital_macs"] == macs
    assert data["digital_share"] == macs / (macs + cost_of(plan, chip).operations / 2)
    assert {row["kind"] for row in data["digital"]} >= {"attention", "convolution", "matrix product"}
    Report.of(plan, chip).print()
    assert "stays digital" in capsys.readouterr().out


def test_an_emulation_knows_it_too() -> None:
    model = cg.convert_to_analog(
        nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 2)), cg.SingleRPUConfig()
    )
    running = cg.emulate(model, chip="demo-128", example_input=(3, 6))
    assert running.plan is not None
    assert [(w.name, w.kind) for w in running.plan.digital] == [("1", "normalization")]
    plain = cg.emulate(model, chip="demo-128")
    assert plain.plan is not None
    assert [(w.name, w.macs) for w in plain.plan.digital] == [("1", None)]


@pytest.mark.parametrize("model", sorted(set(ZOO) - {"lenet5"}))
def test_the_zoo_says_what_stays_digital(model: str) -> None:
    assert zoo_digital(model)


def test_attention_s_share_of_well_known_models() -> None:
    """An architect's own count: 2.7 % of BERT's products, 4.2 % of ViT's tiles' and 16 % of Llama's."""
    for name, share in (("bert-base", 0.027), ("vit-b-16", 0.042), ("llama-2-7b", 0.16)):
        tiles = sum(layer.weights * layer.vectors for layer in zoo_layers(name))
        digital = sum(work.macs or 0 for work in zoo_digital(name))
        assert digital / tiles == pytest.approx(share, rel=0.04)


def test_nothing_of_a_u_net_is_dropped() -> None:
    """28,239,680 weights of convolutions, 2,785,280 of transposed ones, which make 2.15 G products."""
    layers = zoo_layers("unet")
    transposed = [layer for layer in layers if layer.name.endswith("transposed")]
    assert sum(layer.weights for layer in transposed) == 2_785_280
    assert sum(layer.weights * layer.reuse for layer in transposed) == pytest.approx(2.15e9, rel=2e-3)
    assert sum(layer.weights for layer in layers) == 28_239_680 + 2_785_280


def test_experts_work_by_activity(capsys) -> None:
    """Of Mixtral's 46.6 G weights a token meets 12.7 G: two of eight experts."""
    layers = zoo_layers("mixtral-8x7b")
    assert sum(layer.weights for layer in layers) == pytest.approx(46.6e9, rel=2e-3)
    assert sum(layer.weights * layer.vectors for layer in layers) == pytest.approx(12.75e9, rel=2e-3)
    block = layers[:29]
    plan = map_layers(block, "hermes-64")
    chip = load_chip("hermes-64")
    cost = cost_of(plan, chip)
    expected = sum(layer.weights * layer.vectors for layer in block)
    assert cost.operations == 2 * expected
    experts = [layer for layer in cost.layers if ".experts." in layer.name]
    assert len(experts) == 24


@pytest.mark.parametrize("model", ["resnet50", "mobilenet-v2", "unet", "gpt2"])
def test_map_prints_layers_and_digital_work(model: str, capsys) -> None:
    assert main(["map", model, "--chip", "hermes-64", "--grouped", "diagonal"]) == 0
    out = capsys.readouterr().out
    assert "stays digital" in out
    assert len(out.splitlines()) < 250


def test_mobilenet_is_built_as_people_build_it() -> None:
    """369 tiles of 256 x 256 at the speed of separate groups on 7,242, as an architect counted by hand."""
    import dataclasses

    chip = load_chip("hermes-64")
    costs = {}
    for grouped, tiles in (("separate", 7242), ("diagonal", 369)):
        layers = [dataclasses.replace(layer, grouped=grouped) for layer in zoo_layers("mobilenet-v2")]
        plan = map_layers(layers, chip)
        assert plan.tiles_used == tiles
        costs[grouped] = cost_of(plan, chip)
    assert costs["diagonal"].interval_ns == costs["separate"].interval_ns
    assert costs["diagonal"].energy_pj < costs["separate"].energy_pj / 15


class Experts(nn.Module):
    """Two of eight experts for each token, chosen by a router, as Mixtral does it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 8, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)) for _ in range(8)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, 16)
        weights, chosen = torch.topk(torch.softmax(self.gate(tokens), -1), 2, dim=-1)
        mask = functional.one_hot(chosen, num_classes=8).permute(2, 1, 0)
        out = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rank, token = torch.where(mask[number])
            out.index_add_(0, token, expert(tokens[token]) * weights[token, rank, None])
        return out.reshape(x.shape)


def test_a_router_s_experts_get_their_share_of_the_tokens() -> None:
    """64 tokens, two experts each: an expert of eight gets sixteen, where numbers are not computed."""
    layers = {layer.name: layer for layer in shapes_of(Experts(), (1, 64, 16)).layers}
    assert layers["gate"].reuse == 64
    assert {layer.reuse for name, layer in layers.items() if name.startswith("experts")} == {16}
    assert len(layers) == 17
    assert "experts.3.0" in layers["experts.3.2"].sources  # type: ignore[operator]
