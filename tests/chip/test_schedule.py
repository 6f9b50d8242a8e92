"""A schedule, row by row: beside the closed form where both hold, beside a slow reading of its own rules, by
hand.

Where every layer has tiles to itself, links take no time and buffers have no end, one input takes the longest
way through all rows, which is the closed form's latency; and as each layer takes ``busy`` of every input, the
n-th output is no earlier than n times the slowest layer's, and no later than that after the first one's
latency.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_twin import Twin

from crossgrid.chip import Chip, Convolution, Join, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.parsing import Figure
from crossgrid.chip.description.spec import Adc, Crossbar, Dac, Grid, Links, Write
from crossgrid.chip.plan.plan import MappingPlan
from crossgrid.chip.schedule.events import new_state, run
from crossgrid.chip.schedule.links import followed_links
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.chip.schedule.work import edges_of, room_of, tiles_of, work_of
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


def exact(value: float) -> Figure:
    return Figure(value, "given", estimate=False)


#: 45 ns a vector and 8 more for its outputs; links take no time
CHIP = Chip(
    name="small", grid=Grid(4, 8), crossbar=Crossbar(rows=64, columns=64), output_bits=8,
    dac=Dac(bits=8, time_ns=exact(45)), adc=Adc(bits=8, bound=4.0, columns=8, time_ns=exact(1)),
    links=Links(width_bits=1 << 16, clock_ghz=exact(1e9)), write=Write(time_ns_per_row=exact(100)),
)  # fmt: skip
#: one such tile, which all layers share
ONE_TILE = dataclasses.replace(CHIP, grid=Grid(1, 1))
#: the same with links that take as long as the tiles
SLOW = dataclasses.replace(CHIP, links=Links(width_bits=8, clock_ghz=exact(0.05)))


def conv(name: str, kernel: int, size: int, **more: Any) -> LayerShape:
    """A convolution of four channels of ``size`` x ``size`` pixels that keeps the size."""
    shape = Convolution(4, (kernel, kernel), (1, 1), (size, size), (size, size))
    return LayerShape(name, 4, 4 * kernel**2, size * size, shape, **more)


@st.composite
def networks(draw: st.DrawFn) -> list[LayerShape]:
    """Some layers that read earlier ones, as images or sequences, some of them joined by others, some in a
    loop."""
    layers: list[LayerShape] = []
    for k in range(draw(st.integers(1, 5))):
        sources = draw(st.lists(st.integers(-1, k - 1), min_size=1, max_size=2, unique=True))
        names = ["" if j < 0 else layers[j].name for j in sources]
        joins = tuple(Join(layers[j].name, 16) for j in sources[1:] if j >= 0 and draw(st.booleans()))
        if draw(st.booleans()):
            layers.append(
                conv(f"l{k}", draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 6)), sources=tuple(names))
            )
            continue
        if draw(st.integers(0, 3)) == 0:
            names.append(f"l{k}")  # its own state
        in_step = draw(st.sampled_from([None, True]))
        reuse = draw(st.integers(1, 7))
        layers.append(
            LayerShape(f"l{k}", 4, 8, reuse, sources=tuple(names), joins=joins, in_step=in_step)
        )  # fmt: skip
    return layers


@given(networks(), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_without_anything_in_the_way_it_is_the_closed_form(layers: list[LayerShape], inputs: int) -> None:
    plan = map_layers(layers, CHIP)
    cost, found = cost_of(plan, CHIP), schedule(plan, CHIP, inputs)
    assert found.latency_ns == pytest.approx(cost.latency_ns, rel=1e-6)
    n = np.arange(inputs)
    assert (found.finished_ns <= cost.latency_ns + n * cost.interval_ns * (1 + 1e-6) + 1e-3).all()
    # a loop's next input begins while the last step's outputs are on their way: sooner than the closed form
    # says
    if not any(layer.bound == "loop" for layer in cost.layers):
        assert (found.finished_ns >= (n + 1) * cost.interval_ns * (1 - 1e-6)).all()
        assert inputs == 1 or found.interval_ns == pytest.approx(cost.interval_ns, rel=1e-6)
    assert found.stalls_ns["links"] < 1e-3
    assert found.stalls_ns["tiles"] == found.stalls_ns["room"] == 0.0


def both(plan: MappingPlan, chip: Chip, inputs: int, every: float, room: float | None, batch: int) -> None:
    """The event loop and its twin on the same work, equal to the last bit."""
    traffic = traffic_of(plan, chip)
    links, tiles, edges = followed_links(plan, chip, traffic), tiles_of(plan, chip), edges_of(plan, chip)
    work = work_of(
        plan, chip, traffic, links, tiles, edges, room_of(plan, tiles, edges, room), inputs, every
    )._replace(batch=batch)
    state = new_state(work, len(links.names))
    run(work, state)
    twin = Twin(work, len(links.names)).run()
    assert state.out.tolist() == [len(out) for out in twin.out]
    begin_NR = state.begin_ns.reshape(inputs, -1)
    for k in range(len(plan.layers)):
        rows = slice(work.base[k], work.base[k] + work.rows[k])
        mine = begin_NR[:, rows].ravel()
        assert mine[~np.isnan(mine)].tolist() == twin.begin[work.part_main[k]]
    np.testing.assert_allclose(state.peak, twin.peak, rtol=1e-9, atol=1e-9)


@given(
    networks(), st.sampled_from(["per-layer", "packed", "time-multiplexed", "replicated"]),
    st.sampled_from([CHIP, SLOW]), st.integers(1, 3), st.sampled_from([0.0, 700.0]),
    st.sampled_from([None, 200.0, 60.0]), st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_events_follow_their_rules(
    layers: list[LayerShape],
    strategy: str,
    chip: Chip,
    inputs: int,
    every: float,
    room: float | None,
    batch: int,
) -> None:
    """Tiles that layers share, links that fill, buffers with an end (also too small ones), rounds and
    batches."""
    if strategy in ("time-multiplexed", "packed"):
        chip = dataclasses.replace(chip, grid=Grid(1, 2))
    plan = map_layers(layers, chip, strategy, 1)
    both(plan, chip, inputs, every, room, batch)


def without_traffic(name: str, strategy: str) -> tuple[MappingPlan, Chip]:
    chip = load_chip("hermes-64")
    wide = dataclasses.replace(
        chip.links, width_bits=1 << 16, clock_ghz=exact(1e6), chip_gbit_per_s=exact(1e12)
    )
    chip = dataclasses.replace(chip, links=wide)
    return map_layers(zoo_layers(name), chip, strategy), chip


@pytest.mark.parametrize(
    ("name", "strategy", "microseconds"),
    [("resnet9", "per-layer", 167), ("resnet18", "per-layer", 1773), ("resnet18", "replicated", 164)],
)
def test_latencies_as_recomputed_outside(name: str, strategy: str, microseconds: float) -> None:
    plan, chip = without_traffic(name, strategy)
    assert schedule(plan, chip).latency_ns / 1e3 == pytest.approx(microseconds, rel=0.005)


def test_a_loop_of_two_layers_goes_to_and_fro() -> None:
    """The second layer's step t reads the first one's, whose step t + 1 reads the second's: ten times
    both."""
    there = LayerShape("there", 4, 4, 10, sources=("", "back"))
    back = LayerShape("back", 4, 4, 10, sources=("there",))
    plan = map_layers([there, back], CHIP)
    found = schedule(plan, CHIP, 3)
    assert found.latency_ns == pytest.approx(10 * 2 * 53, rel=1e-6)
    # the next input's steps fit between: its first layer works while the second one does
    assert found.finished_ns[2] < 3 * found.latency_ns


def test_layers_that_share_a_tile_take_turns_row_by_row() -> None:
    """Two convolutions of 8 x 8 vectors on one tile: all 128 vectors, of which none can wait for nothing."""
    layers = [conv("a", 1, 8), conv("b", 1, 8)]
    plan = map_layers(layers, ONE_TILE, "packed", 1)
    assert plan.tiles_used == 1
    found = schedule(plan, ONE_TILE, 4)
    assert found.interval_ns == pytest.approx(128 * 45)
    assert found.tile_busy.tolist() == pytest.approx([1.0])
    assert found.latency_ns < cost_of(plan, ONE_TILE).latency_ns * 1.001  # not layer after layer
    assert found.stalls_ns["tiles"] > 0


def test_rounds_wait_for_the_whole_batch_and_for_programming() -> None:
    """Two layers of one tile each, one after the other on the same tile: 64 rows are programmed twice."""
    chip = dataclasses.replace(CHIP, grid=Grid(1, 1))
    layers = [LayerShape("a", 64, 64, 10), LayerShape("b", 64, 64, 10)]
    plan = map_layers(layers, chip, "time-multiplexed", 1)
    assert plan.rounds == 2
    found = schedule(plan, chip, 2)
    one = 2 * (64 * 100 + 10 * 45 + 8)
    assert found.finished_ns.tolist() == pytest.approx([one, 2 * one])
    assert found.programmed_ns.shape == (2, 2)


def test_a_buffer_holds_a_window_and_what_is_made_meanwhile() -> None:
    """A window of three rows of 8 x 4 bytes: three lie there, and one or two more are on their way."""
    layers = [conv("a", 3, 8), conv("b", 3, 8)]
    plan = map_layers(layers, CHIP)
    found = schedule(plan, CHIP, 4)
    assert 3 * 32 <= found.layers[1].buffer_bytes <= 5 * 32
    assert found.tile_buffer_bytes.max() == found.layers[1].buffer_bytes


def test_small_buffers_hold_up_who_fills_them() -> None:
    """A reader that takes twice as long: without an end its buffer grows, with one the writer waits for
    room."""
    slow = dataclasses.replace(conv("b", 3, 8), reuse=128)
    plan = map_layers([conv("a", 3, 8), slow], CHIP)
    free, held = schedule(plan, CHIP, 4), schedule(plan, CHIP, 4, buffer_bytes=5 * 32)
    assert held.layers[1].buffer_bytes <= 5 * 32 < free.layers[1].buffer_bytes
    assert held.stalls_ns["room"] > 0 == free.stalls_ns["room"]
    assert held.interval_ns == pytest.approx(free.interval_ns)  # the reader sets it anyhow


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inputs": 0}, "inputs = 0 must be an integer of at least 1"),
        ({"inputs": 2.5}, "inputs = 2.5"),
        ({"inputs": True}, "inputs = True"),
        ({"inputs": 10**9}, "give fewer inputs"),
        ({"every_ns": -1.0}, "every_ns = -1.0"),
        ({"every_ns": float("nan")}, "every_ns = nan"),
        ({"buffer_bytes": "1 kB"}, "buffer_bytes = '1 kB'"),
        ({"buffer_bytes": 95.0}, "needs 96 bytes of 'a' at once, its tiles have room for 95; give at least"),
        ({"buffer_bytes": 0}, "give more"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_way_out(more: dict[str, Any], words: str) -> None:
    plan = map_layers([conv("a", 3, 8), conv("b", 3, 8)], CHIP)
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        schedule(plan, CHIP, **more)


def test_a_shortcut_that_outgrows_its_buffer_is_named() -> None:
    """What joins waits for a branch that must see the whole image first: with room for half of it nothing
    goes on."""
    layers = [
        conv("a", 1, 8), LayerShape("b", 4, 4, 64, sources=("a",)),
        conv("c", 1, 8, sources=("b",), joins=(Join("a", 256),)),
    ]  # fmt: skip
    plan = map_layers(layers, CHIP)
    schedule(plan, CHIP, 2)
    with pytest.raises(ConfigError, match=r"'a' waits for room at 'c'.*give more"):
        schedule(plan, CHIP, 2, buffer_bytes=300.0)


def test_a_plan_of_another_chip_is_refused() -> None:
    plan = map_layers([conv("a", 3, 8)], CHIP)
    with pytest.raises(ConfigError, match="another chip"):
        schedule(plan, SLOW)


def test_chart_and_plain_data(tmp_path: Path) -> None:
    """The picture has a bar's colour for each input; plain data is that of the schedule."""
    plan = map_layers([conv("a", 3, 8), conv("b", 3, 8)], CHIP)
    found = schedule(plan, CHIP, 3)
    from matplotlib.image import imread

    image = imread(found.draw(tmp_path / "chart.png"))[..., :3]
    tab10 = np.array([[31, 119, 180], [255, 127, 14], [44, 160, 44]]) / 255
    for color in tab10:
        assert (np.abs(image - color).max(axis=2) < 0.01).sum() > 1000
    data = found.as_dict()
    assert data["latency_ns"] == found.latency_ns
    assert [layer["name"] for layer in data["layers"]] == ["a", "b"]
    with pytest.raises(ConfigError, match="no format of pictures"):
        found.draw(tmp_path / "chart.nothing")
