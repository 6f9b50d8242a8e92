"""Plans on disk: what is saved is loaded, what is damaged is refused, what changed is said."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.plan.file import diff_plans, load_plan, save_plan
from crossgrid.chip.reports.difference import difference
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("model", ["lenet5", "bert-base"])
def test_a_saved_plan_is_the_same_plan(tmp_path, strategy: str, model: str) -> None:
    plan = map_layers(zoo_layers(model), "demo-128", strategy)
    save_plan(plan, tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan")
    assert loaded == plan
    assert loaded.layers == plan.layers
    assert loaded.blocks[-1] == plan.blocks[-1]
    assert list(diff_plans(plan, loaded)) == []


def test_a_plan_is_msgpack_without_pickle(tmp_path) -> None:
    save_plan(map_layers([LayerShape("a", 3, 4)], "demo-128"), tmp_path / "plan")
    data = msgpack.unpackb((tmp_path / "plan").read_bytes())
    assert data["format"] == "crossgrid plan 7"
    assert data["table"]["tile"] == b"\0\0\0\0"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_plan_is_an_error_or_still_sound(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("damage") / "plan"
    plan = map_layers(zoo_layers("lenet5"), "demo-128", "packed")
    save_plan(plan, path)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(raw))
    try:
        loaded = load_plan(path)
    except ConfigError:  # anything else would be a bug
        return
    assert loaded.tiles_used <= loaded.tiles_available
    assert all(0 <= number < len(loaded.layers) for number in loaded.table["layer"].tolist())


def test_a_plan_that_was_edited_is_refused(tmp_path) -> None:
    """Whoever wants another plan maps anew: a number that still makes sense is not what was mapped."""
    save_plan(map_layers([LayerShape("a", 3, 4)], "demo-128"), tmp_path / "plan")
    data = msgpack.unpackb((tmp_path / "plan").read_bytes())
    data["plan"]["chips"] += 1
    (tmp_path / "plan").write_bytes(msgpack.packb(data))
    with pytest.raises(ConfigError, match="not as it was written"):
        load_plan(tmp_path / "plan")


def test_a_missing_plan_and_another_format_are_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_plan(tmp_path / "none")
    (tmp_path / "old").write_bytes(msgpack.packb({"format": "crossgrid plan 0"}))
    with pytest.raises(ConfigError, match="has the format 'crossgrid plan 0'"):
        load_plan(tmp_path / "old")


def test_diff_says_what_changed() -> None:
    before = map_layers([LayerShape("a", 300, 40), LayerShape("b", 4, 300)], "demo-128")
    after = map_layers([LayerShape("a", 200, 40), LayerShape("c", 4, 200)], "demo-128", chips=2)
    assert list(diff_plans(before, after)) == [
        "chips: 1 -> 2",
        "layer b: removed",
        "layer a: 300 x 40 -> 200 x 40",
        "layer a: 3 -> 2 tiles",
        "layer a: 3 -> 2 blocks",
        "layer c: added, 4 x 200 on 2 tiles",
    ]
    layers = [LayerShape("a", 300, 40), LayerShape("b", 300, 300)]
    lines = list(
        diff_plans(map_layers(layers, "demo-128"), map_layers(layers, "demo-128", placement="traffic"))
    )
    assert lines[0] == "placement: row-major -> traffic"
    assert any("blocks moved, block" in line for line in lines[1:])


def test_a_difference_says_what_it_costs() -> None:
    """Figures of both plans as their costs have them; none where nothing changed or the chip is not known."""
    layers = zoo_layers("lenet5")
    one, two = (map_layers(layers, "hermes-64", strategy) for strategy in ("per-layer", "replicated"))
    chip = load_chip("hermes-64")
    old, new = (cost_of(plan, chip) for plan in (one, two))
    lines = list(difference(one, two))
    assert lines[: len(list(diff_plans(one, two)))] == list(diff_plans(one, two))
    wanted = f"interval: {old.interval_ns / 1e3:,.4g} -> {new.interval_ns / 1e3:,.4g} µs"
    assert f"{wanted} ({new.interval_ns / old.interval_ns - 1:+.1%})" in lines
    assert list(difference(one, one)) == []
    foreign = dataclasses.replace(two, chip_identity="another")
    assert list(difference(one, foreign))[-1].startswith("cost: not compared, no chip 'hermes-64'")
