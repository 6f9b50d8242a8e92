"""Costs against sums done by hand, and laws that hold for every plan."""

from __future__ import annotations

import dataclasses
import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, Convolution, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of, peak
from crossgrid.chip.cost.events import (
    layer_events,
    measured_events,
    mvm_events,
    mvm_interval_ns,
    mvm_latency_ns,
    training_events,
)
from crossgrid.chip.cost.fabric import Fabric
from crossgrid.chip.cost.parts import area_by_part, energy_by_part, estimates
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.events import Events
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Adc, Crossbar, Dac, Grid, Links, Part, Write
from crossgrid.chip.mapping.floor_plan import bands, hilbert, snake
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


def exact(value: float) -> Figure:
    return Figure(value, "given", estimate=False)


def small_chip() -> Chip:
    """Tiles of 4 x 4 weights, 2 bits a pass of 8, two slices, an ADC a tile; prices for readable sums."""
    return Chip(
        name="small",
        grid=Grid(2, 3),
        crossbar=Crossbar(
            rows=4, columns=8, cells_per_weight=2, bits_per_cell=4, weight_bits=8, sign="offset"
        ),
        dac=Dac(bits=2, input_bits=8, time_ns=exact(10)),
        adc=Adc(bits=6, columns=8, time_ns=exact(1), overlaps=True),
        links=Links(width_bits=8, clock_ghz=exact(2.0)),
        write=Write(time_ns_per_row=exact(100)),
        mvm_overhead_ns=exact(5),
        output_bits=8,
        parts=(
            Part("adc", area_mm2=exact(0.5), event="adc_conversion", energy_pj=exact(3)),
            Part(
                "dac",
                count=4,
                area_mm2=exact(0.1),
                event="dac_conversion",
                power_mw=exact(2),
                time_ns=exact(0.5),
            ),
            Part("array", event="array_pass", energy_pj=exact(7)),
            Part("wires", per="chip", event="hop_bit", energy_pj=exact(0.25)),
            Part("clock", per="chip", area_mm2=exact(2), event="static_ns", power_mw=exact(10)),
            Part("logic", event="busy_ns", power_mw=exact(1)),
        ),
    )


def test_times_of_one_vector() -> None:
    chip = small_chip()
    assert chip.passes == 4
    assert mvm_interval_ns(chip) == 4 * max(10, 8 * 1) + 5  # converting the last pass overlaps
    assert mvm_latency_ns(chip) == 4 * 10 + 5 + 8
    apart = dataclasses.replace(chip, adc=dataclasses.replace(chip.adc, overlaps=False))
    assert mvm_interval_ns(apart) == mvm_latency_ns(apart) == 4 * (10 + 8) + 5


def test_events_of_one_layer_by_hand() -> None:
    """6 x 7 weights, 3 vectors: blocks of 3 x 4, 3 x 3, 3 x 4, 3 x 3."""
    chip = small_chip()
    layer = LayerShape("a", 6, 7, 3)
    (events,) = layer_events(map_layers([layer], chip), chip)
    assert events.mvm == 3 * 4
    assert events.array_pass == 3 * 4 * 4
    assert events.adc_conversion == 3 * (3 + 3 + 3 + 3) * 2 * 4
    assert events.dac_conversion == 3 * (4 + 3 + 4 + 3) * 4
    assert events.add == 3 * (12 * (2 * 4 - 1) + 6)  # shift-and-adds in blocks, one addition a row of blocks
    assert events.activation == 3 * 6
    assert events.buffer_bit == (3 * (14 + 12) + 21) * 8
    assert events.busy_ns == 3 * 4 * 45
    assert events.program_weight == 0


def test_cost_of_one_layer_by_hand() -> None:
    chip = small_chip()
    cost = cost_of(map_layers([LayerShape("a", 6, 7, 3)], chip), chip)
    conversions, driven, passes, busy = 288, 168, 48, 540
    # inputs enter at tile 0/0,0 and go to tiles (0,0) (0,1) (0,2) (1,0), 12, 9, 12, 9 values of 8 bits;
    # partial sums of 9 values go from (0,1) to (0,0) and from (1,0) to (0,2): 1 and 3 links; each has the
    # 6 bits of a conversion, shifted by up to 4 (the upper slice) and 6 (the last pass)
    hop_bits = 8 * (12 * 0 + 9 * 1 + 12 * 2 + 9 * 1) + 16 * 9 * (1 + 3)
    assert cost.hop_bits == hop_bits
    assert cost.energy_by_part == pytest.approx(
        {
            "adc": 3 * conversions,
            "dac": 2 * 0.5 * driven,
            "array": 7 * passes,
            "wires": 0.25 * hop_bits,
            "clock": 10 * cost.interval_ns,
            "logic": busy,
        }
    )
    assert cost.interval_ns == 3 * 45
    assert cost.latency_ns == pytest.approx(3 * 45 + 8 + (2 + 3) / 2)  # to the tiles and between, at 2 GHz
    assert cost.area_mm2 == pytest.approx(6 * (0.5 + 4 * 0.1) + 2)
    assert cost.operations == 2 * 42 * 3
    assert cost.tops == pytest.approx(2 * 42 * 3 / 135 / 1000)
    assert cost.bottleneck == "layer a"


def test_reprogramming_is_paid() -> None:
    chip = small_chip()
    layers = [LayerShape(f"l{k}", 4, 4) for k in range(10)]  # ten tiles, six there are
    plan = map_layers(layers, chip, "time-multiplexed")
    cost = cost_of(plan, chip)
    assert plan.rounds == 2
    assert cost.events.program_weight == 160
    assert cost.latency_by_part["programming"] == 2 * 4 * 100  # rows times rounds
    assert cost.interval_ns == cost.latency_ns
    assert "reprogramming" in cost.bottleneck


def test_copies_divide_the_vectors_and_cost_no_conversion_more() -> None:
    chip = small_chip()
    layer = LayerShape("a", 4, 4, 12)
    one = cost_of(map_layers([layer], chip), chip)
    six = cost_of(map_layers([layer], chip, "replicated", chips=1), chip)
    assert six.interval_ns == one.interval_ns / 6
    assert six.events.adc_conversion == one.events.adc_conversion


def test_blocks_that_share_a_tile_work_one_after_the_other() -> None:
    chip = dataclasses.replace(small_chip(), grid=Grid(1, 1))
    layers = [LayerShape("a", 2, 2, 5), LayerShape("b", 2, 2, 7)]
    cost = cost_of(map_layers(layers, chip, "packed", 1), chip)
    assert cost.interval_ns == (5 + 7) * 45
    assert cost.bottleneck == "tile 0/0,0, shared by several blocks"


def test_training_adds_a_transposed_read_and_pulses() -> None:
    chip = small_chip()
    plan = map_layers([LayerShape("a", 6, 7, 3)], chip)
    events = training_events(plan, chip, pulses_per_weight=2.5)
    assert events.pulse == 2.5 * 42 * 3
    assert events.adc_conversion == 3 * 14 * 2 * 4  # inputs of all blocks
    assert events.dac_conversion == 3 * 12 * 4
    assert events.activation == 0


def test_measured_counts_become_events() -> None:
    chip = small_chip()
    plan = map_layers([LayerShape("a", 4, 4, 1)], chip)
    (one,) = layer_events(plan, chip)
    events = measured_events(plan, chip, vectors=100, pulses=1234, retries=10)
    assert events.pulse == 1234
    assert events.adc_conversion == pytest.approx(110 * one.adc_conversion)
    assert events.activation == pytest.approx(100 * one.activation)  # a repeated read activates nothing
    assert sum(energy_by_part(chip, events, 1).values()) > 100 * sum(energy_by_part(chip, one, 1).values())


def test_events_are_counts() -> None:
    with pytest.raises(ConfigError, match=r"Events.mvm = -1"):
        Events(mvm=-1)
    total = Events(mvm=1, add=2) + Events(add=3) * 2
    assert (total.mvm, total.add) == (1, 8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=5))
def test_energy_is_the_sum_of_its_parts_and_layers(sizes: list[tuple[int, int, int]]) -> None:
    chip = load_chip("demo-128")
    chip = dataclasses.replace(chip, crossbar=Crossbar(rows=8, columns=8))
    layers = [LayerShape(f"l{k}", *size) for k, size in enumerate(sizes)]
    for strategy in ("per-layer", "packed"):
        cost = cost_of(map_layers(layers, chip, strategy), chip)
        assert cost.energy_pj == pytest.approx(sum(cost.energy_by_part.values()))
        assert cost.energy_pj == pytest.approx(
            sum(layer.energy_pj for layer in cost.layers)
        )  # nothing static
        assert cost.latency_ns == pytest.approx(sum(layer.latency_ns for layer in cost.layers))
        assert cost.latency_ns == pytest.approx(sum(cost.latency_by_part.values()))
        assert cost.interval_ns <= cost.latency_ns


@pytest.mark.parametrize("kind", ["mesh", "torus"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3), (5, 6)], ids=str)
def test_distance_is_the_shortest_way_in_the_graph(kind: str, size: tuple[int, int]) -> None:
    rows, columns = size
    graph = networkx.grid_2d_graph(rows, columns, periodic=kind == "torus")
    ways = dict(networkx.all_pairs_shortest_path_length(graph))
    nodes = list(graph)
    a = np.array([one for one in nodes for _ in nodes])
    b = np.array([other for _ in nodes for other in nodes])
    links = Fabric(kind, rows, columns).distance(a[:, 0], a[:, 1], b[:, 0], b[:, 1])
    assert links.tolist() == [ways[one][other] for one in nodes for other in nodes]


def test_h_tree_distance_is_that_of_a_tree_of_squares() -> None:
    """A leaf's parents are the squares of 2, 4, 8 … tiles that hold it; way up and down through the tree."""
    tree = networkx.Graph()
    for row in range(8):
        for column in range(8):
            for level in range(3):
                tree.add_edge(
                    (level, row >> level, column >> level), (level + 1, row >> level + 1, column >> level + 1)
                )
    ways = networkx.single_source_shortest_path_length(tree, (0, 3, 5))
    rows, columns = (index.ravel() for index in np.indices((8, 8)))
    links = Fabric("h-tree", 8, 8).distance(np.full(64, 3), np.full(64, 5), rows, columns)
    assert links.tolist() == [
        ways[0, row, column] for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


@given(st.integers(1, 20), st.integers(1, 20))
def test_walks_visit_every_tile_once(rows: int, columns: int) -> None:
    for walk in (snake, bands, hilbert):
        assert sorted(walk(rows, columns).tolist()) == list(range(rows * columns))


def test_hilbert_steps_to_neighbours() -> None:
    rows, columns = np.divmod(hilbert(16, 16), 16)
    assert (np.abs(np.diff(rows)) + np.abs(np.diff(columns)) == 1).all()


@pytest.mark.parametrize("model", ["lenet5", "resnet9", "resnet18"])
def test_placement_never_lengthens_traffic(model: str) -> None:
    chip = load_chip("demo-128")
    before = cost_of(map_layers(zoo_layers(model), chip), chip)
    after = cost_of(map_layers(zoo_layers(model), chip, placement="traffic"), chip)
    assert after.hop_bits <= before.hop_bits
    assert after.events.adc_conversion == before.events.adc_conversion


def test_traffic_sends_images_not_patches() -> None:
    """A 3 x 3 convolution over 8 x 8 images: 64 values a channel, not 9 x 64."""
    chip = load_chip("demo-128")
    layers = [
        LayerShape("a", 4, 4, 64, Convolution(4, (1, 1), (1, 1), (8, 8), (8, 8))),
        LayerShape("b", 5, 36, 64, Convolution(4, (3, 3), (1, 1), (8, 8), (8, 8))),
    ]
    loads = traffic_of(map_layers(layers, chip), chip).loads
    assert loads.taken.ravel()[1] == 4 * 64 * chip.output_bits


def test_bits_from_chip_to_chip_are_counted_where_a_model_crosses() -> None:
    chip = dataclasses.replace(small_chip(), grid=Grid(1, 1))
    plan = map_layers([LayerShape("a", 4, 4), LayerShape("b", 4, 4)], chip)
    cost = cost_of(plan, chip)
    assert plan.chips_used == 2
    assert cost.crossing_bits == 4 * 8


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6))
def test_every_value_arrives(widths: list[int]) -> None:
    """Each row of blocks gets a layer's inputs once; each further column sends its outputs on."""
    chip = dataclasses.replace(small_chip(), grid=Grid(40, 40), sum_bits=8)
    layers = [LayerShape(f"l{k}", b, a) for k, (a, b) in enumerate(itertools.pairwise(widths))]
    plan = map_layers(layers, chip)
    loads = traffic_of(plan, chip).loads
    rows = [-(-layer.out // 4) for layer in layers]
    columns = [-(-layer.in_ // 4) for layer in layers]
    activations = [layer.in_ * count for layer, count in zip(layers, rows, strict=True)]
    sums = [layer.out * (count - 1) for layer, count in zip(layers, columns, strict=True)]
    # what comes from outside only arrives
    assert loads.taken.sum() == 8 * (sum(activations) + sum(sums))
    assert loads.sent.sum() == 8 * (sum(activations[1:]) + sum(sums))


def test_mvm_events_add_up_to_a_layer() -> None:
    chip = small_chip()
    (layer,) = layer_events(map_layers([LayerShape("a", 4, 4, 5)], chip), chip)
    block = mvm_events(chip, 4, 4, 5)
    assert (block.mvm, block.adc_conversion, block.add) == (layer.mvm, layer.adc_conversion, layer.add)


def test_an_ideal_chip_costs_nothing_and_says_so() -> None:
    chip = load_chip("ideal")
    cost = cost_of(map_layers(zoo_layers("lenet5"), chip), chip)
    assert (cost.energy_pj, cost.area_mm2, cost.tops_per_w) == (0, 0, 0)
    assert peak(chip).tops == 0


def test_estimates_are_listed_and_sources_are_not() -> None:
    assert estimates(small_chip()) == []
    listed = estimates(load_chip("demo-128"))
    assert any(text.startswith("adc.time_ns = 5") for text in listed)
    assert area_by_part(load_chip("demo-128"), 2)["ADC"] == pytest.approx(2 * 100 * 16 * 1.5e-3)


def test_a_small_block_takes_the_time_of_its_own_rows() -> None:
    """128 rows, 32 at once: 10 inputs are one read of four, 40 are two; what shares a tile takes turns."""
    chip = load_chip("demo-128")
    chip = dataclasses.replace(chip, crossbar=dataclasses.replace(chip.crossbar, rows_at_once=32))
    layers = [LayerShape("a", 20, 10, 100), LayerShape("b", 30, 40, 100), LayerShape("c", 10, 128, 100)]
    one = mvm_interval_ns(chip, 1)
    cost = cost_of(map_layers(layers, chip), chip)
    assert [layer.interval_ns for layer in cost.layers] == pytest.approx([100 * one, 200 * one, 400 * one])
    assert cost.events.busy_ns == pytest.approx(700 * one)
    chip = dataclasses.replace(chip, grid=Grid(1, 2))
    shared = map_layers(layers, chip, "packed", 1)
    assert shared.tiles_used == 2
    work: dict[object, float] = {}
    for block in shared.blocks:
        reads = -(-(block.in_stop - block.in_start) // 32)
        work[block.tile] = work.get(block.tile, 0.0) + 100 * reads * one
    assert cost_of(shared, chip).interval_ns == pytest.approx(max(work.values()))
