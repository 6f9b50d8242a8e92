"""What a traced layer reads: parts of concatenations, inputs as they are made or all at once; and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import crossgrid as cg
from crossgrid.chip import LayerShape, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.load import load_chip
from crossgrid.chip.files.neurosim import neurosim_csv
from crossgrid.emulator.model.analog_model import analog_matrices
from crossgrid.emulator.shapes.analog import traced_shapes
from crossgrid.emulator.shapes.digital import layers_of

Wired = dict[str, LayerShape]


class UNet(nn.Module):
    """One level: what is kept meets what comes up again."""

    def __init__(self) -> None:
        super().__init__()
        self.outer, self.inner = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.merge = nn.ConvTranspose2d(16, 4, 2, 2), nn.Conv2d(12, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kept = functional.relu(self.outer(x))
        deep = functional.relu(self.inner(functional.max_pool2d(kept, 2)))
        made: Tensor = self.merge(torch.cat([kept, self.up(deep)], 1))
        return made


class Dense(nn.Module):
    """DenseNet's block: each layer reads all before it, normalized together."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * k) for k in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(6 + 4 * k, 4, 3, padding=1) for k in range(3))
        self.last = nn.Conv2d(18, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        made = [self.first(x)]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            made.append(layer(functional.relu(norm(torch.cat(made, 1)))))
        out: Tensor = self.last(functional.avg_pool2d(torch.cat(made, 1), 2))
        return out


class Split(nn.Module):
    """A layer's halves, one of which goes on, meet again: as YOLO's blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(*sizes, 1) for sizes in ((3, 8), (4, 4), (12, 2)))

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.a(x).chunk(2, 1)
        made: Tensor = self.c(torch.cat([one, other, self.b(other)], 1))
        return made


def wired(make: Callable[[], nn.Module], example: tuple[int, ...]) -> Wired:
    """As a digital model is traced, and as an analog one: alike."""
    torch.manual_seed(0)
    digital = {shape.name: shape for shape in layers_of(make().eval(), example)}
    model = cg.convert_to_analog(make(), cg.InferenceRPUConfig()).eval()
    analog = traced_shapes(model, list(analog_matrices(model)), example).layers
    read = {s.name: (s.sources, s.concatenated, s.joins, s.convolution, s.in_step) for s in analog}
    assert read == {
        s.name: (s.sources, s.concatenated, s.joins, s.convolution, s.in_step) for s in digital.values()
    }
    return digital


def test_both_parts_of_a_u_net_s_concatenation_are_read_where_they_are_made() -> None:
    found = wired(UNet, (2, 1, 16, 16))
    assert found["merge"].sources == ("outer", "up")
    assert found["merge"].concatenated == (8, 4)
    assert not any(shape.joins for shape in found.values())
    plan = map_layers(found.values(), "hermes-64")
    traffic = traffic_of(plan, load_chip("hermes-64"))
    taken = dict(zip(found, traffic.loads.taken.ravel().tolist(), strict=False))
    assert taken["merge"] == 12 * 16 * 16 * 8
    assert taken["up"] == 16 * 8 * 8 * 8  # what is kept does not pass by the tile of the other part
    sent = dict(zip(found, traffic.loads.sent.ravel().tolist(), strict=False))
    assert sent["outer"] == 8 * (8 * 8 * 8 + 8 * 16 * 16)
    assert cost_of(plan, load_chip("hermes-64")).longest_way == ("outer", "inner", "up", "merge")


def test_every_layer_of_a_dense_block_reads_all_before_it() -> None:
    found = wired(Dense, (2, 3, 8, 8))
    names = ["first", "layers.0", "layers.1", "layers.2"]
    for k in range(1, 4):
        shape = found[f"layers.{k - 1}"]
        assert shape.sources == tuple(names[:k])
        assert shape.concatenated == (() if k == 1 else (6, 4, 4)[:k])
    assert found["last"].sources == tuple(names)
    assert found["last"].concatenated == (6, 4, 4, 4)


def test_halves_of_a_layer_are_parts_of_it() -> None:
    found = wired(Split, (1, 3, 4, 4))
    assert (found["c"].sources, found["c"].concatenated) == (("a", "a", "b"), (4, 4, 4))
    plan = map_layers(found.values(), "hermes-64")
    assert traffic_of(plan, load_chip("hermes-64")).loads.taken.ravel()[2] == 12 * 16 * 8


def test_blocks_read_the_part_that_they_hold() -> None:
    """Two tiles of 256 inputs each read one source each."""
    layers = [
        LayerShape("a", 256, 16, sources=("",)), LayerShape("b", 256, 16, sources=("",)),
        LayerShape("c", 16, 512, sources=("a", "b"), concatenated=(256, 256)),
    ]  # fmt: skip
    traffic = traffic_of(map_layers(layers, "hermes-64"), load_chip("hermes-64"))
    assert traffic.loads.taken.ravel()[2:4].tolist() == [256 * 8 + 16 * 8, 256 * 8]
    assert traffic.loads.sent.ravel()[:4].tolist() == [256 * 8, 256 * 8, 0, 16 * 8]


class Cached(nn.Module):
    """What is kept is empty at first, as a language model's cache is; positions are added, not features."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.cat([torch.tensor([]), self.a(x)], dim=-2)
        made: Tensor = self.b(torch.cat([x, kept], dim=-2))
        return made


def test_positions_that_are_added_come_from_both() -> None:
    found = wired(Cached, (2, 5, 4))
    assert (found["b"].sources, found["b"].concatenated) == (("", "a"), ())
    assert found["b"].reuse == 10


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.proj(functional.scaled_dot_product_attention(query, key, value))
        made: Tensor = x + self.down(functional.gelu(self.up(self.norm(x))))
        return made


class Mixer(nn.Module):
    """Patches become tokens; tokens are mixed by the transpose's matrix, then channels; then rolled."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.tokens, self.channels, self.rolled = nn.Linear(16, 16), nn.Linear(8, 8), nn.Linear(8, 8)
        self.back = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        x = self.channels(x)
        x = self.rolled(torch.roll(x, 1, 1))
        made: Tensor = self.back(x.transpose(1, 2).unflatten(2, (4, 4)))
        return made


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.LSTM(6, 4, 2, batch_first=True), nn.Linear(4, 3)
        self.both = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(self.both(self.out(self.cells(x)[0]))[0])
        return made


class Pools(nn.Module):
    """A window that makes the image smaller pools; one that keeps its size does not, nor a mean of all."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.convs[0](x)), 2)
        x = functional.avg_pool2d(self.convs[1](x), 3, 2, 1)
        x = functional.max_pool2d(self.convs[2](x), 3, 1, 1)
        made: Tensor = self.fc(functional.adaptive_avg_pool2d(self.convs[3](x), 1).flatten(1))
        return made


@pytest.mark.parametrize(
    ("make", "example", "in_step"),
    [
        (Attention, (2, 5, 8), {"qkv": True, "proj": None, "up": True, "down": True}),
        (
            Mixer, (1, 3, 16, 16),
            {"patch": None, "tokens": None, "channels": None, "rolled": None, "back": None},
        ),
        (
            Recurrent, (1, 7, 6),
            {
                "cells.weight_ih_l0": True, "cells.weight_ih_l1": True, "out": True,
                "both.weight_ih_l0": True, "both.weight_ih_l0_reverse": False,
                "both.weight_ih_l1": False, "last": None,
            },
        ),
        (Dense, (1, 3, 8, 8), {"first": None, "layers.2": None, "last": None}),
        (UNet, (1, 1, 16, 16), {"inner": None, "up": True, "merge": None}),
    ],
    ids=["attention", "mixer", "recurrent", "dense", "u-net"],
)  # fmt: skip
def test_who_reads_its_inputs_as_they_are_made(
    make: Callable[[], nn.Module], example: tuple[int, ...], in_step: dict[str, Any]
) -> None:
    """None is the kind's own: of a convolution that it does, of a matrix that it waits. A mixer's matrix
    of tokens makes its last token for the first channel, so all of it is needed for the first token."""
    found = {shape.name: shape for shape in layers_of(make().eval(), example)}
    assert {name: found[name].in_step for name in in_step} == in_step


class Lines(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(2, 4, 5, stride=2, padding=2), nn.Conv1d(4, 4, 3, padding=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.b(functional.relu(self.a(x)))
        return made


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 4, (3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.b(functional.relu(self.a(x)))
        return made


@pytest.mark.parametrize(
    ("make", "example", "row"),
    [
        (Lines, (3, 2, 40), "20,1,4,3,1,4,0,1"),  # a line of 20 pixels, a window of 3 of them
        (Volumes, (3, 2, 6, 5, 5), "6,25,4,3,1,4,0,1"),  # six slices of 25, a window of 3 x 1
    ],
    ids=["lines", "volumes"],
)
def test_lines_and_volumes_are_images(make: Callable[[], nn.Module], example: Any, row: str) -> None:
    """Their values travel once, not once for each window that covers them; rows are handed on."""
    found = wired(make, example)
    assert neurosim_csv([found["b"]]).strip() == row
    plan, chip = map_layers(found.values(), "hermes-64"), load_chip("hermes-64")
    assert traffic_of(plan, chip).loads.taken.ravel()[1] == 4 * found["a"].reuse * 8
    cost = cost_of(plan, chip)
    assert cost.latency_ns < 0.9 * cost.latency_in_turn_ns


def test_neurosim_s_file_says_where_pooling_follows() -> None:
    found = wired(Pools, (2, 4, 16, 16))
    rows = [line.split(",") for line in neurosim_csv(list(found.values())).splitlines()]
    assert [row[6] for row in rows] == ["1", "1", "0", "0", "0"]


def test_pooling_of_a_vgg_is_the_zoo_s() -> None:
    """Thirteen convolutions, five of them pooled."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in ((8, 2), (8, 2), (8, 3), (8, 3), (8, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    found = layers_of(nn.Sequential(*layers), (1, 3, 64, 64))
    pooled = [shape.convolution is not None and shape.convolution.pooled for shape in found]
    assert [k for k, each in enumerate(pooled) if each] == [1, 3, 6, 9, 12]
