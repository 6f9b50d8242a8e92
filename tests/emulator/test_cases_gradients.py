"""What users of such tools do to a model, and the numbers that must come out: of gradients.

Every right value is torch's own, a finite difference, or follows from what the configuration says.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from case_networks import NETWORKS, exact, largest, perceptron, perfect
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

import crossgrid as cg


def attacked(model: nn.Module, optimizer: torch.optim.Optimizer, gradient: str) -> Tensor:
    """The outputs after one step on inputs that were moved along their own gradient."""
    x, y = torch.linspace(-1, 1, 80).reshape(4, 20), torch.tensor([0, 1, 2, 1])
    probe = x.clone().requires_grad_()
    optimizer.zero_grad()
    loss = cross_entropy(model(probe), y)
    if gradient == "autograd.grad":
        (g,) = torch.autograd.grad(loss, probe)
    elif gradient == "twice over one graph":
        torch.autograd.grad(loss, probe, retain_graph=True)
        (g,) = torch.autograd.grad(loss, probe)
    elif gradient == "backward(inputs)":
        loss.backward(inputs=[probe])
        g = probe.grad
    else:
        g = torch.autograd.functional.jacobian(lambda t: cross_entropy(model(t), y), x)
    cross_entropy(model(x + 0.3 * g.sign()), y).backward()
    optimizer.step()
    return model(x).detach()


@pytest.mark.case("F04")
@pytest.mark.parametrize(
    "gradient", ["autograd.grad", "twice over one graph", "backward(inputs)", "jacobian"]
)
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_inputs_leave_no_pulse_behind(network: str, gradient: str) -> None:
    torch.manual_seed(0)
    digital = NETWORKS[network]()
    analog = cg.convert_to_analog(digital, exact())
    theirs = attacked(digital, torch.optim.SGD(digital.parameters(), lr=0.5), gradient)
    ours = attacked(analog, cg.AnalogSGD(analog.parameters(), lr=0.5), gradient)
    assert largest(ours, theirs) < 1e-5


@pytest.mark.case("F04")
def test_gradients_of_inputs_alone_move_nothing() -> None:
    analog = cg.convert_to_analog(perceptron(), exact())
    before = cg.weights_sha256(analog)
    x = torch.randn(4, 20, requires_grad=True)
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.5)
    torch.autograd.grad(analog(x).sum(), x)
    optimizer.step()
    assert cg.weights_sha256(analog) == before


def accumulated(model: nn.Module, optimizer: torch.optim.Optimizer, how: str) -> Tensor:
    torch.manual_seed(1)
    a, b = torch.randn(4, 20), torch.randn(4, 20)
    if how == "two batches":
        model(a).square().sum().backward()
        model(b).square().sum().backward()
    elif how == "one graph twice":
        loss = model(a).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
    elif how == "a layer used twice":
        model(a).square().sum().add(model(b).sum()).backward()
    elif how == "cleared in between":
        model(a).square().sum().backward()
        optimizer.zero_grad()
        model(b).square().sum().backward()
    elif how == "cleared to zeros":
        model(a).square().sum().backward()
        optimizer.zero_grad(set_to_none=False)
        model(b).square().sum().backward()
    elif how == "gradients by hand":
        grads = torch.autograd.grad(model(a).square().sum(), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), grads, strict=True):
            parameter.grad = gradient
    else:
        reentrant = how == "checkpointed, reentrant"
        checkpoint(model, a.requires_grad_(), use_reentrant=reentrant).square().sum().backward()
    optimizer.step()
    return model(a).detach()


@pytest.mark.case("F04")
@pytest.mark.parametrize("how", [
    "two batches", "one graph twice", "a layer used twice", "cleared in between", "cleared to zeros",
    "gradients by hand", "checkpointed", "checkpointed, reentrant",
])  # fmt: skip
def test_gradients_accumulate_as_torch_s_do(how: str) -> None:
    torch.manual_seed(0)
    digital = perceptron()
    analog = cg.convert_to_analog(digital, exact())
    theirs = accumulated(digital, torch.optim.SGD(digital.parameters(), lr=0.01), how)
    ours = accumulated(analog, cg.AnalogSGD(analog.parameters(), lr=0.01), how)
    assert largest(ours, theirs) < 1e-5


@pytest.mark.case("S7")
@pytest.mark.parametrize("config", [exact, perfect])
def test_gradients_of_gradients_are_refused_with_a_way_out(config: Callable[[], Any]) -> None:
    layer, x = cg.AnalogLinear(4, 3, rpu_config=config()), torch.randn(2, 4, requires_grad=True)
    (g,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(cg.ConfigError, match="exclude_modules"):
        g.square().sum().backward()


@pytest.mark.case("F05")
@pytest.mark.parametrize("config", [exact, perfect, cg.SingleRPUConfig], ids=["exact", "hwa", "pulsed"])
@pytest.mark.parametrize("frozen", ["layer", "weight", "bias"])
def test_frozen_parameters_survive_conversion_and_do_not_move(config: Callable[[], Any], frozen: str) -> None:
    torch.manual_seed(0)
    digital = perceptron()
    names = {"layer": ("weight", "bias"), "weight": ("weight",), "bias": ("bias",)}[frozen]
    for name in names:
        getattr(digital[0], name).requires_grad_(False)
    analog = cg.convert_to_analog(digital, config())
    wanted = [p.requires_grad for p in digital.parameters()]
    assert [p.requires_grad for p in analog.parameters()] == wanted
    before = dict(zip(("weight", "bias"), analog[0].get_weights(), strict=True))
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    analog(torch.randn(8, 20)).square().sum().backward()
    optimizer.step()
    after = dict(zip(("weight", "bias"), analog[0].get_weights(), strict=True))
    assert {n: torch.equal(before[n], after[n]) for n in before} == {n: n in names for n in before}
    assert [p.requires_grad for p in cg.convert_to_digital(analog).parameters()] == wanted


class TiedHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, t: Tensor) -> Tensor:
        return self.head(self.embed(t))


class TiedLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a, self.b = nn.Embedding(10, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, t: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(self.embed(t))))


@pytest.mark.case("F06")
@pytest.mark.parametrize("config", [exact, perfect])
@pytest.mark.parametrize("network", [TiedHead, TiedLayers])
def test_tied_weights_stay_tied(network: type[nn.Module], config: Callable[[], Any]) -> None:
    """They train as torch's do. Devices that learn by pulses cannot share a weight: that is said."""
    torch.manual_seed(0)
    digital, t = network(), torch.arange(10) % 4
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        analog = cg.convert_to_analog(digital, config())
    assert bool(told) == (config is exact)
    for model, optimizer in ((digital, torch.optim.SGD), (analog, cg.AnalogSGD)):
        steps = optimizer(model.parameters(), lr=0.05)
        for _ in range(5):
            steps.zero_grad()
            cross_entropy(model(t), t).backward()
            steps.step()
    back = cg.convert_to_digital(analog)
    first, second = (back.embed, back.head) if network is TiedHead else (back.a, back.b)
    assert first.weight is second.weight
    for own, theirs in zip(back.parameters(), digital.parameters(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.case("F28")
@pytest.mark.parametrize("train", ["the head", "nothing"])
def test_memory_does_not_grow_where_nobody_asks_for_an_update(train: str) -> None:
    """The tiles keep one pass of a layer that no optimizer holds, however many went backward."""
    torch.manual_seed(0)
    model = cg.convert_to_analog(perceptron(), exact())
    optimizer = cg.AnalogSGD(model[2].parameters(), lr=0.01) if train == "the head" else None
    for _ in range(20):
        model.zero_grad() if optimizer is None else optimizer.zero_grad()
        model(torch.randn(4, 20)).square().sum().backward()
        if optimizer is not None:
            optimizer.step()
    gc.collect()
    model(torch.randn(4, 20))  # tells the tiles what may be forgotten
    assert len(model[0].grid.executor.worker.layers[0].kept) <= 2


@pytest.mark.case("F28")
def test_memory_is_not_saved_in_silence() -> None:
    """Who makes the optimizer after several passes is told that they are gone; after one, it trains."""
    torch.manual_seed(0)
    digital, x = nn.Linear(20, 3), torch.randn(4, 20)
    analog = cg.convert_to_analog(digital, exact())
    digital(x).sum().backward()
    torch.optim.SGD(digital.parameters(), lr=0.1).step()
    analog(x).sum().backward()
    cg.AnalogSGD(analog.parameters(), lr=0.1).step()
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-4, atol=1e-5)
    gc.collect()
    for _ in range(2):
        analog(x).sum().backward()
    with pytest.raises(cg.ConfigError, match="before the first backward pass"):
        cg.AnalogSGD(analog.parameters(), lr=0.1).step()
