"""Strategy "replicated": its plan is the fastest of several that do not depend on how fast parts are.

Were one of them chosen by a rule that looks at times, slower parts could lead to the better choice, and a
chip of faster parts would be the slower one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, Convolution, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of, interval_of
from crossgrid.chip.mapping.balance import Work, balance, candidates
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


def scaled(chip: Chip, owner: str, key: str, factor: float) -> Chip:
    part: Any = getattr(chip, owner)
    figure = getattr(part, key)
    changed = figure.__class__(figure.value * factor, "given", False, figure.at_bits)
    return dataclasses.replace(chip, **{owner: dataclasses.replace(part, **{key: changed})})


#: what makes a chip slower: a field of times that is raised, or of rates that is lowered
SLOWER = (
    ("dac", "time_ns", 2.0), ("adc", "time_ns", 2.0), ("dac", "time_ns", 7.0), ("links", "clock_ghz", 0.5),
    ("links", "clock_ghz", 0.1), ("links", "chip_gbit_per_s", 0.5),
)  # fmt: skip


@pytest.mark.parametrize("name", ["hermes-64", pytest.param("isaac", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("owner", "key", "factor"), SLOWER)
def test_slower_parts_never_make_a_network_faster(name: str, owner: str, key: str, factor: float) -> None:
    chip, layers = load_chip(name), zoo_layers("resnet9")
    slow = scaled(chip, owner, key, factor)
    fast_ns, slow_ns = (
        cost_of(map_layers(layers, each, "replicated", chips=2), each).interval_ns for each in (chip, slow)
    )
    assert fast_ns <= slow_ns * (1.0 + 1e-9)


@st.composite
def networks(draw: st.DrawFn) -> list[LayerShape]:
    layers = []
    for k in range(draw(st.integers(2, 6))):
        side, channels = draw(st.sampled_from([2, 5, 8])), draw(st.integers(1, 20))
        image = Convolution(channels, (3, 3), (1, 1), (side, side), (side, side))
        layers.append(LayerShape(f"l{k}", draw(st.integers(1, 90)), channels * 9, side * side, image))
    return layers


@given(networks(), st.sampled_from(sorted(STRATEGIES)), st.sampled_from(SLOWER), st.sampled_from([1, 8, 64]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_of_any_network_and_strategy(
    layers: list[LayerShape], strategy: str, slower: tuple[str, str, float], width: int
) -> None:
    chip = load_chip("demo-128")
    chip = dataclasses.replace(
        chip, grid=dataclasses.replace(chip.grid, rows=5, columns=5),
        crossbar=dataclasses.replace(chip.crossbar, rows=32, columns=64),
        links=dataclasses.replace(chip.links, width_bits=width),
    )  # fmt: skip
    intervals = []
    for each in (chip, scaled(chip, *slower)):
        plan = map_layers(layers, each, strategy, chips=6)
        intervals.append(cost_of(plan, each).interval_ns)
    assert intervals[0] <= intervals[1] * (1.0 + 1e-9)


def test_the_plan_is_the_fastest_of_its_candidates() -> None:
    """Tiles of a chip whose links are slow: what is best for reads alone is not best."""
    chip = scaled(load_chip("hermes-64"), "links", "clock_ghz", 0.05)
    layers = zoo_layers("resnet9")
    best = map_layers(layers, chip, "replicated", chips=2)
    names = [layer.name for layer in layers]
    by_reads = balance(
        map_layers(layers, chip).layer_tiles.tolist(), [layer.reuse for layer in layers], [2 * chip.tiles]
    )
    given_copies = map_layers(
        layers, chip, "replicated", chips=2, copies=dict(zip(names, by_reads, strict=True))
    )
    assert interval_of(best, chip) < interval_of(given_copies, chip)
    assert interval_of(best, chip) == cost_of(best, chip).interval_ns


def test_copies_that_are_given_are_taken() -> None:
    layers = zoo_layers("lenet5")
    plan = map_layers(layers, "demo-128", "replicated", copies={"conv1": 5, "conv2": 2})
    assert plan.copies.tolist() == [5, 2, 1, 1]
    cost = cost_of(plan, load_chip("demo-128"))
    assert cost.layers[0].interval_ns == pytest.approx(-(-576 // 5) * 63, rel=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "per-layer", "copies": {"conv1": 2}}, "copies are of strategy 'replicated'"),
        ({"copies": {"conv7": 2}}, "unknown layer of copies 'conv7': did you mean 'conv"),
        ({"copies": {"conv1": 0}}, "copies of layer 'conv1' = 0: it has 576 vectors"),
        ({"copies": {"conv1": 577}}, "give an integer from 1 to 576"),
        ({"copies": {"conv1": True}}, "copies of layer 'conv1' = True"),
        ({"copies": {"conv1": 2.0}}, "copies of layer 'conv1' = 2.0"),
        ({"copies": {"conv1": 500}, "chips": 1}, "chips would do"),
        ({"batch": 2}, "batch = 2: strategy 'replicated' programs its tiles once"),
        ({"batch": 0, "strategy": "time-multiplexed"}, "batch = 0 must be an integer from 1"),
        ({"batch": 2.5, "strategy": "time-multiplexed"}, "batch = 2.5 must be an integer"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    arguments = {"strategy": "replicated", **options}
    with pytest.raises(ConfigError, match=words):
        map_layers(zoo_layers("lenet5"), "demo-128", **arguments)


def test_candidates_follow_from_counts_alone() -> None:
    """Two layers of one tile, 40 and 20 vectors; b's values pass a port 70 at a time, a's 6."""
    found = candidates([1, 1], [40, 20], [8], [Work(1.0, 6.0), Work(1.0, 70.0)])
    assert found[0] == balance([1, 1], [40, 20], [8])
    assert [2, 6] in found or [1, 7] in found
