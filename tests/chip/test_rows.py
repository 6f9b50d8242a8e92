"""Rows handed on as they are ready: against a graph of all rows, and against figures made without this code.

An outside review recomputed latencies with rows handed on and traffic ignored (hermes-64): ResNet-9 167 us,
ResNet-18 1,773 us, ``replicated`` 164 us, ResNet-50 ``replicated`` 363 us, VGG-16 ``replicated`` 771 us.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import OUTSIDE, Chip, Convolution, Join, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import Cost, cost_of
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Adc, Crossbar, Dac, Grid, Links
from crossgrid.chip.plan.way import Pace, longest_way, needed_rows
from crossgrid.emulator.shapes.zoo import zoo_layers


def exact(value: float) -> Figure:
    return Figure(value, "given", estimate=False)


#: 45 ns a vector and 8 more for its outputs; links take no time
CHIP = Chip(
    name="small", grid=Grid(4, 4), crossbar=Crossbar(rows=64, columns=64), output_bits=8,
    dac=Dac(bits=8, time_ns=exact(45)), adc=Adc(bits=8, bound=4.0, columns=8, time_ns=exact(1)),
    links=Links(width_bits=1 << 16, clock_ghz=exact(1e9)),
)  # fmt: skip


def conv(name: str, kernel: int, stride: int, size: int, **more: Any) -> LayerShape:
    """A convolution of four channels of ``size`` x ``size`` pixels, its border half of its window."""
    side = (size + 2 * (kernel // 2) - kernel) // stride + 1
    shape = Convolution(4, (kernel, kernel), (stride, stride), (size, size), (side, side))
    return LayerShape(name, 4, 4 * kernel**2, side * side, shape, **more)


def test_two_convolutions_by_hand() -> None:
    """Eight rows of eight vectors, 45 ns each: a row is done every 360 ns, 8 ns after its last vector. The
    second layer's last two rows need the first one's last."""
    layers = [conv("a", 3, 1, 8), conv("b", 3, 1, 8)]
    cost = cost_of(map_layers(layers, CHIP), CHIP)
    assert cost.latency_ns == pytest.approx(8 * 360 + 8 + 2 * 360 + 8)
    assert cost.latency_in_turn_ns == pytest.approx(2 * (64 * 45 + 8))
    assert cost.longest_way == ("a", "b")
    assert sum(cost.latency_by_part.values()) == pytest.approx(cost.latency_ns)


def test_a_slower_reader_sets_the_time() -> None:
    """The second layer makes twice as many rows of the same length: it starts with the first's two rows."""
    layers = [conv("a", 3, 2, 16), conv("b", 3, 1, 8), conv("c", 1, 1, 8)]
    slow = dataclasses.replace(layers[1], reuse=2 * layers[1].reuse)
    cost = cost_of(map_layers([layers[0], slow, layers[2]], CHIP), CHIP)
    assert cost.latency_ns == pytest.approx((2 * 360 + 8) + (8 * 720 + 8) + (360 + 8))


def test_a_matrix_waits_for_the_whole_image_unless_it_is_told() -> None:
    image = conv("a", 1, 1, 8)
    for in_step, expected in ((None, 64 * 45 + 8 + 64 * 45 + 8), (True, 360 + 8 + 64 * 45 + 8)):
        reader = LayerShape("b", 4, 4, 64, in_step=in_step)
        assert cost_of(map_layers([image, reader], CHIP), CHIP).latency_ns == pytest.approx(
            expected, rel=0.01
        )


def test_copies_make_rows_in_order_and_no_row_faster_than_a_vector() -> None:
    """Sixteen copies take half a row each: two rows are made at once, each in the time of a vector."""
    pace = Pace.of(8, 64 / 16 * 45.0, 45.0, 8.0)
    assert pace.each_ns == 45 + 8
    assert 7 * pace.apart_ns + pace.each_ns == pytest.approx(4 * 45 + 8)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(1, 1, 1), (3, 1, 1), (5, 2, 1), (7, 2, 1), (3, 1, 2)]
)
@pytest.mark.parametrize("padded", [True, False])
def test_rows_that_a_window_covers(kernel: int, stride: int, dilation: int, padded: bool) -> None:
    """Pixel by pixel, as a convolution is defined; where taps lie apart, rows between them may count."""
    size, span = 20, (kernel - 1) * dilation + 1
    border = span // 2 if padded else 0
    side = (size + 2 * border - span) // stride + 1
    shape = Convolution(
        1, (kernel, kernel), (stride, stride), (size, size), (side, side), False, (dilation, dilation)
    )
    layer = LayerShape("a", 1, kernel**2, side**2, shape)
    for row, last in enumerate(needed_rows(layer, side, size).tolist()):
        read = [row * stride - border + tap * dilation for tap in range(kernel)]
        exact_last = max(y for y in (*read, 0) if y < size)
        assert exact_last <= last < exact_last + dilation


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_longest_way_is_that_of_all_rows(data: st.DataObject) -> None:
    """Every row a node that is entered and left; edges to the next row and to what it reads and meets."""
    graph, layers, paces = networkx.DiGraph(), [], []
    for k in range(data.draw(st.integers(1, 6))):
        rows = data.draw(st.integers(1, 6))
        pace = Pace(rows, data.draw(st.integers(0, 9)), data.draw(st.integers(1, 20)))
        sources = data.draw(st.sets(st.integers(-1, k - 1), min_size=1, max_size=3))
        joins = data.draw(st.sets(st.integers(-1, k - 1), max_size=2))
        names = {-1: OUTSIDE, **{j: f"l{j}" for j in range(k)}}
        layer = LayerShape(
            f"l{k}", 4, 4, rows, sources=tuple(names[s] for s in sources),
            joins=tuple(Join(names[j], 4) for j in joins), in_step=data.draw(st.sampled_from([None, True])),
        )  # fmt: skip
        layers.append(layer)
        paces.append(pace)
        for row in range(rows):
            graph.add_edge(("in", k, row), ("made", k, row), weight=pace.each_ns)
            graph.add_edge(("made", k, row), ("out", k, row), weight=0)
            if row:
                graph.add_edge(("in", k, row - 1), ("in", k, row), weight=pace.apart_ns)
            for giver, entry, in_step in [
                *((s, "in", layer.in_step) for s in sources), *((j, "out", True) for j in joins)
            ]:  # fmt: skip
                if giver >= 0:
                    given_rows = paces[giver].rows
                    last = -(-(row + 1) * given_rows // rows) - 1 if in_step else given_rows - 1
                    graph.add_edge(("out", giver, last), (entry, k, row), weight=0)
    way = longest_way(map_layers(layers, "ideal"), paces)
    assert way.length == networkx.dag_longest_path_length(graph)
    assert sum(way.times) == pytest.approx(way.length)
    assert len(set(way.layers)) == len(way.layers)


def without_traffic(name: str, strategy: str) -> Cost:
    chip = load_chip("hermes-64")
    wide = dataclasses.replace(
        chip.links, width_bits=1 << 16, clock_ghz=exact(1e6), chip_gbit_per_s=exact(1e12)
    )
    chip = dataclasses.replace(chip, links=wide)
    return cost_of(map_layers(zoo_layers(name), chip, strategy), chip)


@pytest.mark.parametrize(
    ("name", "strategy", "microseconds"),
    [
        ("resnet9", "per-layer", 167), ("resnet18", "per-layer", 1773), ("resnet18", "replicated", 164),
        ("resnet50", "replicated", 363), ("vgg16", "replicated", 771),
    ],
)  # fmt: skip
def test_latencies_of_networks_as_recomputed_outside(name: str, strategy: str, microseconds: float) -> None:
    found = without_traffic(name, strategy).latency_ns / 1e3
    assert found == pytest.approx(microseconds, rel=0.005)


def test_steps_of_a_loop_wait_for_what_joins_them() -> None:
    """A recurrent layer whose gates come all at once, late: its steps follow one by one after them."""
    gates = LayerShape("ih", 4, 4, 10)
    state = LayerShape("hh", 4, 4, 10, sources=("hh",), joins=(Join("ih", 40),))
    cost = cost_of(map_layers([gates, state], CHIP), CHIP)
    step = cost.layers[1].latency_ns / 10
    assert cost.latency_ns == pytest.approx(45 + 8 + 10 * step, rel=0.01)
