"""Analog layers with ideal devices against torch's own layers; every cut gives the same function."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import crossgrid as cg


def ideal(max_out: int = 512, max_in: int = 512) -> cg.FloatingPointRPUConfig:
    mapping = cg.MappingParameter(max_output_size=max_out, max_input_size=max_in)
    return cg.FloatingPointRPUConfig(mapping=mapping)


CUTS = [(512, 512), (3, 512), (512, 4), (3, 4)]

LAYERS = {
    "linear": (lambda: nn.Linear(11, 7), (5, 11)),
    "linear, three dimensions": (lambda: nn.Linear(11, 7), (2, 3, 11)),
    "linear, no bias": (lambda: nn.Linear(11, 7, bias=False), (5, 11)),
    "linear, one vector": (lambda: nn.Linear(11, 7), (11,)),
    "conv1d": (lambda: nn.Conv1d(3, 5, 4, stride=2, padding=1), (2, 3, 13)),
    "conv2d": (lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 3, 9, 8)),
    "conv2d, one image": (lambda: nn.Conv2d(3, 5, 3), (3, 9, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, padding=1), (2, 2, 4, 5, 3)),
}


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_an_ideal_layer_is_the_torch_layer(name: str, cut: tuple[int, int]) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    digital = make()
    analog = cg.convert_to_analog(digital, ideal(*cut))
    x = torch.randn(shape)
    x_digital, x_analog = x.clone().requires_grad_(), x.clone().requires_grad_()
    y_digital, y_analog = digital(x_digital), analog(x_analog)
    torch.testing.assert_close(y_analog, y_digital, rtol=1e-5, atol=1e-5)
    d = torch.randn_like(y_digital)
    y_digital.backward(d)
    y_analog.backward(d)
    torch.testing.assert_close(x_analog.grad, x_digital.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_an_ideal_update_is_sgd(name: str, cut: tuple[int, int]) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    digital = make()
    analog = cg.convert_to_analog(digital, ideal(*cut))
    steps = []
    for model, optimizer in (
        (digital, torch.optim.SGD(digital.parameters(), lr=0.05)),
        (analog, cg.AnalogSGD(analog.parameters(), lr=0.05)),
    ):
        torch.manual_seed(4)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(shape)).square().sum().backward()
            optimizer.step()
        steps.append(model)
    weight, bias = analog.get_weights()
    torch.testing.assert_close(weight, digital.weight.detach(), rtol=1e-4, atol=1e-5)
    if bias is not None:
        torch.testing.assert_close(bias, digital.bias.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_images_are_taken_and_their_gradients_given_as_they_are_stored(cut: tuple[int, int]) -> None:
    """Pixel by pixel or channel by channel: the same bits, and the layout of the input for the gradient."""
    config = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=cut[0], max_input_size=cut[1]))
    torch.manual_seed(3)
    images, d = torch.randn(2, 3, 9, 8), torch.randn(2, 5, 7, 6)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        layer = cg.AnalogConv2d(3, 5, 3, rpu_config=config, seed=1)
        torch.manual_seed(4)
        layer.set_weights(torch.randn(5, 3, 3, 3) / 9, torch.zeros(5))
        x = images.clone(memory_format=layout).requires_grad_()
        y = layer(x)
        y.backward(d)
        found.append((y, x.grad))
    (y, grad), (y_last, grad_last) = found
    assert torch.equal(y, y_last)
    assert torch.equal(grad, grad_last)
    assert cut[1] == 4 or grad_last.is_contiguous(memory_format=torch.channels_last)


def test_images_that_were_made_may_be_written_to_in_place() -> None:
    """As torch's own convolution lets them: a ReLU in place may follow."""
    for rpu_config in (cg.SingleRPUConfig(), ideal(), cg.InferenceRPUConfig()):
        layer = cg.AnalogConv2d(3, 5, 3, rpu_config=rpu_config, seed=1)
        x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
        y = layer(x)
        kept = y.detach().clone()
        torch.relu_(y)
        assert torch.equal(y, kept.clamp(min=0))
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0


def test_volumes_are_taken_and_their_gradients_given_as_they_are_stored() -> None:
    volumes, found = torch.randn(2, 2, 4, 5, 3, generator=torch.Generator().manual_seed(3)), []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        layer = cg.AnalogConv3d(2, 3, 2, padding=1, rpu_config=cg.SingleRPUConfig(), seed=1)
        layer.set_weights(torch.linspace(-0.1, 0.1, 48).reshape(3, 2, 2, 2, 2), torch.zeros(3))
        x = volumes.clone(memory_format=layout).requires_grad_()
        y = layer(x)
        y.sum().backward()
        found.append((y, x.grad))
    (y, grad), (y_last, grad_last) = found
    assert torch.equal(y, y_last)
    assert torch.equal(grad, grad_last)
    assert grad_last.is_contiguous(memory_format=torch.channels_last_3d)


def test_gradients_add_up_over_several_passes() -> None:
    """Two backward passes before a step are the sum of both, in torch and on tiles."""
    torch.manual_seed(0)
    digital = nn.Linear(6, 4)
    analog = cg.convert_to_analog(digital, ideal(3, 3))
    sgd, analog_sgd = torch.optim.SGD(digital.parameters(), 0.1), cg.AnalogSGD(analog.parameters(), 0.1)
    xs = torch.randn(2, 5, 6)
    for model, optimizer in ((digital, sgd), (analog, analog_sgd)):
        optimizer.zero_grad()
        loss = model(xs[0]).square().sum() + model(xs[1]).sin().sum()
        model(xs[1])  # read, never trained on
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(analog.get_weights()[0], digital.weight.detach(), rtol=1e-4, atol=1e-5)


def test_zero_grad_drops_what_was_not_applied() -> None:
    layer = cg.AnalogLinear(4, 3, rpu_config=ideal())
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    before = layer.get_weights()[0]
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(layer.get_weights()[0], before)


def test_tiles_forget_passes_that_nobody_trains_on() -> None:
    layer = cg.AnalogLinear(4, 3)
    for _ in range(20):
        layer(torch.ones(2, 4))
    with torch.no_grad():
        layer(torch.ones(2, 4))
    hosted = layer.grid.executor.worker.layers[0]
    assert len(hosted.kept) <= 1


def test_a_step_needs_no_input_gradient_of_the_first_layer() -> None:
    """The first layer's tiles are not read backward: nobody needs the gradient of the data."""
    model = cg.convert_to_analog(
        nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), cg.SingleRPUConfig()
    )
    model(torch.randn(5, 4)).sum().backward()
    assert model[0].grid.ticks.backward == 0
    assert model[2].grid.ticks.backward == 5


def test_a_trained_layer_differs_by_seed_and_repeats_by_seed() -> None:
    def trained(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        layer = cg.AnalogLinear(9, 8)
        optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            layer(torch.linspace(-1, 1, 36).reshape(4, 9)).square().sum().backward()
            optimizer.step()
        return layer.get_weights()[0]

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_two_layers_of_one_model_share_no_noise() -> None:
    torch.manual_seed(0)
    a, b = cg.AnalogLinear(8, 8), cg.AnalogLinear(8, 8)
    weights = torch.zeros(8, 8)
    a.set_weights(weights)
    b.set_weights(weights)
    x = torch.ones(1, 8)
    assert not torch.equal(a(x) - a.bias, b(x) - b.bias)


def test_state_dict_goes_on_with_the_same_bits() -> None:
    """A freshly built model takes over weights, devices and logical time."""
    data = torch.randn(6, 4, 9, generator=torch.Generator().manual_seed(5))

    def step(layer: nn.Module, x: torch.Tensor) -> None:
        optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()

    torch.manual_seed(1)
    first = cg.AnalogLinear(9, 8)
    for x in data[:3]:
        step(first, x)
    torch.manual_seed(77)
    second = cg.AnalogLinear(9, 8)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    third = copy.deepcopy(first)
    for x in data[3:]:
        for layer in (first, second, third):
            step(layer, x)
    assert torch.equal(first.get_weights()[0], second.get_weights()[0])
    assert torch.equal(first.get_weights()[0], third.get_weights()[0])
    assert torch.equal(first.bias, second.bias)


def test_convert_to_digital_and_back() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    analog = cg.convert_to_analog(model, ideal())
    digital = cg.convert_to_digital(analog)
    x = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(digital(x), model(x))
    assert isinstance(model[0], nn.Conv2d)
    assert isinstance(analog[0], cg.AnalogConv2d)


def test_layers_can_be_excluded_and_configured_one_by_one() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))

    def own(name: str, layer: nn.Module, config: cg.SingleRPUConfig) -> cg.SingleRPUConfig | None:
        if name == "1":
            return None
        config.forward.out_noise = 0.0
        return config

    analog = cg.convert_to_analog(
        model, cg.SingleRPUConfig(), exclude_modules=["2"], specific_rpu_config_fun=own
    )
    assert [type(layer).__name__ for layer in analog] == ["AnalogLinear", "Linear", "Linear"]
    assert analog[0].rpu_config.forward.out_noise == 0.0
    with pytest.raises(cg.ConfigError, match="module in exclude_modules '3'"):
        cg.convert_to_analog(model, cg.SingleRPUConfig(), exclude_modules=["3"])


def test_a_layer_copies_its_configuration() -> None:
    config = cg.SingleRPUConfig()
    layer = cg.AnalogLinear(4, 4, rpu_config=config)
    config.forward.out_noise = 5.0
    assert layer.rpu_config.forward.out_noise == 0.06
