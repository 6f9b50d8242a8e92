"""Several chips: never more bits between them than when filled in order, and the fewest of all ends."""

from __future__ import annotations

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, Join, LayerShape, MappingPlan, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.traffic import bits_over_cuts, crossing_bits, traffic_of
from crossgrid.chip.description.spec import Crossbar, Grid
from crossgrid.chip.mapping.partition import with_few_crossings
from crossgrid.emulator.shapes.zoo import zoo_layers


def chip_of(tiles: int, side: int = 4) -> Chip:
    return dataclasses.replace(
        load_chip("demo-128"), crossbar=Crossbar(rows=side, columns=side), grid=Grid(1, tiles)
    )


def in_order(layers: list[LayerShape], chip: Chip, strategy: str = "per-layer") -> MappingPlan:
    """The plan with every chip filled before the next one."""
    with mock.patch("crossgrid.chip.mapping.copies_order.with_few_crossings", lambda plan, chip: plan):
        return map_layers(layers, chip, strategy)


NETWORKS = st.lists(
    st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 5), st.booleans()),
    min_size=2,
    max_size=6,
).map(
    lambda sizes: [
        LayerShape(f"l{k}", out, in_, reuse, joins=(Join(f"l{k - 2}", 5),) if joined and k > 1 else ())
        for k, (out, in_, reuse, joined) in enumerate(sizes)
    ]
)


@settings(max_examples=80, deadline=None)
@given(
    NETWORKS, st.integers(2, 9), st.sampled_from(["per-layer", "packed", "replicated", "time-multiplexed"])
)
def test_never_more_crossings_than_in_order_and_the_same_chips(
    layers: list[LayerShape], tiles: int, strategy: str
) -> None:
    chip = chip_of(tiles)
    before, after = in_order(layers, chip, strategy), map_layers(layers, chip, strategy)
    assert crossing_bits(after, chip) <= crossing_bits(before, chip)
    assert crossing_bits(after, chip) == pytest.approx(traffic_of(after, chip).crossing_bits.sum())
    assert (after.chips, after.chips_used, after.tiles_used) == (
        before.chips,
        before.chips_used,
        before.tiles_used,
    )
    # the same blocks, on tiles in the same order, none over the end
    assert after.table["tile"].max() < after.tiles_available
    order = [np.unique(plan.table["tile"], return_inverse=True)[1].tolist() for plan in (before, after)]
    assert order[0] == order[1]


@settings(max_examples=60, deadline=None)
@given(NETWORKS, st.integers(2, 9))
def test_ends_cost_the_least_of_all(layers: list[LayerShape], tiles: int) -> None:
    """Against trying all ends: of two chips exactly; of more, a message over two ends counts at both."""
    chip = chip_of(tiles)
    plan = in_order(layers, chip)
    cost, chips = bits_over_cuts(plan, chip), plan.chips_used
    if chips > 4:
        return
    possible = [
        ends for ends in itertools.combinations(range(1, len(plan)), chips - 1)
        if max(np.diff([0, *ends, len(plan)])) <= tiles
    ]  # fmt: skip
    least = min((sum(cost[end] for end in ends) for ends in possible), default=0.0)
    found = crossing_bits(with_few_crossings(plan, chip), chip)
    assert found <= least * (1 + 1e-12)
    if chips == 2:
        assert found == pytest.approx(least)


def test_a_layer_that_fits_a_chip_is_not_torn() -> None:
    """Tiles of 4 x 4, six a chip; a takes 4 tiles, b two rows of one, c two tiles.

    In order c is alone on the second chip and reads all of b's outputs for 9 vectors from the first, 72
    values. With b there too, each of its rows reads a's 12 values from the first.
    """
    chip = chip_of(6)
    layers = [LayerShape("a", 4, 16), LayerShape("b", 8, 4, 3), LayerShape("c", 4, 8, 9)]
    before, after = in_order(layers, chip), map_layers(layers, chip)
    assert crossing_bits(before, chip) == 72 * chip.output_bits
    assert crossing_bits(after, chip) == 2 * 12 * chip.output_bits
    assert [block.tile.chip for block in after.blocks] == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("model", ["resnet18", "bert-base"])
def test_models_of_the_zoo_cross_less(model: str) -> None:
    chip = load_chip("hermes-64")
    before = cost_of(in_order(list(zoo_layers(model)), chip), chip)
    after = cost_of(map_layers(zoo_layers(model), chip), chip)
    assert after.crossing_bits < before.crossing_bits
