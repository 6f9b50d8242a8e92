"""Experts that are slices of one parameter: known by how their pass multiplies, or named with their share."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot, silu
from torch_contract import Experts

import crossgrid as cg
from crossgrid.emulator.model.analog_model import analog_matrices
from crossgrid.emulator.shapes.analog import traced_shapes
from crossgrid.emulator.shapes.digital import shapes_of

EXACT = cg.FloatingPointRPUConfig()
PERFECT = cg.InferenceRPUConfig(forward=cg.IOParameters(is_perfect=True))


class Routed(nn.Module):
    """Four experts that are told which tokens they get and with which weight; biases stay digital."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.up_bias = nn.Parameter(torch.randn(4, 6, 10) / 3), nn.Parameter(torch.randn(4, 10))
        self.down = nn.Parameter(torch.randn(4, 10, 6) / 3)

    def forward(self, x: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for (expert,) in (one_hot(index, 4).sum((0, 1)) > 0).nonzero():
            token, place = torch.where(index == expert)
            h = silu(x[token] @ self.up[expert] + self.up_bias[expert])
            y.index_add_(0, token, (h @ self.down[expert]) * weights[token, place, None])
        return y


class Mixture(nn.Module):
    """A router, and experts that each get two of three tokens' places."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 4, bias=False), Routed()

    def forward(self, x: Tensor) -> Tensor:
        weights, index = self.gate(x).softmax(-1).topk(2, dim=-1)
        return self.experts(x, index, weights)


class AllAtOnce(nn.Module):
    """Tokens are sorted already; all experts multiply in one product. A layer of its own follows."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.out = nn.Parameter(torch.randn(3, 5, 7) / 3), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.bmm(x.reshape(3, -1, 5), self.w).reshape(-1, 7))


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 5, 5))
        self.out = nn.Linear(5, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.einsum("bi,eio->bo", x, self.w))


def beside(digital: nn.Module, x: Tensor, config: object) -> nn.Module:
    """The analog model, after outputs, gradients and a step were those of the digital one."""
    analog = cg.convert_to_analog(digital, config)
    digital = copy.deepcopy(digital)
    for model, optimizer in ((digital, torch.optim.SGD), (analog, cg.AnalogSGD)):
        steps = optimizer(model.parameters(), lr=0.1)
        model(x).square().sum().backward()
        steps.step()
    for ours, theirs in zip(analog.parameters(), digital.parameters(), strict=True):
        torch.testing.assert_close(ours.detach().clone(), theirs.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cg.convert_to_digital(analog)(x), digital(x), rtol=1e-5, atol=1e-5)
    return analog


@pytest.mark.parametrize("config", [EXACT, PERFECT], ids=["exact twin", "perfect inference"])
@pytest.mark.parametrize("make", [Mixture, AllAtOnce])
def test_experts_learn_as_their_digital_selves(make: type[nn.Module], config: object) -> None:
    torch.manual_seed(0)
    digital = make()
    analog = beside(digital, torch.randn(9, 6 if make is Mixture else 5), config)
    held = sum(matrix.weight.numel() for _, matrix in analog_matrices(analog))
    assert held == sum(p.numel() for n, p in digital.named_parameters() if "bias" not in n)
    assert type(cg.convert_to_digital(analog)) is make


def test_each_expert_has_matrices_with_names() -> None:
    analog = cg.convert_to_analog(Mixture(), EXACT)
    names = [f"experts.{stack}.{k}" for stack in ("up", "down") for k in range(4)]
    assert [*cg.analog_weights(analog)] == ["gate", *names]
    keys = {matrix.grid.spec.key for _, matrix in analog_matrices(analog)}
    assert len(keys) == 9


def test_an_unknown_layout_is_named_with_its_share() -> None:
    with pytest.warns(UserWarning, match=r"w \[3, 5, 5\] is not known.*75 % of the model's weights") as told:
        analog = cg.convert_to_analog(nn.Sequential(Unknown()), EXACT)
    assert len(told) == 1
    assert [*cg.analog_weights(analog)] == ["0.out"]
    cg.convert_to_analog(nn.Sequential(Unknown()), EXACT, exclude_modules=["0"])  # says nothing


class TwoWays(Experts):
    """Experts that multiply the other way round while they do not train."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else linear(x, self.gate_up[0].t().t()[:, :2])


def test_another_use_of_a_slice_is_refused_when_it_comes() -> None:
    analog = cg.convert_to_analog(TwoWays(), EXACT)
    analog(torch.randn(3, 5))
    with pytest.raises((cg.ConfigError, TypeError)):
        analog.eval()(torch.randn(3, 5))


def test_a_mapper_is_told_each_expert_s_share() -> None:
    """Two of four experts a token: half of the tokens meet an expert, on both sides, whatever the numbers."""
    torch.manual_seed(0)
    digital = Mixture().eval()
    analog = cg.convert_to_analog(digital, cg.SingleRPUConfig())
    ours = traced_shapes(analog, list(analog_matrices(analog)), (9, 6)).layers
    theirs = shapes_of(copy.deepcopy(digital), (9, 6)).layers
    assert ours == theirs
    experts = [layer for layer in theirs if "experts" in layer.name]
    assert {(layer.reuse, layer.activity) for layer in experts} == {(1, 0.5)}
    assert experts[-1].sources == ("experts.up.3",)


def test_experts_for_inference_are_clipped_programmed_and_age() -> None:
    torch.manual_seed(0)
    clip = cg.WeightClipParameter(type=cg.WeightClipType.FIXED_VALUE, fixed_value=0.1)
    analog = cg.convert_to_analog(Mixture(), cg.InferenceRPUConfig(clip=clip))
    x = torch.randn(9, 6)
    analog(x).sum().backward()
    assert float(analog.experts.up.detach().abs().max()) <= 0.1 + 1e-6
    analog.eval().program_analog_weights()
    programmed = analog(x)
    analog.drift_analog_weights(1e6)
    assert not torch.equal(programmed, analog(x))


def test_a_frozen_stack_stays_frozen() -> None:
    digital = Mixture()
    digital.experts.up.requires_grad_(False)
    analog = beside(digital, torch.randn(9, 6), EXACT)
    assert not analog.experts.up.requires_grad
    assert not cg.convert_to_digital(analog).experts.up.requires_grad


def test_stacks_in_a_list_are_named_with_their_share() -> None:
    """Whoever owns the list multiplies by them, in a way that is not known."""
    stacks = nn.ParameterList([nn.Parameter(torch.ones(2, 3, 4)), nn.Parameter(torch.ones(4))])
    model = nn.Sequential(nn.Linear(4, 4, bias=False), stacks)
    with pytest.warns(UserWarning, match=r"1 \(ParameterList: how its owner .*by 0 of it .*, 54\.5 %"):
        cg.convert_to_analog(model, cg.SingleRPUConfig())


def test_a_model_that_is_experts_of_an_unknown_layout_has_a_name() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blob = nn.Parameter(torch.ones(3, 4, 9))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("bi,eij->bej", x, self.blob)

    with pytest.warns(UserWarning, match=r"stay digital: the model \(Own: how it .*, 100 % of"):
        cg.convert_to_analog(Own(), cg.SingleRPUConfig())
