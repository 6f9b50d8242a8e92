"""The cheapest kinds of tiles within a budget: against every choice that there is."""

from __future__ import annotations

import itertools
import random

import pytest
import test_kinds as kinds

from crossgrid.chip import map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.mapping.choice import Option, Options, cheapest, options_of
from crossgrid.kernels.errors import ConfigError


def by_hand(options: Options, budget: float, room: dict[str, int]) -> float | None:
    """The least energy of all choices within budget and room; None where there is none."""
    best = None
    for chosen in itertools.product(*(list(of.items()) for of in options.values())):
        used = dict.fromkeys(room, 0)
        for kind, option in chosen:
            used[kind] += option.tiles
        loss = sum(max(option.loss, 0.0) for _, option in chosen)
        if loss <= budget + 1e-12 and all(used[kind] <= room[kind] for kind in room):
            energy = sum(option.energy_pj for _, option in chosen)
            best = energy if best is None else min(best, energy)
    return best


def random_options(draw: random.Random) -> tuple[dict[str, dict[str, Option]], dict[str, int]]:
    """Two to six layers; losses are whole numbers of 360 inputs, some are gains, some kinds are none."""
    names = ["home", "fine", "digital"]
    options = {}
    for layer in range(draw.randint(2, 6)):
        there = [name for name in names if draw.random() < 0.9] or ["home"]
        options[f"layer{layer}"] = {
            name: Option(10 ** draw.uniform(0, 5), draw.randint(-3, 12) / 360, draw.randint(1, 9))
            for name in there
        }
    return options, {name: draw.randint(4, 30) for name in names}


@pytest.mark.parametrize("seed", range(60))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    draw = random.Random(seed)
    options, room = random_options(draw)
    budget = draw.randint(0, 24) / 360  # met exactly by some choices
    best = by_hand(options, budget, room)
    if best is None:
        with pytest.raises(ConfigError, match=r"no kinds of tiles lose so little|do not fit the tiles"):
            cheapest(options, budget, room)
        return
    found = cheapest(options, budget, room)
    assert found.energy_pj == pytest.approx(best, rel=1e-9)
    assert found.loss <= budget + 1e-12
    assert set(found.kinds) == set(options)
    assert found == cheapest(options, budget, room)
    for kind, there in room.items():
        assert sum(options[layer][of].tiles for layer, of in found.kinds.items() if of == kind) <= there


def test_a_larger_budget_never_costs_more() -> None:
    options, room = random_options(random.Random(3))
    energies = [cheapest(options, budget / 360, room).energy_pj for budget in range(20, 60, 5)]
    assert energies == sorted(energies, reverse=True)


def test_why_there_is_no_choice_is_said() -> None:
    option = Option(1.0, 0.25, 3)
    with pytest.raises(
        ConfigError, match=r"budget = 0\.1: no kinds of tiles lose so little accuracy, the least is 0\.5"
    ):
        cheapest({"a": {"home": option}, "b": {"home": option}}, 0.1, {"home": 6})
    with pytest.raises(ConfigError, match=r"'home' 5 \(all layers need 6\); take more chips"):
        cheapest({"a": {"home": option}, "b": {"home": option}}, 1.0, {"home": 5})


def test_options_are_what_layers_take_on_a_plan_of_one_kind() -> None:
    """The energy of a whole plan, less what travels; tiles as it has them."""
    chip = kinds.chip()
    losses = {name: {layer.name: 0.0 for layer in kinds.LAYERS} for name in chip.kind_names}
    options = options_of(kinds.LAYERS, chip, losses)
    for name in chip.kind_names:
        plan = map_layers(kinds.LAYERS, chip, kinds={"*": name})
        for layer, tiles in zip(cost_of(plan, chip).layers, plan.layer_tiles.tolist(), strict=True):
            own = sum(v for part, v in layer.energy_by_part.items() if part not in kinds.BETWEEN)
            assert options[layer.name][name].energy_pj == pytest.approx(own)
            assert options[layer.name][name].tiles == tiles
