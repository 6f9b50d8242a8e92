"""The zoo's networks at their real sizes, beside torch's own count of the same networks written as modules.

``torch.utils.flop_counter`` counts on the meta device, so nothing is computed. Layers that tiles hold and
what stays digital make up all multiplications, to the last one, and layer by layer the zoo has what a trace
finds.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from crossgrid.chip import LayerShape
from crossgrid.emulator.shapes.digital import shapes_of
from crossgrid.emulator.shapes.zoo import zoo_digital, zoo_layers


def unit(in_: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(in_, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Residual(nn.Module):
    def __init__(self, ways: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.ways, self.short = ways, short

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.ways(x) + self.short(x))


def head(width: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000)


def resnet50() -> nn.Module:
    blocks: list[nn.Module] = []
    in_ = 64
    for middle, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for k in range(count):
            step = stride if k == 0 else 1
            ways = nn.Sequential(
                unit(in_, middle, 1), unit(middle, middle, 3, step), unit(middle, 4 * middle, 1)
            )
            short = unit(in_, 4 * middle, 1, step) if k == 0 else nn.Identity()
            blocks.append(Residual(ways, short))
            in_ = 4 * middle
    return nn.Sequential(unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, *head(2048))


def mobilenet_v2() -> nn.Module:
    blocks: list[nn.Module] = [unit(3, 32, 3, 2)]
    in_ = 32
    for wider, out, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for k in range(count):
            step, wide = stride if k == 0 else 1, in_ * wider
            ways = [unit(in_, wide, 1)] if wider > 1 else []
            body = nn.Sequential(*ways, unit(wide, wide, 3, step, wide), nn.Conv2d(wide, out, 1, bias=False))
            blocks.append(Residual(body, nn.Identity()) if step == 1 and in_ == out else body)
            in_ = out
    return nn.Sequential(*blocks, unit(320, 1280, 1), *head(1280))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = (3, 64, 128, 256, 512, 1024)
        pairs = list(itertools.pairwise(sizes))
        self.down = nn.ModuleList(nn.Sequential(unit(a, b, 3), unit(b, b, 3)) for a, b in pairs)
        back = pairs[:0:-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in back)
        self.merge = nn.ModuleList(nn.Sequential(unit(b, a, 3), unit(a, a, 3)) for a, b in back)
        self.out = nn.Conv2d(64, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, down in enumerate(self.down):
            x = down(functional.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for up, merge, skip in zip(self.up, self.merge, kept[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], 1))
        return self.out(x)


class Looking(nn.Module):
    """A token looks back on ``context`` of them, whose keys and values are there; products by hand."""

    def __init__(self, hidden: int, heads: int, key_heads: int, context: int, joined: bool) -> None:
        super().__init__()
        self.size, self.shape, self.context = hidden // heads, (heads, key_heads), context
        wide = (hidden, key_heads * self.size, key_heads * self.size)
        widths = (sum(wide),) if joined else wide
        self.read = nn.ModuleList(nn.Linear(hidden, width, bias=False) for width in widths)
        self.out = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        heads, key_heads = self.shape
        query = torch.cat([read(x) for read in self.read], -1)[..., : heads * self.size]
        query = query.reshape(key_heads, heads // key_heads, self.size)
        past = x.new_empty(key_heads, self.size, self.context)
        met = torch.softmax(query @ past, -1) @ past.transpose(1, 2)
        return x + self.out(met.reshape(x.shape))


class Gated(nn.Module):
    def __init__(self, hidden: int, wide: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(hidden, wide, bias=False) for _ in range(2))
        self.w2 = nn.Linear(wide, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Chosen(nn.Module):
    """Two of eight experts: which ones is a matter of numbers, how many is not."""

    def __init__(self, hidden: int, wide: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, 8, bias=False)
        self.experts = nn.ModuleList(Gated(hidden, wide) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        share = torch.softmax(self.gate(x), -1)
        return x + sum(self.experts[k](x) * share[..., k, None] for k in (2, 5))


def gpt2() -> nn.Module:
    blocks: list[nn.Module] = []
    for _ in range(12):
        mlp = nn.Sequential(nn.LayerNorm(768), nn.Linear(768, 3072), nn.GELU(), nn.Linear(3072, 768))
        blocks += [Looking(768, 12, 12, 1024, joined=True), Residual(mlp, nn.Identity())]
    return nn.Sequential(*blocks, nn.LayerNorm(768), nn.Linear(768, 50257, bias=False))


def mixtral() -> nn.Module:
    blocks: list[nn.Module] = []
    for _ in range(32):
        blocks += [Looking(4096, 32, 8, 32768, joined=False), Chosen(4096, 14336)]
    return nn.Sequential(*blocks, nn.Linear(4096, 32000, bias=False))


IMAGES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet50": (resnet50, (1, 3, 224, 224)),
    "mobilenet-v2": (mobilenet_v2, (1, 3, 224, 224)),
    "unet": (UNet, (1, 3, 256, 256)),
}
NETWORKS = {**IMAGES, "gpt2": (gpt2, (1, 1, 768)), "mixtral-8x7b": (mixtral, (1, 1, 4096))}


def counted(model: nn.Module, shape: tuple[int, ...]) -> float:
    """Multiplications of one input, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.empty(shape, device="meta"))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_the_zoo_has_every_multiplication(name: str) -> None:
    make, shape = NETWORKS[name]
    with torch.device("meta"):
        model = make()
    on_tiles = sum(layer.weights * layer.vectors for layer in zoo_layers(name))
    digital = math.fsum(work.macs or 0.0 for work in zoo_digital(name))
    assert on_tiles + digital == counted(model, shape)
    matrices = [
        module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    ]
    assert sum(layer.weights for layer in zoo_layers(name)) == sum(m.weight.numel() for m in matrices)


def kinds(layers: tuple[LayerShape, ...]) -> Counter[tuple[object, ...]]:
    return Counter((layer.out, layer.in_, layer.groups, layer.reuse, layer.convolution) for layer in layers)


@pytest.mark.parametrize("name", IMAGES)
def test_a_trace_finds_the_zoo_s_layers_and_nothing_else(name: str) -> None:
    make, shape = IMAGES[name]
    found = shapes_of(make(), shape)
    assert kinds(found.layers) == kinds(zoo_layers(name))
    assert sum(work.macs or 0.0 for work in found.digital) == 0.0
