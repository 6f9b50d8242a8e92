"""Weights that are computed from others: on tiles where they are trained digitally, named elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization
from torch.utils._pytree import tree_leaves

import crossgrid as cg

PERFECT = cg.IOParameters(is_perfect=True)


class Halved(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w * 0.5


def halved(layer: nn.Module, name: str) -> nn.Module:
    return register_parametrization(layer, name, Halved(), unsafe=True)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), (2, 4)),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 3)), (2, 4)),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(4, 4, bias=False)), (2, 4)),
    "convolution": (lambda: parametrizations.weight_norm(nn.Conv1d(4, 3, 2), dim=2), (2, 4, 5)),
    "recurrent": (lambda: parametrizations.weight_norm(nn.LSTM(4, 3), "weight_hh_l0"), (5, 2, 4)),
    "weight and bias": (lambda: halved(parametrizations.weight_norm(nn.Linear(4, 3)), "bias"), (2, 4)),
}


def first(output: Any) -> Tensor:
    leaf: Tensor = tree_leaves(output)[0]
    return leaf


def exact() -> cg.InferenceRPUConfig:
    return cg.InferenceRPUConfig(forward=PERFECT, backward=PERFECT)


@pytest.mark.parametrize("name", LAYERS)
def test_what_the_weight_is_computed_from_is_trained(name: str) -> None:
    """Three steps beside the digital layer: the same parameters by name, the same outputs, there and back."""
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    digital, x = nn.Sequential(make()), torch.randn(shape)
    analog = cg.convert_to_analog(digital, exact())
    assert [n for n, _ in analog.named_parameters()] == [n for n, _ in digital.named_parameters()]
    assert len(list(analog.analog_layers())) == 1
    twin = copy.deepcopy(digital)
    for model in (analog, twin):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(3):
            optimizer.zero_grad()
            first(model(x)).square().sum().backward()
            optimizer.step()
    for own, other in zip(analog.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)
    analog.eval()
    twin.eval()
    y = first(analog(x))
    torch.testing.assert_close(y, first(twin(x)), rtol=1e-5, atol=1e-5)
    back = cg.convert_to_digital(analog)
    assert {*back.state_dict()} == {*twin.state_dict()}
    assert type(back[0]) is not type(digital[0]).__mro__[1]  # it computes its weight still
    torch.testing.assert_close(first(back(x)), y, rtol=1e-5, atol=1e-5)


def test_it_is_programmed_and_saved() -> None:
    digital, x = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4))), torch.randn(3, 6)
    models = []
    for seed in (1, 2):
        models.append(cg.convert_to_analog(digital, cg.InferenceRPUConfig(), seed=seed).eval())
    models[0].program_analog_weights()
    models[0].drift_analog_weights(1e4)
    state = models[0].state_dict()
    y = models[0](x)
    assert not torch.equal(models[1](x), y)
    models[1].load_state_dict(state)
    assert torch.equal(models[1](x), y)
    with torch.no_grad():
        models[1][0].parametrizations.weight.original0.mul_(2.0)
    with pytest.warns(UserWarning, match="the weight changed since it was programmed"):
        models[1](x)


def test_its_originals_are_no_digital_rest() -> None:
    """A summary counts the weight on its tiles once."""
    model = cg.convert_to_analog(nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8, False))), exact())
    told = cg.analog_summary(model)
    assert sum(row.weights for row in told.analog) == 64
    assert not [row for row in told.digital if row.weights]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), "convert it with an InferenceRPUConfig"),
        (
            lambda: halved(nn.MultiheadAttention(4, 2), "in_proj_weight"),
            "remove that first",
        ),
    ],
    ids=["pulsed", "attention"],
)
def test_where_it_cannot_be_it_is_named(make: Callable[[], nn.Module], why: str) -> None:
    model = nn.Sequential(make(), nn.Linear(3, 2))
    with pytest.warns(UserWarning, match=f"0 .*its weight is computed from others .*{why}"):
        analog = cg.convert_to_analog(model, cg.SingleRPUConfig())
    assert why in next(row.why for row in cg.analog_summary(analog).digital if row.name == "0")


@pytest.mark.parametrize("computed", [nn.utils.weight_norm, lambda layer: prune.identity(layer, "weight")])
@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm. is deprecated:FutureWarning")
def test_what_torch_cannot_copy_is_named(computed: Callable[[nn.Module], nn.Module]) -> None:
    """Torch's older tools leave a computed tensor in the module; in place nothing is copied."""
    model = nn.Sequential(nn.Sequential(computed(nn.Linear(4, 3))), nn.Linear(3, 2))
    with pytest.raises(cg.InputError, match=r"^the model cannot be copied: 0\.0\.weight is .*inplace=True$"):
        cg.convert_to_analog(model, exact())
    with pytest.warns(UserWarning, match=r"0\.0 .*its weight is computed from others"):
        analog = cg.convert_to_analog(model, cg.SingleRPUConfig(), inplace=True)
    assert isinstance(analog[1], cg.AnalogLinear)
    with pytest.raises(cg.InputError, match=r"0\.0\.weight is computed"):
        cg.convert_to_digital(analog)
