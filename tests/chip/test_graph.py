"""Branches: traffic, latency and bottleneck of small networks, by hand."""

from __future__ import annotations

import dataclasses

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import OUTSIDE, Chip, Join, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Adc, Crossbar, Dac, Grid, Links
from crossgrid.chip.plan.file import load_plan, save_plan
from crossgrid.chip.plan.graph import join_numbers, source_numbers
from crossgrid.chip.plan.way import Pace, longest_way
from crossgrid.emulator.shapes.zoo import ZOO, zoo_layers
from crossgrid.kernels.errors import ConfigError


def exact(value: float) -> Figure:
    return Figure(value, "given", estimate=False)


#: tiles of 4 x 4 weights; 45 ns a vector, outputs 8 ns later; a link: 16 bits a ns, half a ns long
CHIP = Chip(
    name="small", grid=Grid(2, 3), crossbar=Crossbar(rows=4, columns=4), output_bits=8,
    dac=Dac(bits=8, time_ns=exact(45)), adc=Adc(bits=8, bound=4.0, columns=8, time_ns=exact(1)),
    links=Links(width_bits=8, clock_ghz=exact(2.0)),
)  # fmt: skip

#: b and c read a; c's outputs are joined by b's (a shortcut), d reads the sum
DIAMOND = [
    LayerShape("a", 4, 4, 3),
    LayerShape("b", 4, 4, 5, sources=("a",)),
    LayerShape("c", 4, 4, 3, sources=("a",), joins=(Join("b", 12),)),
    LayerShape("d", 4, 4, 3, sources=("c",)),
]


def test_a_diamond_takes_its_longer_branch() -> None:
    """Tiles 0/0,0 0/0,1 0/0,2 0/1,0. Links on the longest way to a, b, c, d: 0, 1, 2, 3 of half a ns."""
    cost = cost_of(map_layers(DIAMOND, CHIP), CHIP)
    times = {layer.name: layer.latency_ns for layer in cost.layers}
    assert times == pytest.approx(
        {"a": 3 * 45 + 8, "b": 5 * 45 + 8 + 0.5, "c": 3 * 45 + 8 + 1, "d": 3 * 45 + 8 + 1.5}
    )
    assert cost.longest_way == ("a", "b", "d")
    assert cost.latency_ns == pytest.approx(143 + 233.5 + 144.5)
    assert sum(cost.latency_by_part.values()) == pytest.approx(cost.latency_ns)
    assert cost.interval_ns == 5 * 45
    assert cost.bottleneck == "layer b"


def test_values_of_a_diamond_go_where_they_are_read() -> None:
    """8 bits a value: a to b 20 values over 1 link, a to c 12 over 2, b to c 12 over 1, c to d 12 over 3."""
    traffic = traffic_of(map_layers(DIAMOND, CHIP), CHIP)
    assert traffic.hop_bits.tolist() == [0, 8 * 20, 8 * (12 * 2 + 12), 8 * 12 * 3]
    assert traffic.loads.taken.ravel().tolist() == [8 * 12, 8 * 20, 8 * (12 + 12), 8 * 12, 0, 0]
    assert traffic.loads.sent.ravel().tolist() == [8 * (20 + 12), 8 * 12, 8 * 12, 0, 0, 0]
    chain = traffic_of(map_layers([LayerShape(s.name, 4, 4, s.reuse) for s in DIAMOND], CHIP), CHIP)
    assert chain.hop_bits.tolist() == [0, 8 * 20, 8 * 12, 8 * 12 * 3]


def test_a_slow_link_makes_the_join_the_bottleneck() -> None:
    """Values so many that c's tile needs longer to take both its inputs and what joins than b to compute."""
    layers = [*DIAMOND[:2], LayerShape("c", 4, 4, 3, sources=("a",), joins=(Join("b", 1000),))]
    cost = cost_of(map_layers(layers, CHIP), CHIP)
    assert cost.interval_ns == pytest.approx(8 * (12 + 1000) / 16)
    assert cost.bottleneck == "layer c"


def test_inputs_and_shortcuts_from_outside() -> None:
    layers = [
        LayerShape("a", 4, 4),
        LayerShape("b", 4, 4, sources=(OUTSIDE,), joins=(Join(OUTSIDE, 4), Join("a", 4))),
    ]
    plan = map_layers(layers, CHIP)
    assert source_numbers(plan.layers) == [(-1,), (-1,)]
    assert join_numbers(plan.layers) == [(), ((-1, 4), (0, 4))]
    # from outside by tile 0/0,0: one link to b's tile, as from a's
    assert traffic_of(plan, CHIP).hop_bits.tolist() == [0, 8 * (4 + 4 + 4)]
    assert cost_of(plan, CHIP).longest_way == ("b",)


def test_a_loop_is_run_through_once() -> None:
    """b reads a and, later, itself and c: the loop's values travel, nobody waits for a later layer."""
    layers = [
        LayerShape("a", 4, 4), LayerShape("b", 4, 4, 3, sources=("a", "b", "c")), LayerShape("c", 4, 4),
    ]  # fmt: skip
    plan = map_layers(layers, CHIP)
    assert cost_of(plan, CHIP).longest_way == ("a", "b", "c")
    assert traffic_of(plan, CHIP).hop_bits[1] == 8 * (4 + 0 + 4)  # an equal part of 12 values from each


def test_branches_that_share_a_tile_take_turns() -> None:
    layers = [LayerShape(name, 2, 2, sources=(OUTSIDE,)) for name in "abc"]
    one = dataclasses.replace(CHIP, grid=Grid(1, 1))
    together = cost_of(map_layers(layers, one, "packed", 1), one)
    apart = cost_of(map_layers(layers, CHIP), CHIP)
    assert together.latency_ns == pytest.approx(3 * (45 + 8))
    assert apart.latency_ns == pytest.approx(45 + 8 + 1)  # two links to the third tile


def test_rounds_wait_for_each_other() -> None:
    layers = [LayerShape(f"l{k}", 4, 4, sources=(OUTSIDE,)) for k in range(8)]
    plan = map_layers(layers, CHIP, "time-multiplexed")
    way = longest_way(plan, [Pace(1, 0.0, each) for each in (9.0, 1, 1, 1, 1, 1, 3, 2)])
    assert (way.length, way.layers) == (12, (0, 6))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_longest_way_is_that_of_the_graph(data: st.DataObject) -> None:
    """Against networkx, on random graphs: every layer a node that is entered and left, every wait an edge."""
    count = data.draw(st.integers(1, 9))
    latency = np.array(data.draw(st.lists(st.integers(0, 20), min_size=count, max_size=count)), float)
    graph, layers = networkx.DiGraph(), []
    for k in range(count):
        sources = data.draw(st.sets(st.integers(-1, k - 1), min_size=1, max_size=3))
        joins = data.draw(st.sets(st.integers(-1, k - 1), max_size=2))
        names = {-1: OUTSIDE, **{j: f"l{j}" for j in range(k)}}
        layers.append(
            LayerShape(f"l{k}", 4, 4, sources=tuple(names[s] for s in sources),
                       joins=tuple(Join(names[j], 4) for j in joins))
        )  # fmt: skip
        graph.add_edge(("in", k), ("out", k), weight=latency[k])
        graph.add_edges_from([(("out", s), ("in", k)) for s in sources if s >= 0], weight=0)
        graph.add_edges_from([(("out", j), ("out", k)) for j in joins if j >= 0], weight=0)
    way = longest_way(map_layers(layers, CHIP), [Pace(1, 0.0, each) for each in latency])
    assert way.length == networkx.dag_longest_path_length(graph)
    assert way.length == latency[list(way.layers)].sum()


@pytest.mark.parametrize("model", sorted(set(ZOO) - {"llama-2-70b"}))
def test_the_zoo_s_branches_shorten_no_layer_and_lengthen_no_way(model: str) -> None:
    cost = cost_of(map_layers(zoo_layers(model), "hermes-64"), load_chip("hermes-64"))
    alone = sum(layer.latency_ns for layer in cost.layers)
    branched = model in ("resnet9", "resnet18", "resnet50", "bert-base", "llama-2-7b", "mixtral-8x7b")
    assert (cost.latency_in_turn_ns < alone * (1 - 1e-9)) == branched
    assert cost.latency_in_turn_ns <= alone * (1 + 1e-9)
    at_once = all(layer.reuse == 1 for layer in zoo_layers(model))  # one token has no rows to hand on
    assert (cost.latency_ns < cost.latency_in_turn_ns * (1 - 1e-9)) == (not at_once)


def test_names_must_be_layers() -> None:
    with pytest.raises(ConfigError, match="unknown source of layer 'b' 'aa': did you mean 'a'"):
        map_layers([LayerShape("a", 1, 1), LayerShape("b", 1, 1, sources=("aa",))], CHIP)
    with pytest.raises(ConfigError, match="layer 'a' reads nothing"):
        map_layers([LayerShape("a", 1, 1, sources=())], CHIP)


def test_branches_are_saved(tmp_path) -> None:
    plan = map_layers(DIAMOND, CHIP)
    save_plan(plan, tmp_path / "plan")
    assert load_plan(tmp_path / "plan") == plan
