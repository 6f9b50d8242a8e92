"""Cutting, strategies and fit: exact figures on small cases, properties on random ones."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrid.chip import Chip, LayerShape, MappingPlan, cut, load_chip, map_layers
from crossgrid.chip.description.spec import Crossbar, Grid
from crossgrid.chip.mapping.balance import balance
from crossgrid.chip.mapping.strategies import STRATEGIES
from crossgrid.chip.plan.file import load_plan, save_plan
from crossgrid.emulator.shapes.zoo import zoo_layers
from crossgrid.kernels.errors import ConfigError, UnknownNameError


def chip_of(tile_out: int, tile_in: int, rows: int = 4, columns: int = 4, chips: int = 1) -> Chip:
    base = load_chip("demo-128")
    crossbar = Crossbar(rows=tile_in, columns=tile_out)
    return dataclasses.replace(base, crossbar=crossbar, grid=Grid(rows, columns), chips=chips)


@given(st.integers(1, 5000), st.integers(-1, 600))
def test_cut_gives_the_fewest_parts_near_equal_the_larger_first(n: int, limit: int) -> None:
    parts = cut(n, limit)
    sizes = [stop - start for start, stop in parts]
    assert sum(sizes) == n
    assert [start for start, _ in parts] == [0, *np.cumsum(sizes)[:-1].tolist()]
    assert len(parts) == (1 if limit <= 0 else math.ceil(n / limit))
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


def test_per_layer_takes_tiles_in_order_blocks_row_major() -> None:
    plan = map_layers([LayerShape("a", 100, 300), LayerShape("b", 200, 10)], "demo-128")
    assert [block.layer for block in plan.blocks] == ["a", "a", "a", "b", "b"]
    assert [block.index for block in plan.blocks] == [0, 1, 2, 0, 1]
    assert [str(block.tile) for block in plan.blocks] == ["0/0,0", "0/0,1", "0/0,2", "0/0,3", "0/0,4"]
    assert [(b.in_start, b.in_stop) for b in plan.blocks[:3]] == [(0, 100), (100, 200), (200, 300)]
    assert [(b.out_start, b.out_stop) for b in plan.blocks[3:]] == [(0, 100), (100, 200)]
    assert isinstance(plan.blocks, tuple)


def test_a_model_that_does_not_fit_says_how_many_chips_would_do() -> None:
    layers = [LayerShape("wide", 10_000, 300)]  # 79 x 3 tiles of 128 x 128
    with pytest.raises(ConfigError, match=r"needs 237 tiles.*has 100; 3 chips would do"):
        map_layers(layers, "demo-128", chips=1)
    assert map_layers(layers, "demo-128", chips=3).chips_used == 3
    assert map_layers(layers, "demo-128").chips_used == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategy": "perlayer"}, "did you mean 'per-layer'"),
        ({"placement": "trafic"}, "did you mean 'traffic'"),
        ({"chips": 0}, "chips = 0 must be an integer of at least 1"),
        ({"chips": 1.5}, "must be an integer"),
        ({"chips": True}, "must be an integer"),
    ],
)
def test_bad_arguments(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        map_layers([LayerShape("a", 1, 1)], "demo-128", **arguments)


def test_bad_layers() -> None:
    with pytest.raises(ConfigError, match="no layer"):
        map_layers([], "demo-128")
    with pytest.raises(ConfigError, match="two layers have the name 'a'"):
        map_layers([LayerShape("a", 1, 1), LayerShape("a", 1, 1)], "demo-128")
    with pytest.raises(ConfigError, match="layer 'a': in = 0 must be an integer of at least 1"):
        LayerShape("a", 1, 0)
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        zoo_layers("resnet-18")


def test_a_plan_knows_another_model() -> None:
    layers = [LayerShape("a", 5, 7), LayerShape("b", 2, 5)]
    plan = map_layers(layers, "demo-128")
    plan.check_model(layers)
    with pytest.raises(
        ConfigError, match=r"belongs to another model: its layer 1 is 'b' \(2 x 5\).*\(3 x 5\)"
    ):
        plan.check_model([layers[0], LayerShape("b", 3, 5)])
    with pytest.raises(ConfigError, match="has 2 layers, the model 1"):
        plan.check_model(layers[:1])


def test_a_plan_never_changes() -> None:
    plan = map_layers([LayerShape("a", 5, 7)], "demo-128")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.strategy = "packed"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        plan.table["tile"][0] = 3


LAYERS = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 50)), min_size=1, max_size=8
).map(lambda sizes: [LayerShape(f"layer{k}", *size) for k, size in enumerate(sizes)])
TILES = st.tuples(st.integers(9, 90), st.integers(9, 90))


def check_plan(plan: MappingPlan, layers: list[LayerShape]) -> None:
    """Every weight of every copy on exactly one cell group; no overlap; no tile over capacity."""
    held: dict[tuple[int, int], np.ndarray] = {}
    covered = {
        (layer.name, copy): np.zeros((layer.out, layer.in_), np.int8)
        for layer, count in zip(layers, plan.copies.tolist(), strict=True)
        for copy in range(count)
    }
    for k, block in enumerate(plan.blocks):
        covered[block.layer, block.copy][
            block.out_start : block.out_stop, block.in_start : block.in_stop
        ] += 1
        cells = held.setdefault(
            (int(plan.table["tile"][k]), block.round), np.zeros((plan.tile_out, plan.tile_in), np.int8)
        )
        out, in_ = block.out_stop - block.out_start, block.in_stop - block.in_start
        assert block.out_offset + out <= plan.tile_out
        assert block.in_offset + in_ <= plan.tile_in
        cells[block.out_offset : block.out_offset + out, block.in_offset : block.in_offset + in_] += 1
    assert all((weights == 1).all() for weights in covered.values())
    assert all((cells <= 1).all() for cells in held.values())
    assert plan.tiles_used == len({tile for tile, _ in held})
    assert plan.tiles_used <= plan.tiles_available
    assert plan.utilization == pytest.approx(np.mean([cells.mean() for cells in held.values()]))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@settings(max_examples=30, deadline=None)
@given(layers=LAYERS, tile=TILES)
def test_every_weight_has_one_place(strategy: str, layers: list[LayerShape], tile: tuple[int, int]) -> None:
    if sum(layer.weights for layer in layers) / (tile[0] * tile[1]) > 300:  # keeps an example short
        tile = (90, 90)
    check_plan(map_layers(layers, chip_of(*tile), strategy), layers)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_placement_moves_tiles_and_keeps_every_weight(strategy: str) -> None:
    layers = [LayerShape("a", 200, 70, 9), LayerShape("b", 90, 200), LayerShape("c", 300, 90)]
    plan = map_layers(layers, chip_of(64, 50, 5, 6), strategy, placement="traffic")
    check_plan(plan, layers)


@settings(max_examples=80, deadline=None)
@given(layers=LAYERS, tile=TILES)
def test_packed_never_needs_more_tiles_than_per_layer(
    layers: list[LayerShape], tile: tuple[int, int]
) -> None:
    chip = chip_of(*tile)
    packed = map_layers(layers, chip, "packed")
    assert packed.tiles_used <= map_layers(layers, chip, "per-layer").tiles_used
    bound = math.ceil(sum(layer.weights for layer in layers) / (tile[0] * tile[1]))
    assert packed.tiles_used >= bound


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "bert-base"])
def test_packed_is_within_five_percent_of_the_area_bound(model: str) -> None:
    layers = zoo_layers(model)
    bound = math.ceil(sum(layer.weights for layer in layers) / 256**2)
    assert map_layers(layers, "hermes-64", "packed").tiles_used <= 1.05 * bound


def test_packed_resnet9_takes_the_fewest_tiles_of_its_blocks() -> None:
    """By hand, of 256 x 256: 28 blocks of 224 outputs and more than 128 inputs exclude each other, and leave
    room for fc alone; 5 blocks of 1,024 vectors, the most of all, exclude everyone; 6 of 112 outputs pair up;
    the shortcuts of 112 x 56 and 224 x 112 fit beside none of these, and each other."""
    plan = map_layers(zoo_layers("resnet9"), "hermes-64", "packed")
    out = plan.table["out_stop"] - plan.table["out_start"]
    in_ = plan.table["in_stop"] - plan.table["in_start"]
    vectors = np.array([layer.reuse for layer in plan.layers])[plan.table["layer"]]
    wide, busy = (out == 224) & (in_ > 128), vectors == 1024
    pairs = (out == 112) & (in_ > 128)
    assert (wide.sum(), busy.sum(), pairs.sum()) == (28, 5, 6)
    assert plan.tiles_used == 28 + 5 + 6 // 2 + 1


@settings(max_examples=60, deadline=None)
@given(layers=LAYERS, tile=TILES, chips=st.integers(1, 3))
def test_time_multiplexed_fits_any_model_and_programs_no_layer_twice(
    layers: list[LayerShape], tile: tuple[int, int], chips: int
) -> None:
    chip = chip_of(*tile, rows=2, columns=3)
    plan = map_layers(layers, chip, "time-multiplexed", chips=chips)
    assert plan.tiles_used <= 6 * chips
    tiles = sum(len(cut(layer.out, tile[0])) * len(cut(layer.in_, tile[1])) for layer in layers)
    assert len(plan) == tiles
    pairs = plan.table["round"].astype(np.int64) * 1000 + plan.table["tile"]
    assert len(np.unique(pairs)) == tiles
    assert (np.diff(plan.table["round"]) >= 0).all()


def brute_force_bottleneck(tiles: list[int], reuse: list[int], budget: int) -> int:
    """Least possible ceil(reuse / copies) of the slowest layer, by trying every value."""
    for slowest in range(1, max(reuse) + 1):
        if sum(t * math.ceil(r / slowest) for t, r in zip(tiles, reuse, strict=True)) <= budget:
            return slowest
    return max(reuse)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), min_size=1, max_size=5), st.integers(0, 200)
)
def test_copies_make_the_slowest_layer_as_fast_as_the_budget_allows(
    pairs: list[tuple[int, int]], spare: int
) -> None:
    tiles, reuse = [t for t, _ in pairs], [r for _, r in pairs]
    budget = sum(tiles) + spare
    copies = balance(tiles, reuse, [budget])
    assert sum(t * c for t, c in zip(tiles, copies, strict=True)) <= budget
    slowest = max(math.ceil(r / c) for r, c in zip(reuse, copies, strict=True))
    assert slowest == brute_force_bottleneck(tiles, reuse, budget)


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "resnet9", "vgg8"])
def test_packed_slows_no_network_down(model: str) -> None:
    """The layer with most vectors has its tiles alone, whoever else shares tiles."""
    layers = zoo_layers(model)
    plan = map_layers(layers, "hermes-64", "packed")
    most = max(layer.reuse for layer in layers)
    vectors = np.array([layer.reuse for layer in layers])[plan.table["layer"]]
    assert np.bincount(plan.table["tile"], vectors).max() == most
    slowest = [layer.reuse == most for layer in layers].index(True)
    for tile in plan.table["tile"][plan.table["layer"] == slowest]:
        assert set(plan.table["layer"][plan.table["tile"] == tile]) == {slowest}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5000)), min_size=1, max_size=8)
)
def test_packed_tiles_are_not_overfull_in_time(sizes: list[tuple[int, int, int]]) -> None:
    layers = [LayerShape(f"l{k}", *size) for k, size in enumerate(sizes)]
    plan = map_layers(layers, chip_of(16, 16, 20, 20), "packed")
    vectors = np.array([layer.reuse for layer in layers])[plan.table["layer"]]
    assert np.bincount(plan.table["tile"], vectors).max() == max(layer.reuse for layer in layers)


def test_why_names_size_and_reason() -> None:
    plan = map_layers(zoo_layers("lenet5"), "demo-128", "packed")
    assert "16 x 25 fits a tile of 128 x 128" in plan.blocks[0].why
    assert "10 x 128 fits a tile of 128 x 128" in plan.blocks[-1].why
    assert "shares its tile" in plan.blocks[-1].why
    assert "exceeds a tile" in map_layers([LayerShape("a", 300, 3)], "demo-128").blocks[0].why
    replicated = map_layers([LayerShape("a", 30, 3, 50)], "demo-128", "replicated")
    assert "copy 1 of 50" in replicated.blocks[0].why


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_says_why_a_block_is_where_it_is(strategy: str, tmp_path) -> None:
    """Its words stand beside its function; a plan keeps them, on disk too; one of one's own needs none."""
    assert STRATEGIES[strategy].why
    plan = map_layers(zoo_layers("lenet5"), "demo-128", strategy, chips=1)
    assert all(STRATEGIES[strategy].why in block.why for block in plan.blocks)
    save_plan(plan, tmp_path / "plan")
    assert load_plan(tmp_path / "plan").blocks == plan.blocks
    own = dataclasses.replace(plan, strategy="mine", strategy_why="")
    assert "placed by hand" in own.blocks[0].why


def test_the_same_model_gets_the_same_plan() -> None:
    for strategy in ("packed", "replicated"):
        first = map_layers(zoo_layers("lenet5"), "demo-128", strategy, placement="traffic")
        assert first == map_layers(zoo_layers("lenet5"), "demo-128", strategy, placement="traffic")
