"""Every link's load against a router of networkx's that sends each message on its own way."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, Join, LayerShape, MappingPlan, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.events import mvm_latency_ns
from crossgrid.chip.cost.messages import messages_of
from crossgrid.chip.cost.network import Network
from crossgrid.chip.cost.parts import energy_by_part
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Crossbar, Grid, Links
from crossgrid.chip.mapping.balance import candidates, work_of_vectors
from crossgrid.chip.mapping.strategies import cut_layers
from crossgrid.chip.plan.graph import serial_steps
from crossgrid.emulator.shapes.zoo import zoo_layers

Loads = dict[Any, float]


def chip_of(kind: str, rows: int, columns: int, multicast: bool = False, chips: str = "mesh") -> Chip:
    links = Links(kind=kind, width_bits=8, multicast=multicast, chips=chips)
    crossbar = Crossbar(rows=6, columns=6)
    return dataclasses.replace(
        load_chip("demo-128"), grid=Grid(rows, columns), crossbar=crossbar, links=links
    )


def directed_way(kind: str, size: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> list[Any]:
    """The directed links from a to b: the shortest way that first keeps to its row, or up and down a tree."""
    rows, columns = size
    if kind == "h-tree":
        tree = networkx.Graph()
        levels = (max(size) - 1).bit_length()
        for row in range(rows):
            for column in range(columns):
                for level in range(levels):
                    tree.add_edge(
                        (level, row >> level, column >> level),
                        (level + 1, row >> level + 1, column >> level + 1),
                    )
        way = networkx.shortest_path(tree, (0, *a), (0, *b)) if a != b else []
        return list(itertools.pairwise(way))
    links: list[Any] = []
    for graph, start, end, node in (
        (networkx.path_graph(columns), a[1], b[1], lambda k: (a[0], k)),
        (networkx.path_graph(rows), a[0], b[0], lambda k: (k, b[1])),
    ):
        if kind == "torus" and len(graph) > 2:
            graph.add_edge(0, len(graph) - 1)
        way = networkx.shortest_path(graph, start, end)
        links += [(node(p), node(q)) for p, q in itertools.pairwise(way)]
    return links


def routed(plan: MappingPlan, chip: Chip) -> tuple[Loads, Loads]:
    """Bits over each directed link between tiles and between chips, message by message."""
    size, network = (chip.grid.rows, chip.grid.columns), Network(chip, plan.chips)
    inner: Loads = defaultdict(float)
    outer: Loads = defaultdict(float)
    for _, messages in messages_of(plan, chip):
        for m, bits in enumerate(messages.bits.tolist()):
            once: dict[Any, Loads] = {}
            for row in messages.target:
                target = plan.address(int(plan.table["tile"][row[messages.column[m]]]))
                b = (target.row, target.column)
                legs = [(target.chip, (0, 0), b)]
                hops: list[Any] = []
                if messages.source is not None:
                    source = plan.address(int(plan.table["tile"][messages.source[m]]))
                    legs = [(source.chip, (source.row, source.column), b)]
                    if source.chip != target.chip:
                        legs = [(source.chip, (source.row, source.column), (0, 0)), (target.chip, (0, 0), b)]
                        places = [
                            tuple(int(part[0]) for part in network.place_of_chip(np.array([number])))
                            for number in (source.chip, target.chip)
                        ]
                        between = (network.between.rows, network.between.columns)
                        hops = directed_way("mesh", between, places[0], places[1])  # type: ignore[arg-type]
                links = [(c, *link) for c, p, q in legs for link in directed_way(chip.links.kind, size, p, q)]
                for sums, passed in ((inner, links), (outer, hops)):
                    for link in passed:
                        if chip.links.multicast and link in once:
                            continue
                        once[link] = sums
                        sums[link] += bits
    return inner, outer


@st.composite
def networks(draw: st.DrawFn) -> list[LayerShape]:
    """A few layers, each reading one or two of those before it."""
    layers: list[LayerShape] = []
    for k in range(draw(st.integers(1, 4))):
        size = [draw(st.integers(1, 14)) for _ in range(3)]
        before = ["", *(layer.name for layer in layers)]
        sources = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        layers.append(LayerShape(f"l{k}", *size, sources=tuple(sources)))
    return layers


@pytest.mark.parametrize("multicast", [False, True], ids=["unicast", "multicast"])
@pytest.mark.parametrize("kind", ["mesh", "torus", "h-tree"])
@settings(max_examples=15, deadline=None)
@given(layers=networks(), size=st.tuples(st.integers(1, 3), st.integers(1, 5)))
def test_every_link_carries_what_an_independent_router_sends(
    kind: str, multicast: bool, layers: list[LayerShape], size: tuple[int, int]
) -> None:
    if kind == "torus":  # with an even side both ways around are shortest
        size = (size[0] | 1, size[1] | 1)
    chip = chip_of(kind, *size, multicast)
    plan = map_layers(layers, chip)
    traffic = traffic_of(plan, chip)
    inner, outer = routed(plan, chip)
    assert traffic.hop_bits.sum() == sum(inner.values())
    assert traffic.crossing_bits.sum() == sum(outer.values())
    loads = traffic.loads.links
    assert sorted(loads[loads > 0].tolist()) == sorted(inner.values())
    crossings = traffic.loads.crossings
    assert sorted(crossings[crossings > 0].tolist()) == sorted(outer.values())


@settings(max_examples=20, deadline=None)
@given(layers=networks())
def test_links_are_where_the_router_has_them(layers: list[LayerShape]) -> None:
    chip = chip_of("mesh", 4, 5)
    plan = map_layers(layers, chip)
    traffic = traffic_of(plan, chip)
    inner, _ = routed(plan, chip)
    step = {"east": (0, 1), "west": (0, -1), "south": (1, 0), "north": (-1, 0)}
    for (number, link), bits in np.ndenumerate(traffic.loads.links):
        row, column, way = traffic.network.tiles.link_name(link)
        other = (row + step[way][0], column + step[way][1])
        assert bits == inner.get((number, (row, column), other), 0)


def test_the_fullest_link_bounds_the_interval() -> None:
    """One tile feeds six rows of blocks: 64 values of 8 bits to each, all by the link to its neighbour.

    A tile in a corner of a line of seven has one link: 6 x 64 x 8 bits over 8 bits a ns are 384 ns, where
    computing takes 63 ns; a tree carries them once.
    """
    layers = [LayerShape("a", 6, 6), LayerShape("b", 36, 6, convolution=None, sources=("a",))]
    layers = [dataclasses.replace(layer, reuse=1) for layer in layers]
    for multicast, factor in ((False, 6), (True, 1)):
        chip = chip_of("mesh", 1, 7, multicast)
        chip = dataclasses.replace(chip, output_bits=512)
        cost = cost_of(map_layers(layers, chip), chip)
        assert cost.interval_ns == factor * 6 * 512 / 8
    assert traffic_of(map_layers(layers, chip), chip).loads.sent.max() == 6 * 512


def test_a_chain_of_chips_has_hops() -> None:
    """Four chips of one tile; l3 reads l0: on a 2 x 2 mesh walked to and fro chip 3 is chip 0's neighbour,
    on a ring too, through a star every way has two links."""
    layers = [
        LayerShape("l0", 4, 4), LayerShape("l1", 4, 4), LayerShape("l2", 4, 4),
        LayerShape("l3", 4, 4, sources=("l0",)),
    ]  # fmt: skip
    bits = 4 * 8
    for kind, hops in (("mesh", 1 + 1 + 1), ("ring", 3), ("star", 6)):
        chip = chip_of("mesh", 1, 1, chips=kind)
        chip = dataclasses.replace(chip, output_bits=8)
        assert cost_of(map_layers(layers, chip), chip).crossing_bits == hops * bits


def test_a_slow_link_between_chips_bounds_the_interval_and_is_named() -> None:
    links = Links(width_bits=64, chip_gbit_per_s=Figure(0.5, "given", estimate=False))
    chip = dataclasses.replace(chip_of("mesh", 1, 1), links=links, output_bits=8)
    cost = cost_of(map_layers([LayerShape("a", 6, 6), LayerShape("b", 6, 6)], chip), chip)
    assert cost.interval_ns == 6 * 8 / 0.5
    inputs = cost_of(map_layers([LayerShape("a", 1, 6)], chip), chip)
    assert inputs.interval_ns == 6 * 8 / 0.5  # from outside too


def test_copies_make_their_share_and_send_it_themselves() -> None:
    """Two copies of the giver, one of the reader: half of the values comes from each."""
    chip = chip_of("mesh", 1, 3)
    layers = [LayerShape("a", 6, 6, 8), LayerShape("b", 6, 6, 1)]
    plan = map_layers(layers, chip, "replicated", chips=1)
    assert plan.copies.tolist() == [2, 1]
    sent = traffic_of(plan, chip).loads.sent.ravel()
    assert sent.tolist() == [3 * chip.output_bits, 3 * chip.output_bits, 0]


def recurrent(steps: int, sizes: tuple[int, int] = (6, 6)) -> list[LayerShape]:
    """A matrix for inputs and one for states, which reads itself."""
    return [
        LayerShape("ih", *sizes, steps),
        LayerShape("hh", *sizes, steps, sources=("hh",), joins=(Join("ih", sizes[0] * steps),)),
    ]


def test_steps_of_a_loop_wait_for_each_other_and_are_not_copied() -> None:
    """35 steps of at least one vector's latency each, however many tiles are free."""
    chip = chip_of("mesh", 6, 6)
    assert serial_steps(recurrent(35)) == [1, 35]
    plan = map_layers(recurrent(35), chip, "replicated", chips=2)
    assert plan.copies[1] == 1
    hh = cost_of(plan, chip).layers[1]
    assert hh.latency_ns >= 35 * mvm_latency_ns(chip)
    assert cost_of(plan, chip).interval_ns == hh.interval_ns == hh.latency_ns


def test_a_layer_used_again_shares_the_vectors_of_one_use() -> None:
    """A block of two layers that is passed through four times with eight vectors each."""
    again = [
        LayerShape("a", 6, 6, 32, sources=("", "b"), steps=4),
        LayerShape("b", 6, 6, 32, sources=("a",), steps=4),
        LayerShape("c", 6, 6, 32, sources=("b",)),
    ]
    assert serial_steps(again) == [4, 4, 1]
    plan = map_layers(again, chip_of("mesh", 10, 10), "replicated", chips=1)
    assert plan.copies.tolist() == [8, 8, 8]  # then every use takes one vector, and c no longer than b


def test_the_way_of_a_state_counts_in_every_step() -> None:
    """hh in two columns of blocks: partial sums pass a link in each of ten steps, not once."""
    chip = chip_of("mesh", 1, 8)
    few, many = (cost_of(map_layers(recurrent(n, (6, 12)), chip), chip).layers[1].latency_ns for n in (2, 20))
    assert many == pytest.approx(10 * few)


def test_copies_go_to_whatever_is_slowest_by_its_ports() -> None:
    """b's partial sums come from twelve blocks in pairs: to the first four times, of 1, 2, 4 and 4 blocks,
    into one port, with an input a vector; a tile reads 63 ns, a value of 8 to 11 bits takes as many."""
    chip = dataclasses.replace(chip_of("mesh", 8, 8), output_bits=8)
    slow = dataclasses.replace(chip, links=dataclasses.replace(chip.links, width_bits=1))
    layers = [LayerShape("a", 6, 6, 40), LayerShape("b", 6, 72, 20, sources=("",))]
    tables = cut_layers(layers, slow)
    works = work_of_vectors(layers, tables, [slow] * len(layers))
    assert works[1] == (1, 6 * 4 + 6)
    tiles = [len(table["layer"]) for table in tables]
    assert [3, 5] in candidates(
        tiles, [40, 20], [64], works
    )  # 14 x 63 ns against 4 x 294 ns; one tile is left
    assert map_layers(layers, chip, "replicated", chips=1).copies[0] > 1
    plan, by_ports = (
        map_layers(layers, slow, "replicated", chips=1, copies=copies) for copies in (None, {"a": 3, "b": 5})
    )
    assert cost_of(plan, slow).interval_ns <= cost_of(by_ports, slow).interval_ns


@pytest.mark.parametrize("model", ["vgg8", "resnet18", "resnet50"])
def test_placement_never_costs_more_on_links_and_crossings(model: str) -> None:
    chip = load_chip("hermes-64")

    def energy(placement: str) -> float:
        traffic = traffic_of(map_layers(zoo_layers(model), chip, placement=placement), chip)
        sums = Events(hop_bit=traffic.hop_bits.sum(), crossing_bit=traffic.crossing_bits.sum())
        return sum(energy_by_part(chip, sums, 1).values())

    assert energy("traffic") <= energy("row-major")


def test_full_links_of_transformers_bound_their_interval() -> None:
    """An outside router's figures: 12.16 and 176 us, where tiles alone would take 0.42 and 53 and partial
    sums of 8 bits all go to one tile. Along a tree, and with all their bits, they take up to 7 % less."""
    tree = load_chip("hermes-64")
    star = dataclasses.replace(tree, links=dataclasses.replace(tree.links, sums="star"), sum_bits=8)
    for model, interval_us in (("gpt2", 12.16), ("bert-base", 176.1)):
        cost = cost_of(map_layers(zoo_layers(model), star), star)
        assert cost.interval_ns / 1e3 == pytest.approx(interval_us, rel=1e-3)
        relieved = cost_of(map_layers(zoo_layers(model), tree), tree)
        assert 0.93 * cost.interval_ns < relieved.interval_ns < cost.interval_ns
        assert cost.bottleneck.startswith("link ")


def test_more_chips_make_a_replicated_network_faster() -> None:
    """An architect found 24 chips no faster than 16: all copies' traffic met at one chip's link."""
    chip, layers = load_chip("hermes-64"), zoo_layers("resnet18")
    intervals = [
        cost_of(map_layers(layers, chip, "replicated", chips=n), chip).interval_ns for n in (4, 8, 16, 24)
    ]
    assert intervals == sorted(intervals, reverse=True)
    assert intervals[-1] < 0.9 * intervals[-2]
