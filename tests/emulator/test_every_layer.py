"""Every analog layer: an exact twin, a pulsed step that is the gradient's in the mean, what a mapper is told,
and equal bits wherever its tiles live."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch_contract import LAYERS, Twice, first

import crossgrid as cg
from crossgrid.emulator.model.analog_model import analog_matrices
from crossgrid.emulator.shapes.analog import traced_shapes
from crossgrid.emulator.shapes.digital import layers_of

MAKERS = {**LAYERS, "Bilinear": (Twice, (3, 5))}


class Within(nn.Module):
    """A layer as part of a model, so that it has a name."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return first(self.layer(x))


def model_and_input(name: str) -> tuple[nn.Module, Tensor]:
    make, shape = MAKERS[name]
    torch.manual_seed(1)
    return Within(make()), torch.randn(shape)


def close(ours: Tensor, theirs: Tensor) -> None:
    """Sums of at most a hundred products of about one: 10 x 2^-24 each way, and a third as much again."""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", MAKERS)
def test_the_digital_twin_is_exact(name: str, training: bool) -> None:
    digital, x = model_and_input(name)
    digital.train(training)
    analog = cg.convert_to_analog(digital, cg.FloatingPointRPUConfig())
    gradients = []
    for model, optimizer in ((digital, torch.optim.SGD), (analog, cg.AnalogSGD)):
        read = x.clone().requires_grad_()
        steps = optimizer(model.parameters(), lr=0.1)
        y = model(read)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).mean().backward()
        steps.step()
        gradients.append((y.detach(), read.grad))
    for ours, theirs in zip(*reversed(gradients), strict=True):
        close(ours, theirs)
    for ours, theirs in zip(analog.parameters(), digital.parameters(), strict=True):
        close(ours.detach().clone(), theirs.detach())


PULSED = cg.SingleRPUConfig(
    device=cg.ConstantStepDevice(
        dw_min=1e-3, dw_min_dtod=0.0, dw_min_std=0.0, up_down_dtod=0.0, w_min_dtod=0.0, w_max_dtod=0.0,
        w_min=-9.0, w_max=9.0,
    ),
    forward=cg.IOParameters(is_perfect=True), backward=cg.IOParameters(is_perfect=True),
)  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_a_pulsed_step_is_the_gradients_in_the_mean(name: str) -> None:
    """The step along the gradient, in units of the rate times the gradient, of 24 layers with other pulses.

    The rate is such that no weight is to move by more than 10 steps of the device, of which a train has 31.
    """
    digital, x = model_and_input(name)
    first(digital(x)).square().sum().backward()
    gradients = {n: p.grad for n, p in digital.named_parameters() if "bias" not in n}
    lr, ratios = 0.01 / max(float(g.abs().max()) for g in gradients.values()), []
    for seed in range(24):
        analog = cg.convert_to_analog(copy.deepcopy(digital), PULSED, seed=seed)
        before = {n: p.detach().clone() for n, p in analog.named_parameters()}
        optimizer = cg.AnalogSGD(analog.parameters(), lr=lr)
        optimizer.zero_grad()
        first(analog(x)).square().sum().backward()
        optimizer.step()
        after = dict(analog.named_parameters())
        along = sum(((before[n] - after[n].detach().clone()) * g).sum() for n, g in gradients.items())
        ratios.append(along / lr / sum(g.square().sum() for g in gradients.values()))
    found = torch.stack(ratios)
    error = float(found.std()) / 24**0.5
    assert error < 0.05
    assert abs(float(found.mean()) - 1) < 4 * error


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_mapped_is_what_is_converted(name: str) -> None:
    """``crossgrid map`` and ``emulate`` are told the same matrices, read as often, in the same order."""
    digital, x = model_and_input(name)
    digital.eval()
    analog = cg.convert_to_analog(digital, cg.SingleRPUConfig())
    matrices = list(analog_matrices(analog))
    ours = traced_shapes(analog, matrices, x).layers
    theirs = layers_of(copy.deepcopy(digital), x)
    assert {(s.name, s.out, s.in_, s.groups, s.reuse, s.convolution) for s in ours} == {
        (s.name, s.out, s.in_, s.groups, s.reuse, s.convolution) for s in theirs
    }
    assert sum(s.weights for s in theirs) == sum(m.weight.numel() for _, m in matrices)


class All(nn.Module):
    """The layers, each with its own input."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        made = [model_and_input(name) for name in names]
        self.layers = nn.ModuleList(model for model, _ in made)
        self.inputs = [x for _, x in made]

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.stack(
            [layer(x).square().mean() for layer, x in zip(self.layers, self.inputs, strict=True)]
        )


def trained(names: list[str], **where: object) -> str:
    analog = cg.convert_to_analog(All(names), cg.SingleRPUConfig(), seed=3)
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    with cg.emulate(analog, **where):
        for _ in range(2):
            optimizer.zero_grad()
            analog(torch.ones(1)).sum().backward()
            optimizer.step()
        return cg.weights_sha256(analog)


@pytest.mark.usefixtures("ray_session")
def test_equal_bits_wherever_the_tiles_live() -> None:
    names = [
        name for name in MAKERS if name not in ("Linear", "Conv1d", "Conv2d", "Conv3d", "RNN", "LSTM", "GRU")
    ]
    assert trained(names) == trained(names, backend="ray", tiles_per_actor=12)
