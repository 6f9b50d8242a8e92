"""Every analog layer beside its torch twin: what users do works as in torch, or is refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_contract import BEHAVIOURS, CONFIGS, LAYERS, WITHIN

import crossgrid as cg

#: what is done to a layer by its parameter's own name
OF_A_LAYER_ITSELF = {
    "pruning, while it computes the weight", "pruning, made permanent", "parametrization",
    "assigning a parameter", "weight normalization",
}  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "torch.md"


def beside_its_twin(
    make: Callable[[], nn.Module], shape: tuple[int, ...], config: str, behaviour: str
) -> None:
    """Act on a layer and on its twin: as in torch, or refused."""
    torch.manual_seed(0)
    twin, x = make(), torch.randn(shape)
    analog = cg.convert_to_analog(copy.deepcopy(twin), CONFIGS[config]())
    act, pulsed, inference = BEHAVIOURS[behaviour]
    refused = pulsed if config == "exact twin" else inference
    if not refused:
        act(analog, twin, x)
        return
    with pytest.raises((cg.ConfigError, cg.InputError), match=refused) as told:
        act(analog, twin, x)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore")  # what torch's own tools say about the twin
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("layer", LAYERS)
def test_an_analog_layer_is_a_torch_layer_or_says_so(layer: str, config: str, behaviour: str) -> None:
    make, shape = LAYERS[layer]
    beside_its_twin(make, shape, config, behaviour)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("behaviour", [name for name in BEHAVIOURS if name not in OF_A_LAYER_ITSELF])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("layer", WITHIN)
def test_a_layer_of_several_inputs_within_a_model(layer: str, config: str, behaviour: str) -> None:
    make, shape = WITHIN[layer]
    beside_its_twin(make, shape, config, behaviour)


def test_the_table_of_behaviours_is_documented() -> None:
    """docs/torch.md has one row a behaviour: what pulsed layers and inference layers do."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for behaviour, (_, pulsed, inference) in BEHAVIOURS.items():
        cells = ["refused" if refused else "as torch" for refused in (pulsed, inference)]
        assert f"| {behaviour} | {cells[0]} | {cells[1]} |" in text
