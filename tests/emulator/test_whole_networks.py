"""Networks as people build them, mapped with nothing dropped: every weight and every multiplication is on a
tile or counted as digital. The outside count is torch's own (``torch.utils.flop_counter``) of the same model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from crossgrid.chip import load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.plan.plan import MappingPlan
from crossgrid.emulator.cli.main import main
from crossgrid.emulator.shapes.digital import shapes_of
from crossgrid.emulator.shapes.zoo import zoo_digital, zoo_layers


def unit(in_: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(in_, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Bottleneck(nn.Module):
    """ResNet-50's block."""

    def __init__(self, in_: int, middle: int, out: int, stride: int) -> None:
        super().__init__()
        self.ways = nn.Sequential(unit(in_, middle, 1), unit(middle, middle, 3, stride), unit(middle, out, 1))
        self.short = nn.Conv2d(in_, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.ways(x) + self.short(x))


def resnet() -> nn.Module:
    blocks = (Bottleneck(8, 4, 16, 1), Bottleneck(16, 8, 32, 2))
    return nn.Sequential(
        unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


def mobilenet() -> nn.Module:
    return nn.Sequential(
        unit(3, 8, 3, 2), unit(8, 24, 1), unit(24, 24, 3, 1, groups=24), nn.Conv2d(24, 8, 1, bias=False)
    )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.outer, self.inner = unit(1, 8, 3), unit(8, 16, 3)
        self.up, self.merge, self.last = nn.ConvTranspose2d(16, 8, 2, 2), unit(16, 8, 3), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.outer(x)
        deep = self.inner(functional.max_pool2d(kept, 2))
        return self.last(self.merge(torch.cat([kept, self.up(deep)], 1)))


class Attention(nn.Module):
    """Products by hand: torch counts its fused attention as nothing on processors."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.c_attn(self.norm(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        met = torch.softmax(query @ key.transpose(-1, -2), -1) @ value
        return x + self.c_proj(met.transpose(1, 2).flatten(2))


class Experts(nn.Module):
    """Mixtral's mixture: two of four experts a token, all of whose inputs are dispatched by their numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 4, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 24, bias=False), nn.SiLU(), nn.Linear(24, width, bias=False))
            for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        weight, chosen = torch.topk(torch.softmax(self.gate(tokens), -1), 2, dim=-1)
        mask = functional.one_hot(chosen, num_classes=4).permute(2, 1, 0)
        out = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rank, token = torch.where(mask[number])
            out.index_add_(0, token, expert(tokens[token]) * weight[token, rank, None])
        return x + out.view_as(x)


class Language(nn.Module):
    """GPT-2's wiring, its head tied to the embedding; Mixtral's where ``experts`` take the MLP's place."""

    def __init__(self, experts: bool) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(40, 16), nn.Embedding(8, 16)
        mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.attention, self.mlp = Attention(16, 2), Experts(16) if experts else mlp
        self.norm = nn.LayerNorm(16)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        return self.norm(self.mlp(self.attention(x))) @ self.wte.weight.T


class Functional(nn.Module):
    """Parameters that no layer owns, in all ways in which torch multiplies by them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6, bias=False)
        self.linear, self.matmul = nn.Parameter(torch.zeros(5, 6)), nn.Parameter(torch.zeros(6, 7))
        self.einsum, self.conv = nn.Parameter(torch.zeros(6, 4)), nn.Parameter(torch.zeros(3, 2, 3, 3))
        self.turned, self.line = nn.Parameter(torch.zeros(2, 3, 2, 2)), nn.Parameter(torch.zeros(3, 2, 3))
        self.batched = nn.Parameter(torch.zeros(2, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)  # [B, 2, 6, 6]
        made = [
            functional.linear(z, self.linear), z @ self.matmul, torch.matmul(z, self.matmul),
            torch.einsum("bcij,jk->bcik", z, self.einsum), torch.tensordot(z, self.einsum, dims=([3], [0])),
            functional.conv2d(z, self.conv, padding=1), functional.conv_transpose2d(z, self.turned),
            functional.conv1d(z[:, :, 0], self.line), torch.bmm(z[0], self.batched),
            torch.addmm(z.new_zeros(5), z.flatten(0, 2), self.linear.T),
        ]  # fmt: skip
        return torch.stack([part.sum() for part in made])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "ResNet-50": (resnet, (2, 3, 32, 32)),
    "MobileNetV2": (mobilenet, (2, 3, 16, 16)),
    "U-Net": (UNet, (2, 1, 16, 16)),
    "GPT-2": (lambda: Language(experts=False), torch.zeros(2, 5, dtype=torch.long)),
    "Mixtral": (lambda: Language(experts=True), torch.arange(32).reshape(4, 8)),
    "functions": (Functional, (2, 2, 6, 6)),
}


def counted(model: nn.Module, example: Any) -> float:
    """Multiplications for one input, as torch counts them while the model computes."""
    named = example if isinstance(example, dict) else {}
    inputs = () if named else (example if isinstance(example, Tensor) else torch.randn(example),)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*inputs, **named)
    return counter.get_total_flops() / 2 / len((*inputs, *named.values())[0])


def planned(model: nn.Module, example: Any) -> tuple[MappingPlan, float]:
    found = shapes_of(model, example)
    plan = map_layers(found.layers, "hermes-64", digital=found.digital)
    return plan, sum(work.macs or 0.0 for work in plan.digital)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_multiplication_is_on_a_tile_or_digital(name: str) -> None:
    """Those of a mixture of experts on average: which tokens an expert gets is a matter of numbers."""
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    expected = counted(make(), example)
    plan, digital = planned(make(), example)
    assert plan.macs + digital == pytest.approx(expected)
    assert plan.digital_share == pytest.approx(digital / expected)
    assert cost_of(plan, load_chip("hermes-64")).operations == 2 * plan.macs


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_on_a_tile_or_digital(name: str) -> None:
    """Biases of layers are added where their outputs are; all else is held once."""
    make, example = NETWORKS[name]
    model = make()
    layers = [
        module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    ]
    biases = sum(module.bias.numel() for module in layers if module.bias is not None)
    everything = sum(parameter.numel() for parameter in model.parameters())
    plan, _ = planned(model, example)
    held = sum(layer.weights for layer in plan.layers)
    assert plan.block_weights.sum() == held
    assert held + biases + sum(work.weights for work in plan.digital) == everything


@pytest.mark.parametrize(
    ("name", "multiplications"),
    [("resnet50", 4.09e9), ("mobilenet-v2", 0.30e9), ("vgg16", 15.47e9), ("resnet18", 1.81e9)],
)
def test_the_zoo_has_the_published_multiplications(name: str, multiplications: float) -> None:
    """As torchvision's page of models states them, to their last digit."""
    found = sum(layer.weights * layer.vectors for layer in zoo_layers(name))
    found += sum(work.macs or 0.0 for work in zoo_digital(name))
    assert found == pytest.approx(multiplications, rel=0.01)


def test_the_command_says_the_same(tmp_path: Path, capsys) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.own = nn.Linear(8, 8, bias=False), nn.Parameter(torch.zeros(24, 8))\n"
        "    def forward(self, x): return nn.functional.linear(self.a(x), self.own)\n"
        "def f(): return Mine(), (1, 8)\n"
    )
    assert main(["map", f"{path}:f", "--chip", "hermes-64", "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["weights"], data["digital_macs"], data["digital_share"]) == (64, 24 * 8, 0.75)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "mixtral", "bert", "vit"])
def test_nothing_of_another_s_model_is_dropped(name: str) -> None:
    """Hugging Face's own, made small: from a configuration, nothing is fetched. Mixtral's experts are
    parameters that no layer owns, read for all tokens at once."""
    transformers = pytest.importorskip("transformers", reason="make test-slow installs transformers")
    small = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    tokens = torch.arange(32).reshape(2, 16)
    model: nn.Module
    example: Any = tokens
    if name == "gpt2":
        config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, vocab_size=64, n_positions=16)
        model = transformers.GPT2LMHeadModel(_by_hand(config))
    elif name == "mixtral":
        config = transformers.MixtralConfig(
            **small, num_key_value_heads=2, vocab_size=64, num_local_experts=4, use_cache=False
        )
        config._experts_implementation = "batched_mm"
        model = transformers.MixtralForCausalLM(_by_hand(config))
        example = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    elif name == "bert":
        model = transformers.BertModel(_by_hand(transformers.BertConfig(**small, vocab_size=64)))
    else:
        config = transformers.ViTConfig(**small, image_size=32, patch_size=8)
        model, example = transformers.ViTModel(_by_hand(config)), torch.randn(2, 3, 32, 32)
    expected = counted(model, example)
    plan, digital = planned(model, example)
    assert plan.macs + digital == pytest.approx(expected, rel=1e-3)


def _by_hand(config: Any) -> Any:
    """Attention of plain products, which torch counts."""
    config._attn_implementation = "eager"
    return config
