"""Chips of several kinds of tiles: each layer costs what it costs on a chip of its kind alone."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crossgrid.chip import Chip, LayerShape, MappingPlan, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of, peak
from crossgrid.chip.cost.events import layer_events
from crossgrid.chip.cost.parts import area_by_part, energy_by_part
from crossgrid.chip.description.layout import kind_of_places, places_of_kinds
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.plan.file import diff_plans, load_plan, save_plan
from crossgrid.chip.plan.sound import check_blocks
from crossgrid.chip.reports.report import Report
from crossgrid.chip.schedule.schedule import schedule
from crossgrid.kernels.errors import ConfigError

#: pJ and mm² of the parts that lie between tiles and are priced by the mean tile
BETWEEN = ("links", "chip to chip")


def data(**changes: Any) -> dict[str, Any]:
    """demo-128 with 40 tiles of 8 bits and of another size, 30 of 4 bits, and 10 digital cores."""
    whole: dict[str, Any] = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    whole["kinds"] = {
        "fine": {"tiles": 40, "adc": {"bits": 8}, "crossbar": {"rows": 64}},
        "coarse": {"tiles": 30, "adc": {"bits": 4}},
    }
    whole["digital"] = {"cores": 10, "rows": 100, "columns": 50, "macs_per_ns": 25, "area_mm2": 0.03}
    return {**whole, **changes}


def chip(**changes: Any) -> Chip:
    return parse_chip(data(**changes), "mixed.yaml")


def alone(name: str) -> Chip:
    """A chip of which all tiles are like those of a kind."""
    whole = data()
    own = whole.pop("kinds")[name]
    del whole["digital"]
    for key in ("adc", "crossbar"):
        whole[key] |= own.get(key, {})
    return parse_chip(whole, "alone.yaml")


LAYERS = (
    LayerShape("a", 60, 30, reuse=7, sources=("",)),
    LayerShape("b", 200, 60, reuse=5),
    LayerShape("c", 130, 200, reuse=3),
    LayerShape("d", 10, 130),
)
KINDS = {"a": "fine", "b": "coarse", "d": "digital"}


def plan_of(strategy: str = "per-layer", **options: Any) -> MappingPlan:
    return map_layers(LAYERS, chip(), strategy, **{"kinds": KINDS, **options})


def test_a_kind_is_the_chip_with_what_it_says_itself() -> None:
    whole = chip()
    assert whole.kind_names == ("home", "fine", "coarse", "digital")
    assert whole.kind_tiles == (20, 40, 30, 10)
    fine = whole.described(1)
    assert (fine.adc, fine.crossbar) == (alone("fine").adc, alone("fine").crossbar)
    assert fine.adc is not None
    assert (fine.adc.bits, fine.adc.bound) == (8, 12.0)
    assert (fine.tile_in, fine.tile_out) == (64, 128)
    assert dataclasses.replace(whole.described(0)) == load_chip("demo-128")
    assert whole.identity() != load_chip("demo-128").identity()
    assert chip(digital=None).identity() != whole.identity()


def test_parts_of_a_kind_are_told_by_name() -> None:
    kinds = {
        "cheap": {"tiles": 5, "parts": [{"name": "ADC", "energy_pj": 0.5}, {"name": "extra", "area_mm2": 1}]}
    }
    cheap = chip(kinds=kinds, digital=None).described(1)
    parts: Any = {part.name: part for part in cheap.parts}
    assert (parts["ADC"].energy_pj.value, parts["ADC"].area_mm2.value) == (0.5, 1.5e-3)
    assert list(parts) == [*(part.name for part in load_chip("demo-128").parts), "extra"]


@pytest.mark.parametrize("tiles", [(20, 40, 30, 10), (0, 7, 1), (3,), (1, 1, 1), (97, 3), (5, 5, 0)])
def test_tiles_of_a_kind_are_as_many_as_said_and_spread(tiles: tuple[int, ...]) -> None:
    """Of any run of places each kind has its share, but for two tiles at most."""
    kinds = kind_of_places(tiles)
    assert np.bincount(kinds, minlength=len(tiles)).tolist() == list(tiles)
    for kind, count in enumerate(tiles):
        passed = np.cumsum(kinds == kind)
        even = (np.arange(len(kinds)) + 1) * count / len(kinds)
        assert np.abs(passed - even).max() <= 2
    assert np.array_equal(kinds[places_of_kinds(tiles)], np.sort(kinds))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("placement", ["row-major", "traffic"])
def test_every_layer_is_on_tiles_of_its_kind(strategy: str, placement: str) -> None:
    plan = plan_of(strategy, placement=placement, chips=2)
    check_blocks(plan)
    assert plan.layer_kind.tolist() == [1, 2, 0, 3]
    kinds = kind_of_places((20, 40, 30, 10))
    for block in plan:
        kind = {"a": 1, "b": 2, "c": 0, "d": 3}[block.layer]
        assert kinds[block.tile.row * 10 + block.tile.column] == kind
        assert block.kind == chip().kind_names[kind]
    assert ", of kind 'fine'" in plan.blocks_of("a")[0].why


@pytest.mark.parametrize("name", ["fine", "coarse"])
def test_a_layer_costs_what_it_does_on_a_chip_of_its_kind_alone(name: str) -> None:
    """Events, latency of its tiles, energy: of all that does not lie between tiles."""
    whole, single = chip(), alone(name)
    mixed, same = map_layers(LAYERS, whole, kinds={"*": name}), map_layers(LAYERS, single)
    number = whole.kind_names.index(name)
    for of_mixed, of_same in zip(layer_events(mixed, whole), layer_events(same, single), strict=True):
        assert of_mixed == of_same
        energies = energy_by_part(whole, of_mixed, 1, number), energy_by_part(single, of_same, 1)
        for part in set(energies[0]) - set(BETWEEN):
            assert energies[0][part] == energies[1][part]
    for a, b in zip(cost_of(mixed, whole).layers, cost_of(same, single).layers, strict=True):
        assert a.interval_ns == b.interval_ns or "links" in (a.bound, b.bound)


def test_the_energy_of_a_mixed_plan_is_that_of_its_layers() -> None:
    whole, plan = chip(), plan_of()
    cost = cost_of(plan, whole)
    assert cost.energy_pj == pytest.approx(sum(layer.energy_pj for layer in cost.layers))  # nothing is static
    own = {k: layer_events(plan, whole)[k] for k in range(4)}
    for k, number in enumerate(plan.layer_kind.tolist()):
        energy = sum(energy_by_part(whole, own[k], 1, number).values())
        moved = sum(v for part, v in cost.layers[k].energy_by_part.items() if part in BETWEEN)
        assert cost.layers[k].energy_pj == pytest.approx(energy + moved)


def test_areas_are_those_of_as_many_tiles_of_each_kind() -> None:
    """20 home, 40 fine, 30 coarse tiles and 10 cores; what a chip has once is counted once."""
    per_tile = {}
    for name, single in (
        ("home", load_chip("demo-128")),
        ("fine", alone("fine")),
        ("coarse", alone("coarse")),
    ):
        areas = area_by_part(single, 1)
        per_tile[name] = sum(v for part, v in areas.items() if part not in BETWEEN) / 100
    wanted = 20 * per_tile["home"] + 40 * per_tile["fine"] + 30 * per_tile["coarse"] + 10 * 0.03
    found = area_by_part(chip(), 1)
    assert sum(v for part, v in found.items() if part not in BETWEEN) == pytest.approx(wanted)
    assert found["chip to chip"] == area_by_part(load_chip("demo-128"), 1)["chip to chip"]
    assert found["digital cores"] == pytest.approx(0.3)


def test_a_digital_core_takes_a_multiplication_a_weight_and_vector() -> None:
    """10 x 130 on cores of 50 x 100: two blocks. Energy by Horowitz (ISSCC 2014): 0.23 pJ a product with its
    addition, 1.25 pJ a byte of weights and values; a row of 50 products takes 2 ns."""
    whole, plan = chip(), plan_of()
    events = layer_events(plan, whole)[3]
    assert (events.mvm, events.cell_pass, events.activation) == (2, 1300, 10)
    assert events.busy_ns == 130 * 50 / 25
    energy = energy_by_part(whole, events, 1, 3)["digital cores"]
    values = (130 + 2 * 10 + 130) * 9 / 8  # read by blocks, written by blocks, sent: of 9 bits
    assert energy == pytest.approx(1300 * (0.23 + 1.25) + values * 1.25 + 10 * 0.03)
    assert cost_of(plan, whole).layers[3].latency_ns >= 65 * 50 / 25  # near-equal blocks work side by side


def test_what_all_tiles_do_at_most_is_the_sum_over_kinds() -> None:
    parts = [
        (peak(load_chip("demo-128")), 20), (peak(alone("fine")), 40), (peak(alone("coarse")), 30)
    ]  # fmt: skip
    cores = 10 * 2 * 25 / 1e3  # 25 products a ns
    assert peak(chip()).tops == pytest.approx(sum(best.tops * n / 100 for best, n in parts) + cores)


def test_a_schedule_follows_the_same_plan() -> None:
    """One input over links that nobody waits for: as long as the closed form says."""
    fast = chip(links={"kind": "mesh", "width_bits": 1 << 16, "clock_ghz": 1000})
    plan = map_layers(LAYERS, fast, kinds=KINDS)
    assert schedule(plan, fast, 1).latency_ns == pytest.approx(cost_of(plan, fast).latency_ns)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of()
    save_plan(plan, tmp_path / "mixed.plan")
    assert load_plan(tmp_path / "mixed.plan") == plan
    other = plan_of(kinds={**KINDS, "a": "coarse"})
    assert "layer a: tiles of kind 'fine' -> 'coarse'" in list(diff_plans(plan, other))
    # of tiles that are all alike a file says nothing of kinds: it is as it ever was
    save_plan(map_layers(LAYERS, "demo-128"), tmp_path / "plain.plan")
    assert b"kinds" not in (tmp_path / "plain.plan").read_bytes()


def test_copies_share_the_tiles_of_their_kind_alone() -> None:
    """30 coarse tiles hold 7 copies of b's 2 x 1 blocks or more, and those of c stay within home's 20."""
    plan = plan_of("replicated", chips=1)
    used = np.bincount(plan.kind_of(plan.used_tiles), minlength=4)
    assert (used <= [20, 40, 30, 10]).all()
    assert plan.copies.max() > 1
    given = plan_of("replicated", chips=1, copies={"b": 5})
    assert given.copies.tolist() == [1, 5, 1, 1]


def test_the_report_tells_kinds_apart() -> None:
    report = Report.of(plan_of(kinds={"*": "coarse", "a": "fine"}), chip())
    said: Any = report.as_dict()
    assert [row["kind"] for row in said["layers"]] == ["fine", "coarse", "coarse", "coarse"]
    assert [(of["name"], of["tiles_used"], of["tiles_available"]) for of in said["kinds"]] == [
        ("home", 0, 20), ("fine", 1, 40), ("coarse", 8, 30), ("digital", 0, 10),
    ]  # fmt: skip
    assert [text for text in said["warnings"] if "no layer" in text] == [
        "kind 'home': no layer uses its 20 tiles, which the chip's area has all the same",
        "kind 'digital': no layer uses its 10 tiles, which the chip's area has all the same",
    ]
    full = Report.of(map_layers(LAYERS, "demo-128"), load_chip("demo-128")).as_dict()
    assert "kinds" not in full


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kinds": ["fine"]}, "mixed.yaml.kinds = .* must be a mapping of names"),
        ({"kinds": {"fine": 8}}, r"mixed.yaml.kinds.fine = 8 must be a mapping, e.g. \{tiles: 16"),
        ({"kinds": {"fine": {"adc": {"bits": 8}}}}, "kinds.fine.tiles = None must be a number of tiles"),
        ({"kinds": {"fine": {"tiles": True}}}, "kinds.fine.tiles = True must be a number of tiles"),
        ({"kinds": {"fine": {"tiles": 0}}}, "kinds.fine.tiles = 0 must be"),
        (
            {"kinds": {"fine": {"tiles": 95}}},
            "95 fine, 10 digital are 105 tiles, the grid has 100; give fewer",
        ),
        ({"kinds": {"fine": {"tiles": 5, "acd": {}}}}, "'acd': did you mean 'dac'"),
        ({"kinds": {"fine": {"tiles": 5, "links": {}}}}, "unknown key in mixed.yaml.kinds.fine 'links'"),
        ({"kinds": {"fine": {"tiles": 5, "adc": {"bits": 99}}}}, "kinds.fine.adc.bits"),
        ({"kinds": {"fine": {"tiles": 5, "parts": {"ADC": {}}}}}, "kinds.fine.parts = .* must be a list"),
        ({"kinds": {"home": {"tiles": 5}}}, "'home' cannot name a kind"),
        ({"kinds": {"a,b": {"tiles": 5}}}, "'a,b' cannot name a kind"),
        ({"kinds": {3: {"tiles": 5}}}, "3 cannot name a kind"),
        ({"digital": {"rows": 5}}, "mixed.yaml.digital.cores is missing"),
        ({"digital": {"cores": 5, "macs_per_ns": 0}}, "digital.macs_per_ns"),
        ({"digital": {"cores": 5, "mac_pj": "1 nJ"}}, "write the number alone: 1000"),
        ({"digital": 4}, "mixed.yaml.digital = 4 must be a mapping"),
    ],
)
def test_kinds_that_cannot_be_are_named(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        chip(**changes)


@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        ({"a": "fein"}, "unknown kind of chip 'demo-128' 'fein': did you mean 'fine'"),
        ({"e": "fine"}, "unknown layer in kinds 'e'"),
        ("a=fine,a=coarse", "'a=coarse' is no LAYER=KIND of a layer of its own"),
        ("fine", "'fine' is no LAYER=KIND"),
        ({"a": 3}, "must map names of layers to names of kinds"),
        (["a"], "must map names of layers to names of kinds"),
        ({"*": "digital"}, "'a', 'b', 'c', … need 14 tiles of kind 'digital' .* has 10; give some"),
    ],
)  # fmt: skip
def test_layers_that_cannot_be_on_a_kind_are_named(kinds: Any, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        map_layers(LAYERS, chip(), chips=1, kinds=kinds)


def test_a_chip_of_like_tiles_has_no_kinds_and_one_without_own_tiles_starts_with_its_first() -> None:
    with pytest.raises(ConfigError, match="tiles of chip 'demo-128' are all alike"):
        map_layers(LAYERS, "demo-128", kinds={"a": "fine"})
    full = chip(kinds={"fine": {"tiles": 90}})
    assert map_layers(LAYERS, full).layer_kind.tolist() == [1, 1, 1, 1]
    with pytest.raises(
        ConfigError, match="all tiles of chip 'demo-128' are of other kinds; give one of fine, digital"
    ):
        map_layers(LAYERS, full, kinds={"a": "home"})


def test_a_plan_with_a_layer_on_two_kinds_is_refused() -> None:
    plan = plan_of()
    table = {key: column.copy() for key, column in plan.table.items()}
    last_of_b = int(np.flatnonzero(table["layer"] == 1)[-1])
    table["tile"][last_of_b] = next(
        k for k in range(100) if k not in table["tile"] and chip().kind_of(k) == 1
    )
    with pytest.raises(ConfigError, match="blocks of layer 'b' are on tiles of several kinds"):
        check_blocks(dataclasses.replace(plan, table=copy.copy(table)))
