"""Where stages begin: at places that a pass does not go back across, as far as there are any."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.stages.passes.cut import Path, cut_model
from crossgrid.emulator.stages.passes.passing import Branches, Passages
from crossgrid.emulator.stages.passes.path import path_of

INFERENCE = cg.InferenceRPUConfig()


class Wandering(nn.Module):
    """Layers that are called in any order, some several times."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(1 + max(order)))

    def forward(self, x: Tensor) -> Tensor:
        for number in self.order:
            x = torch.tanh(self.layers[number](x))
        return x


class Shared(nn.Module):
    """A norm that is registered behind the layer that it comes before, and called again behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first, self.second = nn.Embedding(11, 16), nn.Linear(16, 17), nn.Linear(17, 17)
        self.norm, self.head = nn.LayerNorm(17), nn.Linear(17, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.first(self.embed(tokens))
        return self.head(self.norm(x + self.second(self.norm(x))))


def passes(model: nn.Module, cut: Any, x: Tensor) -> bool:
    passages = Passages(model, cut, None)
    try:
        passages.find_needs(x)
    except Branches:
        return False
    finally:
        passages.remove()
    return True


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_is_found_wherever_there_is_one(seed: int) -> None:
    """Every cut into every number of stages is tried: that number is possible exactly where one passes."""
    drawn = random.Random(seed)
    count = drawn.randint(2, 5)
    order = [*range(count), *(drawn.randrange(count) for _ in range(seed % 4))]
    order.sort(key=lambda number: number + drawn.choice((0.0, 0.0, 1.5)))
    model, x = Wandering(order), torch.rand(2, 6)
    path = path_of(model, x)
    assert path == Path(tuple(f"layers.{number}" for number in order), sure=True)
    for stages in range(1, count + 1):
        starts = itertools.combinations([f"layers.{number}" for number in range(1, count)], stages - 1)
        possible = [cut for names in starts if passes(model, cut := cut_model(model, names, 2), x)]
        if possible:
            assert cut_model(model, stages, 2, path) in possible
        else:
            with pytest.raises(cg.ConfigError, match=r"at most \d stages|no cut is possible"):
                cut_model(model, stages, 2, path)


def test_stages_begin_where_no_example_is_needed() -> None:
    """The first layer says what it takes; stage after stage gives the whole model's output."""
    x = torch.arange(12).view(3, 4) % 11
    model = cg.convert_to_analog(Shared(), INFERENCE).eval()
    emulation = cg.emulate(model, backend="ray", stages=4)
    assert emulation.cut is not None
    assert emulation.cut.starts == ("first", "second", "head")
    with torch.no_grad():
        expected = copy.deepcopy(model)(x)
    needs, _ = Passages(copy.deepcopy(model), emulation.cut, None).find_needs(x)
    handed: Any = {}
    for stage in range(4):
        wanted = frozenset(needs.crossing(stage + 1)) if stage < 3 else frozenset[str]()
        handed = Passages(copy.deepcopy(model), emulation.cut, stage).run(x, handed, wanted)
    assert torch.equal(handed, expected)


def test_an_example_tells_what_is_possible_before_anything_starts() -> None:
    model = cg.convert_to_analog(Shared(), INFERENCE)
    before = torch.get_rng_state()
    said = r"stages = 5: .* at most 4 stages are possible, which can begin with first, second, head"
    for example in (torch.zeros(2, 4, dtype=torch.int64), (2, 4)):
        with pytest.raises(cg.ConfigError, match=said):
            cg.emulate(model, backend="ray", stages=5, example_input=example)
    assert cg.emulate(model, backend="ray", stages=5).cut is not None  # its own input may take another path
    auto = cg.emulate(model, backend="ray", stages="auto", example_input=(2, 4)).cut
    assert auto is not None
    assert auto.count <= 4
    assert torch.equal(before, torch.get_rng_state())
    assert model.training


class CalledPast(nn.Module):
    """Goes through the layers of a part by itself, once as a list and once past the part's own forward."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.body, self.head = kind([nn.Linear(6, 6), nn.Linear(6, 6)]), nn.Linear(6, 40)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = layer(x)
        return self.head(x)


def test_what_is_called_past_its_own_forward_is_refused_and_a_list_is_not() -> None:
    """Another stage would compute with parts whose numbers it does not have."""
    for kind in (nn.ModuleList, lambda layers: nn.Sequential(*layers)):
        model = CalledPast(kind)
        for convert in (lambda model: model, lambda model: cg.convert_to_analog(model, INFERENCE)):
            made = convert(model)
            within, at_head = (cut_model(made, [start], 2) for start in ("body.1", "head"))
            assert passes(made, within, torch.rand(2, 6))
            if kind is nn.ModuleList:
                assert set(at_head.parts) == {"body.0", "body.1", "head"}
                assert passes(made, at_head, torch.rand(2, 6))
            else:
                with pytest.raises(cg.ConfigError, match=r"parts of body \(.*Linear, ...\) are called"):
                    passes(made, at_head, torch.rand(2, 6))
