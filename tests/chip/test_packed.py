"""Strategy "packed": no network is slower than with tiles of its own, and none takes more of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crossgrid.chip import Chip, Convolution, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.description.spec import Grid
from crossgrid.emulator.shapes.digital import shapes_of
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError

CHIPS = ("hermes-64", "demo-128", "isaac", "neurosim-128")


class Read(nn.Module):
    """Columns of an image as a sequence, read by a recurrent layer: convolutions beside a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 48, 3, padding=1))
        self.read = nn.GRU(48 * 8, 90, 2, batch_first=True, bidirectional=True)
        self.told = nn.Linear(180, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.seen(x)  # [B, 48, 8, T]
        return self.told(self.read(seen.flatten(1, 2).transpose(1, 2))[0])


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(96, 4, 200, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def separable() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 150, 1),
        nn.AvgPool2d(4), nn.Conv2d(150, 70, 3), nn.Flatten(), nn.Linear(280, 60),
    )  # fmt: skip


NETWORKS = {
    "LSTM": (lambda: nn.LSTM(28, 64, batch_first=True), (1, 28, 28)),
    "LSTM of two layers": (lambda: nn.LSTM(300, 150, 2, batch_first=True), (1, 20, 300)),
    "GRU both ways": (lambda: nn.GRU(40, 100, 2, batch_first=True, bidirectional=True), (1, 12, 40)),
    "RNN of one step": (lambda: nn.RNN(50, 70, batch_first=True), (1, 1, 50)),
    "projected LSTM": (lambda: nn.LSTM(80, 150, 2, proj_size=60, batch_first=True), (1, 9, 80)),
    "transformer": (transformer, (1, 20, 96)),
    "perceptron": (perceptron, (1, 784)),
    "separable convolutions": (separable, (1, 3, 16, 16)),
    "convolutions and a GRU": (Read, (1, 1, 8, 20)),
}


def holds(layers: tuple[LayerShape, ...] | list[LayerShape], chip: Chip) -> None:
    """Packed is no slower than per-layer and takes no more tiles; every layer is cut as there."""
    apart, packed = map_layers(layers, chip), map_layers(layers, chip, "packed")
    assert packed.tiles_used <= apart.tiles_used
    assert cost_of(packed, chip).interval_ns <= cost_of(apart, chip).interval_ns * (1.0 + 1e-9)
    for column in ("layer", "out_start", "out_stop", "in_start", "in_stop"):
        assert np.array_equal(packed.table[column], apart.table[column])


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_is_slower_than_with_tiles_of_its_own(name: str, chip: str) -> None:
    make, shape = NETWORKS[name]
    holds(shapes_of(make(), shape).layers, load_chip(chip))


@pytest.mark.parametrize(
    ("name", "chip"),
    [("gpt2", "neurosim-128"), ("resnet50", "demo-128"), ("resnet18", "neurosim-128"), ("lenet5", "isaac"),
     ("mobilenet-v2", "hermes-64")],
)  # fmt: skip
def test_no_model_of_the_zoo_is_slower(name: str, chip: str) -> None:
    """Among them one bound by a port, and two of chips that read a tile's rows in groups."""
    holds(zoo_layers(name), load_chip(chip))


@st.composite
def networks(draw: st.DrawFn) -> list[LayerShape]:
    layers: list[LayerShape] = []
    for k in range(draw(st.integers(1, 7))):
        name, out = f"l{k}", draw(st.integers(1, 90))
        kind = draw(st.sampled_from(["image", "vectors", "loop", "expert"]))
        if kind == "image":
            side, channels = draw(st.sampled_from([2, 5, 8])), draw(st.integers(1, 20))
            image = Convolution(channels, (3, 3), (1, 1), (side, side), (side, side))
            layers.append(LayerShape(name, out, channels * 9, side * side, image))
            continue
        in_, reuse = draw(st.integers(1, 150)), draw(st.integers(1, 70))
        sources = ("", name) if kind == "loop" else None
        activity = draw(st.sampled_from([0.25, 1 / 3])) if kind == "expert" else 1.0
        layers.append(LayerShape(name, out, in_, reuse, sources=sources, activity=activity))
    return layers


@given(networks(), st.sampled_from([1, 8, 64]), st.sampled_from([None, 8]), st.sampled_from([(5, 5), (2, 2)]))
@settings(max_examples=60, deadline=None)
def test_of_any_network(
    layers: list[LayerShape], width: int, rows_at_once: int | None, grid: tuple[int, int]
) -> None:
    chip = load_chip("demo-128")
    chip = dataclasses.replace(
        chip, grid=Grid(*grid), links=dataclasses.replace(chip.links, width_bits=width),
        crossbar=dataclasses.replace(chip.crossbar, rows=32, columns=64, rows_at_once=rows_at_once),
    )  # fmt: skip
    holds(layers, chip)


def test_layers_of_few_vectors_share_tiles() -> None:
    """By hand: 400 vectors of the first are the most; the three others, of 200, 130 and 70, have time on one
    tile together."""
    layers = [LayerShape(f"l{k}", 8, 8, reuse) for k, reuse in enumerate((400, 200, 130, 70))]
    plan = map_layers(layers, "demo-128", "packed")
    assert plan.table["tile"].tolist() == [0, 1, 1, 1]


def test_few_chips_make_tiles_share_more_and_no_more_than_they_must() -> None:
    """Six layers of equal vectors: on three tiles two share each, on one all of them, which is slower."""
    layers = [LayerShape(f"l{k}", 30, 20) for k in range(6)]
    chip = dataclasses.replace(load_chip("demo-128"), chips=1)
    for tiles, busiest in ((6, 1), (3, 2), (2, 4), (1, 6)):
        plan = map_layers(layers, dataclasses.replace(chip, grid=Grid(1, tiles)), "packed", chips=1)
        assert plan.tiles_used <= tiles
        assert np.bincount(plan.table["tile"]).max() == busiest
    assert map_layers(layers, dataclasses.replace(chip, grid=Grid(1, 1)), "packed").chips == 6


def test_blocks_are_cut_full_only_where_nothing_else_fits() -> None:
    """192 rows of 128: halves of 96 share no tile, a full one and 64 do, with the 64 of the other layer."""
    layers = [LayerShape("a", 128, 192), LayerShape("b", 128, 192)]
    chip = dataclasses.replace(load_chip("demo-128"), chips=1)
    widths = []
    for tiles in (4, 3):
        one = dataclasses.replace(chip, grid=Grid(1, tiles))
        plan = map_layers(layers, one, "packed", chips=1)
        widths.append(np.unique(plan.table["in_stop"] - plan.table["in_start"]).tolist())
    assert widths == [[96], [64, 128]]
    with pytest.raises(ConfigError, match=r"the model needs 3 tiles .* or strategy 'time-multiplexed'"):
        map_layers(layers, dataclasses.replace(chip, grid=Grid(1, 2)), "packed", chips=1)


@given(networks(), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_how_blocks_are_cut_depends_on_no_count_of_vectors(layers: list[LayerShape], tiles: int) -> None:
    """Numbers of a run must not depend on whether an example told how often layers are read."""
    chip = load_chip("demo-128")
    bar = dataclasses.replace(chip.crossbar, rows=32, columns=64)
    chip = dataclasses.replace(chip, crossbar=bar, grid=Grid(1, tiles))
    plain = [LayerShape(layer.name, layer.out, layer.in_) for layer in layers]
    try:
        plans = [map_layers(each, chip, "packed", chips=1) for each in (layers, plain)]
    except ConfigError:
        return
    ends = [
        np.stack([plan.table[key] for key in ("layer", "out_start", "out_stop", "in_start", "in_stop")])
        for plan in plans
    ]
    assert np.array_equal(*ends)
