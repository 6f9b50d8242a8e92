"""Grouped and depthwise convolutions: block-diagonal matrices, their tiles, traffic and costs."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrid.chip import Convolution, LayerShape, blocks_of_layer, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.spec import Crossbar, Grid
from crossgrid.chip.files.neurosim import neurosim_csv
from crossgrid.kernels.errors import ConfigError


def depthwise(channels: int, grouped: str, size: int = 10, **changes: object) -> LayerShape:
    geometry = Convolution(channels, (3, 3), (1, 1), (size, size), (size, size))
    return LayerShape(
        "dw", channels, 9 * channels, size * size, geometry, groups=channels, grouped=grouped, **changes
    )


@given(
    groups=st.integers(1, 40), height=st.integers(1, 9), width=st.integers(1, 9),
    tile=st.tuples(st.integers(1, 20), st.integers(1, 20)), grouped=st.sampled_from(["separate", "diagonal"]),
)  # fmt: skip
def test_blocks_hold_every_weight_of_every_group_once(
    groups: int, height: int, width: int, tile: tuple[int, int], grouped: str
) -> None:
    layer = LayerShape("g", groups * height, groups * width, groups=groups, grouped=grouped)
    held = set()
    for out_start, out_stop, in_start, in_stop in blocks_of_layer(layer, *tile).tolist():
        assert out_stop - out_start <= tile[0]
        assert in_stop - in_start <= tile[1]
        for out in range(out_start, out_stop):
            for in_ in range(in_start, in_stop):
                if out // height == in_ // width:
                    assert (out, in_) not in held
                    held.add((out, in_))
    assert len(held) == layer.weights == groups * height * width


def test_as_many_groups_share_a_tile_as_fit() -> None:
    """256 rows take 28 channels of nine inputs; 96 channels are four tiles of 24, 192 are seven."""
    for channels, tiles in ((28, 1), (32, 2), (96, 4), (192, 7)):
        plan = map_layers([depthwise(channels, "diagonal")], "hermes-64")
        assert plan.tiles_used == tiles
        assert plan.block_weights.sum() == 9 * channels
        assert plan.utilization == pytest.approx(9 * channels / (tiles * 256 * 256))
        assert map_layers([depthwise(channels, "separate")], "hermes-64").tiles_used == channels


def test_groups_side_by_side_work_at_once() -> None:
    """Every vector drives the inputs of all groups and converts their outputs once, whoever shares a tile."""
    chip = load_chip("hermes-64")
    apart, together = (
        cost_of(map_layers([depthwise(96, grouped)], chip), chip) for grouped in ("separate", "diagonal")
    )
    for key in ("adc_conversion", "dac_conversion", "add", "activation"):
        assert getattr(together.events, key) == getattr(apart.events, key)
    assert together.events.mvm == 4 * 100
    assert apart.events.mvm == 96 * 100
    assert together.layers[0].interval_ns <= apart.layers[0].interval_ns
    assert together.energy_pj < apart.energy_pj


def test_a_group_reads_its_own_channels_alone() -> None:
    """Channel k of dw is made by row k of the layer before, whose tiles hold four channels each."""
    base = load_chip("demo-128")
    chip = dataclasses.replace(base, crossbar=Crossbar(rows=36, columns=4), grid=Grid(4, 4))
    before = LayerShape("a", 8, 4, 100, Convolution(4, (1, 1), (1, 1), (10, 10), (10, 10)))
    for grouped, tiles in (("separate", 8), ("diagonal", 2)):
        plan = map_layers([before, depthwise(8, grouped)], chip)
        assert plan.tiles_used == 2 + tiles
        sent = traffic_of(plan, chip).loads.sent.ravel()
        assert sent[:2].tolist() == [4 * 100 * chip.output_bits] * 2
        taken = traffic_of(plan, chip).loads.taken.ravel()
        assert taken[2 : 2 + tiles].tolist() == [8 // tiles * 100 * chip.output_bits] * tiles


def test_a_second_grouped_layer_reads_groups_where_they_are_made() -> None:
    """From dw to dw2 each channel goes from its tile to the tile of the same channel, and nowhere else."""
    chip = load_chip("demo-128")
    layers = [depthwise(8, "separate"), dataclasses.replace(depthwise(8, "separate"), name="dw2")]
    traffic = traffic_of(map_layers(layers, chip), chip)
    assert traffic.loads.taken.ravel()[8:16].tolist() == [100 * chip.output_bits] * 8


def test_what_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"layer 'a': groups = 3 must divide its 4 outputs and 6 inputs"):
        LayerShape("a", 4, 6, groups=3)
    with pytest.raises(ConfigError, match="diagonal"):
        LayerShape("a", 4, 6, groups=2, grouped="diagnal")


def test_why_and_export_know_groups() -> None:
    plan = map_layers([depthwise(96, "diagonal")], "hermes-64")
    assert "24 of 96 groups of 1 x 9 side by side on a tile of 256 x 256" in plan.blocks[0].why
    assert neurosim_csv(plan.layers) == "10,10,1,3,3,96,0,1\n"
