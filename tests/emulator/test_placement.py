"""Which tiles share an actor and which node hosts it: pure data, decided before anything starts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.emulator.actors.packing import (
    ACTOR_BYTES,
    CARD_ACTOR_BYTES,
    CARD_CROSSPOINT_BYTES,
    CONTEXT_BYTES,
    DRAWN_CROSSPOINT_BYTES,
    ActorPlan,
    plan_actors,
)
from crossgrid.emulator.hosts.room import Node, crosspoint_bytes
from crossgrid.emulator.tiles.layer_spec import LayerSpec, TileSpec

LARGE = 1 << 40


def layer_on(name: str, chips: Sequence[int | None], device: Any = None) -> LayerSpec:
    """A layer of one tile of 8 x 8 on each of the given chips, one below the other."""
    config = cg.SingleRPUConfig() if device is None else cg.SingleRPUConfig(device=device)
    tiles = tuple(
        TileSpec(k, k, 0, 8 * k, 8 * k + 8, 0, 8, f"{chip}/{name},{k}", chip) for k, chip in enumerate(chips)
    )
    return LayerSpec(name, 1, 8 * len(tiles), 8, len(tiles), 1, tiles, None, config)


def nodes(*processors: float, cards: float = 0.0, free_bytes: int = LARGE) -> list[Node]:
    return [Node(f"node{k}", count, cards, free_bytes) for k, count in enumerate(processors)]


def blocks(plans: Sequence[ActorPlan]) -> list[list[tuple[int, int]]]:
    return [[(layer, block) for layer, _, held in plan.parts for block in held] for plan in plans]


def test_one_actor_a_tile_in_the_layers_order() -> None:
    plans = plan_actors([layer_on("a", [0, 0]), layer_on("b", [0])], 1, nodes(2), False)
    assert blocks(plans) == [[(0, 0)], [(0, 1)], [(1, 0)]]
    assert [plan.processors for plan in plans] == pytest.approx([2 / 3] * 3, abs=1e-4)
    assert sum(plan.processors for plan in plans) <= 2
    assert plans[2].label == "tile 0/b,0 of layer b"


def test_blocks_of_one_physical_tile_stay_together() -> None:
    shared = layer_on("a", [0, 0])
    plans = plan_actors([shared, shared], 1, nodes(4), False)
    assert blocks(plans) == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]


def test_processors_that_are_left_become_threads() -> None:
    plans = plan_actors([layer_on("a", [0] * 3)], 1, nodes(8), False)
    assert [(plan.processors, plan.threads) for plan in plans] == [(2.0, 2)] * 3
    assert [plan.threads for plan in plan_actors([layer_on("a", [0] * 3)], 1, nodes(2), False)] == [1] * 3


@pytest.mark.parametrize(("tiles", "processors", "actors"), [(7, 2, 2), (3, 4, 3), (64, 4, 4), (1, 8, 1)])
def test_auto_is_an_actor_a_processor(tiles: int, processors: int, actors: int) -> None:
    plans = plan_actors([layer_on("a", [0] * tiles)], "auto", nodes(processors), False)
    assert len(plans) == actors
    assert sum(len(held) for held in blocks(plans)) == tiles


def test_a_chip_sits_on_one_node_and_nodes_share_the_chips() -> None:
    """Chips of 5, 3 and 3 tiles on two equal nodes: 5 and 3 + 3; on nodes of 6 and 2 processors: 8 and 3."""
    specs = [layer_on("a", [0] * 5 + [1] * 3 + [2] * 3)]
    plans = plan_actors(specs, 1, nodes(2, 2), False)
    homes = {(plan.chip, plan.node) for plan in plans}
    assert len(homes) == 3
    assert Counter(plan.node for plan in plans) == {"node0": 5, "node1": 6}
    unequal = plan_actors(specs, 1, nodes(6, 2), False)
    assert Counter(plan.node for plan in unequal) == {"node0": 8, "node1": 3}
    for plan in plan_actors(specs, 4, nodes(2, 2), False):
        assert len({spec.tiles[b].chip for _, spec, held in plan.parts for b in held}) == 1


@pytest.mark.parametrize("per_actor", [1, 4, "auto"])
@pytest.mark.parametrize("cuda", [False, True])
def test_tiles_of_no_chip_spread_over_all_nodes(per_actor: Any, cuda: bool) -> None:
    """24 tiles on nodes of 2, 4 and 6 processors or cards: 4, 8 and 12 neighbours."""
    specs = [layer_on(name, [None] * 6) for name in "abcd"]
    found = [
        Node(f"node{k}", count, count if cuda else 0.0, LARGE) for k, count in enumerate((2.0, 4.0, 6.0))
    ]
    plans = plan_actors(specs, per_actor, found, cuda)
    order = [(plan.node, each) for plan, held in zip(plans, blocks(plans), strict=True) for each in held]
    wanted = ["node0"] * 4 + ["node1"] * 8 + ["node2"] * 12
    assert order == list(zip(wanted, [(k // 6, k % 6) for k in range(24)], strict=True))
    for node in {plan.node for plan in plans}:
        assert len({plan.chip for plan in plans if plan.node == node}) == 1  # one placement group
    if per_actor == "auto":
        assert Counter(plan.node for plan in plans) == {"node0": 2, "node1": 4, "node2": 6}
    fewer = plan_actors([layer_on("a", [None, None])], 1, found, cuda)
    assert blocks(fewer) == [[(0, 0)], [(0, 1)]]


def test_chips_and_tiles_of_none_share_the_nodes() -> None:
    specs = [layer_on("a", [0] * 3), layer_on("b", [None] * 4), layer_on("c", [1] * 3)]
    plans = plan_actors(specs, 1, nodes(2, 2), False)
    assert Counter(plan.node for plan in plans) == {"node0": 5, "node1": 5}
    of_no_chip = {plan.node for plan in plans if plan.label.endswith("layer b")}
    assert of_no_chip == {"node0", "node1"}
    assert sorted(each for held in blocks(plans) for each in held) == [
        *((0, k) for k in range(3)), *((1, k) for k in range(4)), *((2, k) for k in range(3)),
    ]  # fmt: skip


def test_a_chip_spans_the_cards_of_its_node() -> None:
    """Nine tiles on one node of two cards, beside an empty one: an actor on each card."""
    plans = plan_actors([layer_on("a", [0] * 9)], "auto", nodes(8, 8, cards=2.0), True)
    assert [(plan.node, plan.cards) for plan in plans] == [("node0", 1.0)] * 2


def test_cards_are_shared_in_equal_parts_that_straddle_none() -> None:
    """Three actors on two cards: two of them share one, so each takes half."""
    plans = plan_actors([layer_on("a", [0] * 3)], 1, nodes(8, cards=2.0), True)
    assert [plan.cards for plan in plans] == [0.5] * 3
    packed = plan_actors([layer_on("a", [0] * 9)], "auto", nodes(8, cards=2.0), True)
    assert [plan.cards for plan in packed] == [1.0] * 2
    with pytest.raises(cg.ConfigError, match="needs a node with a card"):
        plan_actors([layer_on("a", [0])], 1, nodes(8), True)


def test_a_card_too_small_for_its_contexts_and_tiles_says_what_would_fit() -> None:
    """A process on a card takes 500 MB of it, a tile of 8 x 8 devices 512 bytes, or 2,304 if it keeps all."""
    tiles = layer_on("a", [0] * 8)
    card = [Node("node0", 8, 2.0, LARGE, 3 * CONTEXT_BYTES)]
    with pytest.raises(cg.ConfigError, match=r"4 tile actors on a card of node node0.*at most 2 actors fit"):
        plan_actors([tiles], 1, card, True)
    assert [plan.cards for plan in plan_actors([tiles], "auto", card, True)] == [1.0, 1.0]
    assert len(plan_actors([tiles], 1, [Node("node0", 8, 2.0, LARGE)], True)) == 8  # nobody knows how large
    long = cg.PowStepReferenceDevice(subtract_symmetry_point=True, n_estimation_steps=1000)
    kept = layer_on("a", [0] * 8, long)  # its draw takes too long for a card to repeat it
    for layer, each in ((tiles, DRAWN_CROSSPOINT_BYTES), (kept, CARD_CROSSPOINT_BYTES)):
        needed = CONTEXT_BYTES + 8 * 64 * each
        assert len(plan_actors([layer], "auto", [Node("node0", 8, 1.0, LARGE, needed)], True)) == 1
        with pytest.raises(cg.ConfigError, match="1 tile actors on a card of node node0"):
            plan_actors([layer], "auto", [Node("node0", 8, 1.0, LARGE, needed - 1)], True)
    full = [Node("node0", 8, 1.0, LARGE, 8 * 64 * DRAWN_CROSSPOINT_BYTES)]
    with pytest.raises(cg.ConfigError, match="its tiles alone take 0 MB; emulate fewer layers, or use more"):
        plan_actors([tiles], "auto", full, True)


def test_an_actor_on_a_card_takes_more_of_the_machine() -> None:
    """torch and Triton are 360 MB, where numpy and numba are 90."""
    short = Node("node0", 8, 1.0, CARD_ACTOR_BYTES + (1 << 20), LARGE)
    with pytest.raises(
        cg.ConfigError, match=r"2 tile actors need about 720 MB, 361 are free.*at most 1 actors"
    ):
        plan_actors([layer_on("a", [0] * 2)], 1, [short], True)
    assert len(plan_actors([layer_on("a", [0] * 2)], 1, [short], False)) == 2


def floats_of(device: Any) -> int:
    """What a device is: its weight, what a read sees where writes are noisy, and its parameters."""
    return 1 + (device.write_noise > 0) + len(device.parameters)


@pytest.mark.parametrize(
    ("config", "floats"),
    [
        (cg.InferenceRPUConfig(), 1),
        (cg.InferenceRPUConfig(modifier=cg.WeightModifierParameter(type="add_normal", std_dev=0.1)), 2),
        (cg.SingleRPUConfig(device=cg.ConstantStepDevice()), 2 + floats_of(cg.ConstantStepDevice())),
        (cg.SingleRPUConfig(device=cg.ReRamSBPresetDevice()), 2 + floats_of(cg.ReRamSBPresetDevice())),
        (cg.ReRamSB4Preset(), 2 + 1 + 4 * floats_of(cg.ReRamSBPresetDevice())),
    ],
    ids=["inference", "modified", "constant step", "reram", "four rerams"],
)
def test_a_crosspoint_takes_what_its_devices_are(config: Any, floats: int) -> None:
    """float32 each; of pulsed cells two more while they are written, and their own weight; and a quarter."""
    assert crosspoint_bytes(config) == math.ceil(1.25 * 4 * floats)


def test_a_billion_weights_for_inference_fit_where_a_billion_devices_do_not() -> None:
    """60 tiles of 4096 x 4096 on 24 GB: 5 GB of weights, or 35 of constant-step devices."""
    tiles = tuple(TileSpec(k, k, 0, 4096 * k, 4096 * (k + 1), 0, 4096, f"0/{k}", 0) for k in range(60))
    inference = LayerSpec("a", 1, 60 * 4096, 4096, 60, 1, tiles, None, cg.InferenceRPUConfig())
    assert len(plan_actors([inference], "auto", nodes(4, free_bytes=24 << 30), False)) == 4
    pulsed = replace(inference, rpu_config=cg.SingleRPUConfig(device=cg.ConstantStepDevice()))
    with pytest.raises(cg.ConfigError, match=r"the tiles alone take 33\d{3} MB"):
        plan_actors([pulsed], "auto", nodes(4, free_bytes=24 << 30), False)


def test_too_little_memory_says_what_would_fit() -> None:
    short = nodes(8, free_bytes=4 * ACTOR_BYTES)
    with pytest.raises(cg.ConfigError, match=r"5 tile actors need about .* at most 3 actors fit.*'auto'"):
        plan_actors([layer_on("a", [0] * 5)], 1, short, False)
    assert len(plan_actors([layer_on("a", [0] * 5)], 2, short, False)) == 3
    with pytest.raises(cg.ConfigError, match="0 are free on node node1; the tiles alone take"):
        plan_actors([layer_on("a", [0, 1])], 1, [*nodes(2), Node("node1", 2, 0.0, 0)], False)


def test_too_many_processes_say_what_would_fit() -> None:
    with pytest.raises(cg.ConfigError, match=r"65 tile actors on the 1 processors.*at most 64 actors fit"):
        plan_actors([layer_on("a", [0] * 65)], 1, nodes(1), False)


def test_nothing_starts_where_the_machine_cannot_bear_it() -> None:
    """A layer of 4,096 tiles, an actor each: an error on entering, and the layer still computes here."""
    most = 64 * 64  # 64 actors a processor, and no test starts Ray with more than 63
    mapping = cg.MappingParameter(max_output_size=1, max_input_size=1)
    model = cg.convert_to_analog(nn.Linear(1, most), cg.FloatingPointRPUConfig(mapping=mapping))
    with pytest.raises(cg.ConfigError, match="tiles_per_actor='auto'"):
        cg.emulate(model, backend="ray").__enter__()
    assert model(torch.ones(1, 1)).shape == (1, most)
