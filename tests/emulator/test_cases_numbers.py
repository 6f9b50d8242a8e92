"""What users of such tools do to a model, and the numbers that must come out: scales, ranges, bounds, modes.

Every right value is torch's own, a finite difference, or follows from what the configuration says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from case_networks import NETWORKS, exact, largest, perceptron, perfect
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import crossgrid as cg

YEAR = 365 * 24 * 3600.0


@pytest.mark.case("F01")
@pytest.mark.parametrize("network", NETWORKS)
def test_evaluation_mode_survives_conversion(network: str) -> None:
    """Programmed and aged in evaluation mode, a network errs as much as one that was set to it afterwards."""
    torch.manual_seed(0)
    digital, x = NETWORKS[network]().eval(), torch.randn(8, 20)
    analog = cg.convert_to_analog(digital, perfect())
    assert [m.training for m in analog.modules()] == [False] * len(list(analog.modules()))
    analog.program_analog_weights()
    analog.drift_analog_weights(1e7)
    again = cg.convert_to_analog(digital, perfect()).eval()
    again.program_analog_weights()
    again.drift_analog_weights(1e7)
    assert torch.equal(analog(x), again(x))
    assert largest(analog(x), digital(x)) > 0.01  # 1e7 s take more than half of a PCM's conductance
    assert not cg.convert_to_digital(analog).training


@pytest.mark.case("F01")
def test_evaluation_mode_of_a_part_survives_conversion() -> None:
    digital = perceptron().train()
    digital[0].eval()
    analog = cg.convert_to_analog(digital, perfect())
    assert (analog[0].training, analog[0].analog_tile.training, analog[2].training) == (False, False, True)


@pytest.mark.case("F31")
@pytest.mark.parametrize("network", NETWORKS)
def test_programming_survives_a_pass_in_training_mode(network: str) -> None:
    torch.manual_seed(0)
    digital, x = NETWORKS[network](), torch.randn(8, 20)
    analog = cg.convert_to_analog(digital, perfect()).eval()
    analog.program_analog_weights()
    programmed = analog(x)
    assert largest(programmed, digital(x)) > 0.003
    analog.train()(x).sum().backward()
    assert torch.equal(analog.eval()(x), programmed)
    analog.drift_analog_weights(YEAR)
    aged = analog(x)
    with torch.no_grad():
        analog.train()(x)
    assert torch.equal(analog.eval()(x), aged)


@pytest.mark.case("F31")
def test_programming_is_said_to_be_gone_once_the_weight_changed() -> None:
    """Evaluation then reads the trained weight; with the weight of before, what was programmed again."""
    torch.manual_seed(0)
    analog, x = cg.convert_to_analog(nn.Linear(20, 3), perfect()).eval(), torch.randn(8, 20)
    analog.program_analog_weights()
    programmed, trained = analog(x), analog.weight.detach().clone()
    with torch.no_grad():
        analog.weight.mul_(2.0)
    with pytest.warns(UserWarning, match="changed since it was programmed"):
        y = analog(x)
    torch.testing.assert_close(y, nn.functional.linear(x, analog.weight, analog.bias), rtol=1e-5, atol=1e-6)
    with pytest.raises(cg.NotProgrammedError, match="program_analog_weights"):
        analog.drift_analog_weights(1.0)
    with torch.no_grad():
        analog.weight.copy_(trained)
    assert torch.equal(analog(x), programmed)


def ranged(digital: nn.Module, r: float, **changes: Any) -> Any:
    given = cg.InputRangeParameter(enable=True, init_value=r, init_from_data=0, decay=0.0, **changes)
    return cg.convert_to_analog(digital, perfect(pre_post=cg.PrePostProcessingParameter(input_range=given)))


@pytest.mark.case("F02", "P4")
@pytest.mark.parametrize("relative", [False, True])
def test_input_range_has_no_gradient_where_nothing_is_clipped(relative: bool) -> None:
    torch.manual_seed(0)
    digital, x = nn.Linear(6, 4), torch.randn(3, 6)
    analog = ranged(digital, 10.0, gradient_relative=relative)
    analog(x).square().sum().backward()
    assert analog.analog_tile.input_range.value.grad.item() == 0.0
    digital(x).square().sum().backward()
    torch.testing.assert_close(analog.weight.grad, digital.weight.grad)


@pytest.mark.case("F02", "P3", "P4")
@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(6, 4), lambda: nn.Conv1d(2, 4, 2)], ids=["linear", "conv"]
)
def test_input_range_s_gradient_is_its_formula(make: Callable[[], nn.Module]) -> None:
    """sum of min(g, 0) over x >= r minus sum of max(g, 0) over x <= -r, g = dL/dx of the clipped input."""
    torch.manual_seed(0)
    digital, r = make(), 0.6
    x = torch.randn(3, 6) if isinstance(digital, nn.Linear) else torch.randn(3, 2, 6)
    clipped = x.clamp(-r, r).requires_grad_()
    digital(clipped).square().sum().backward()
    g = clipped.grad
    analog = ranged(digital, r, gradient_relative=False)
    analog(x).square().sum().backward()
    expected = g.clamp(max=0)[x >= r].sum() - g.clamp(min=0)[x <= -r].sum()
    found = analog.analog_tile.input_range.value.grad
    torch.testing.assert_close(found, expected.reshape(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(analog.weight.grad, digital.weight.grad, rtol=1e-5, atol=1e-5)


SCALES: dict[str, Callable[[], Any]] = {
    "exact": exact,
    "exact, omega": lambda: exact(mapping=cg.MappingParameter(weight_scaling_omega=0.6)),
    "exact, omega, tiles of four": lambda: exact(
        mapping=cg.MappingParameter(weight_scaling_omega=0.6, max_input_size=4, max_output_size=4)
    ),
    "exact, omega columnwise": lambda: exact(
        mapping=cg.MappingParameter(weight_scaling_omega=0.6, weight_scaling_columnwise=True)
    ),
    "inference, omega": lambda: perfect(mapping=cg.MappingParameter(weight_scaling_omega=0.6)),
    "inference, omega columnwise": lambda: perfect(
        mapping=cg.MappingParameter(weight_scaling_omega=1.0, weight_scaling_columnwise=True)
    ),
    "inference, remapped": lambda: perfect(remap=cg.WeightRemapParameter(type="layerwise_symmetric")),
    "inference, remapped channelwise": lambda: perfect(
        remap=cg.WeightRemapParameter(type="channelwise_symmetric")
    ),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def after_steps(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    return model(x).detach()


@pytest.mark.case("F03", "P1")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scale", SCALES)
def test_output_scales_leave_the_step_as_it_is(scale: str, network: str) -> None:
    torch.manual_seed(0)
    digital, x = NETWORKS[network](), torch.randn(4, 20)
    analog = cg.convert_to_analog(digital, SCALES[scale]())
    theirs = after_steps(digital, torch.optim.SGD(digital.parameters(), lr=0.01), x, 2)
    ours = after_steps(analog, cg.AnalogSGD(analog.parameters(), lr=0.01), x, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.case("F03", "P1")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scale", [name for name in SCALES if "inference" in name])
def test_output_scales_leave_every_optimizer_as_it_is(scale: str, optimizer: str) -> None:
    torch.manual_seed(0)
    digital, x = perceptron(), torch.randn(4, 20)
    analog = cg.convert_to_analog(digital, SCALES[scale]())
    theirs = after_steps(digital, OPTIMIZERS[optimizer](digital.parameters()), x, 3)
    ours = after_steps(analog, OPTIMIZERS[optimizer](analog.parameters()), x, 3)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.case("F03", "P1")
@pytest.mark.parametrize("columnwise", [False, True])
def test_output_scales_leave_pulsed_steps_as_they_are_in_the_mean(columnwise: bool) -> None:
    """The mean of 400 devices' changes over 200 vectors, of half a pulse at least each.

    Devices of a line share its train: the relative error of the mean is below 1 / sqrt(0.5 x 200 x 20), 2 %.
    """
    torch.manual_seed(0)
    io = cg.IOParameters(is_perfect=True)
    device = cg.ConstantStepDevice(dw_min=5e-4, dw_min_dtod=0.0, w_max=9.0, w_min=-9.0)
    mapping = cg.MappingParameter(weight_scaling_omega=0.5, weight_scaling_columnwise=columnwise)
    config = cg.SingleRPUConfig(device=device, forward=io, backward=io, mapping=mapping)
    layer = cg.AnalogLinear(20, 20, bias=False, rpu_config=config)
    w = torch.rand(20, 20) * torch.linspace(0.02, 0.2, 20)[:, None]
    layer.set_weights(w)
    before = layer.get_weights()[0]
    optimizer = cg.AnalogSGD(layer.parameters(), lr=1e-4)
    layer(torch.ones(200, 20)).sum().backward()
    optimizer.step()
    change = (before - layer.get_weights()[0]).mean().item()
    assert change == pytest.approx(0.02, rel=0.1)


@pytest.mark.case("P2")
def test_a_learned_output_scale_is_a_factor_of_its_own() -> None:
    """It starts at 1, its gradient is sum(d y), and the mapping of the weights is not moved."""
    torch.manual_seed(0)
    mapping = cg.MappingParameter(weight_scaling_omega=0.6, learn_out_scaling=True)
    for config in (exact(mapping=mapping), perfect(mapping=mapping)):
        layer, x, d = (
            cg.AnalogLinear(6, 4, bias=False, rpu_config=config),
            torch.randn(3, 6),
            torch.randn(3, 4),
        )
        scale = layer.analog_tile.out_scale
        before = scale.mapping.clone()
        y = layer(x)
        y.backward(d)
        assert scale.learned.tolist() == [1.0]
        torch.testing.assert_close(scale.learned.grad, (y * d).sum().reshape(1), rtol=1e-4, atol=1e-5)
        cg.AnalogSGD(layer.parameters(), lr=0.01).step()
        assert torch.equal(scale.mapping, before)


class Unrolled(nn.Module):
    """A recurrent network as one writes it oneself."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        states = [h]
        for _ in range(6):
            states.append(self.hidden(states[-1]))
        return torch.cat(states)


@pytest.mark.case("F08")
def test_a_modifier_draws_once_for_a_sequence() -> None:
    torch.manual_seed(0)
    noise = cg.WeightModifierParameter(type="add_normal", std_dev=0.1)
    network = nn.RNN(1, 1, bias=False, nonlinearity="relu")
    network.weight_ih_l0.data.fill_(0.0)
    network.weight_hh_l0.data.fill_(1.0)
    analog = cg.convert_to_analog(network, perfect(modifier=noise))
    h, _ = analog(torch.zeros(6, 1, 1), torch.ones(1, 1, 1))
    h = torch.cat([torch.ones(1), h.flatten()])
    factors = (h[1:] / h[:-1]).detach()
    assert factors.numpy() == pytest.approx(factors[0].item(), rel=1e-5)
    assert abs(factors[0].item() - 1) > 1e-4


@pytest.mark.case("F08")
def test_a_modifier_draws_once_for_a_pass_and_anew_for_the_next() -> None:
    torch.manual_seed(0)
    network = Unrolled()
    network.hidden.weight.data.fill_(1.0)
    noise = cg.WeightModifierParameter(type="add_normal", std_dev=0.1)
    analog = cg.convert_to_analog(network, perfect(modifier=noise))
    drawn = []
    for _ in range(3):
        h = analog(torch.ones(1, 1)).flatten()
        factors = (h[1:] / h[:-1]).detach()
        assert factors.numpy() == pytest.approx(factors[0].item(), rel=1e-5)
        drawn.append(factors[0].item())
    assert len(set(drawn)) == 3
    x = torch.ones(1, 1, requires_grad=True)
    y = checkpoint(analog.hidden, x, use_reentrant=True)
    y.backward()
    assert x.grad.item() == pytest.approx(y.item(), rel=1e-5)  # computed again with the same weight


@pytest.mark.case("F11")
@pytest.mark.parametrize("make", [
    lambda d: cg.SingleRPUConfig(device=d),
    lambda d: cg.UnitCellRPUConfig(device=cg.VectorUnitCell(unit_cell_devices=[d, d])),
], ids=["single", "vector cell"])  # fmt: skip
def test_drift_of_trained_devices_passes_for_layers_and_models(make: Callable[[Any], Any]) -> None:
    """As for a tile: the first call after a change notes it, then w(t) = w_0 t^-nu."""
    device = cg.SoftBoundsDevice(drift=cg.DriftParameter(nu=0.3))
    layer = cg.AnalogLinear(1, 1, rpu_config=make(device))
    layer.set_weights(torch.tensor([[0.1]]))
    model = cg.AnalogSequential(layer)
    layer.drift_analog_weights(1000.0)
    assert layer.weight.item() == pytest.approx(0.1, rel=1e-5)
    model.drift_analog_weights(1000.0)
    assert layer.weight.item() == pytest.approx(0.1 * 1000**-0.3, rel=1e-5)
    cg.drift_analog_weights(model, 1000.0)
    assert layer.weight.item() == pytest.approx(0.1 * 2000**-0.3, rel=1e-5)


@pytest.mark.case("F11")
def test_drift_without_a_device_that_drifts_says_what_to_set() -> None:
    layer = cg.AnalogLinear(1, 1)
    for use in (layer.drift_analog_weights, cg.AnalogSequential(layer).drift_analog_weights):
        with pytest.raises(cg.ConfigError, match=r"DriftParameter\(nu=...\)"):
            use(1.0)


LAYERS = {
    "linear": (lambda: nn.Linear(7, 5), lambda c: cg.AnalogLinear(7, 5, rpu_config=c)),
    "conv": (lambda: nn.Conv2d(2, 4, 3), lambda c: cg.AnalogConv2d(2, 4, 3, rpu_config=c)),
    "lstm": (lambda: nn.LSTM(3, 4, 2), lambda c: cg.AnalogLSTM(3, 4, 2, rpu_config=c)),
}


@pytest.mark.case("P15")
@pytest.mark.parametrize("config", [exact, perfect])
@pytest.mark.parametrize("layer", LAYERS)
def test_initial_weights_are_those_of_the_torch_twin(layer: str, config: Callable[[], Any]) -> None:
    """Of two layers in a row, and so is what a script draws afterwards."""
    theirs, ours = LAYERS[layer]
    torch.manual_seed(3)
    digital, after = [theirs(), theirs()], torch.rand(3)
    torch.manual_seed(3)
    analog, after_too = [ours(config()), ours(config())], torch.rand(3)
    for a, b in zip(analog, digital, strict=True):
        for name, values in b.named_parameters():
            assert torch.equal(dict(a.named_parameters())[name].detach().clone(), values), name
    assert torch.equal(after, after_too)


@pytest.mark.case("P15")
def test_layers_share_no_noise_and_conversion_draws_nothing() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 6)
    digital = nn.Sequential(layer, copy.deepcopy(layer))
    state = torch.get_rng_state()
    analog, x = cg.convert_to_analog(digital, perfect()).eval(), torch.randn(4, 6)
    torch.set_rng_state(state)
    again = cg.convert_to_analog(digital, perfect()).eval()
    assert torch.equal(state, torch.get_rng_state())
    other = cg.convert_to_analog(digital, perfect(), seed=5).eval()
    for model in (analog, again, other):
        model.program_analog_weights()
    assert not torch.equal(analog[0](x), analog[1](x))
    assert torch.equal(analog(x), again(x))
    assert not torch.equal(analog(x), other(x))


def bounded(kind: str) -> Any:
    """Reads that are exact but for the ADC's bound."""
    io = cg.IOParameters(
        inp_res=-1.0, out_res=-1.0, out_noise=0.0, inp_bound=100.0, out_bound=0.5,
        noise_management="none", bound_management="none",
    )  # fmt: skip
    mapping = cg.MappingParameter(max_input_size=4, weight_scaling_omega=0.5)
    if kind == "inference":
        return perfect(forward=io, mapping=mapping)
    update = cg.UpdateParameters(pulse_type="none_with_device")
    device = cg.ConstantStepDevice(w_max=9.0, w_min=-9.0)
    back = cg.IOParameters(is_perfect=True)
    return cg.SingleRPUConfig(device=device, forward=io, backward=back, update=update, mapping=mapping)


@pytest.mark.case("P7")
@pytest.mark.parametrize("kind", ["inference", "pulsed"])
def test_a_bound_of_the_adc_passes_no_gradient_through_the_tile_that_stands_at_it(kind: str) -> None:
    """Two tiles in a row add up: y = a (clip(W1 x1 / a) + clip(W2 x2 / a)), and autograd of just that."""
    torch.manual_seed(0)
    layer, x = (
        cg.AnalogLinear(8, 5, bias=False, rpu_config=bounded(kind)),
        torch.randn(6, 8, requires_grad=True),
    )
    w = layer.get_weights()[0].requires_grad_()
    a = layer.analog_tile.out_scale.mapping.item()
    x_too = x.detach().clone().requires_grad_()
    parts = [x_too[:, k] @ w[:, k].T / a for k in (slice(0, 4), slice(4, 8))]
    y = a * sum(part.clamp(-0.5, 0.5) for part in parts)
    at_bound = torch.stack([part.abs() >= 0.5 for part in parts])
    assert at_bound.any()
    assert not at_bound.all()
    d = torch.randn(6, 5)
    y.backward(d)
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    ours = layer(x)
    torch.testing.assert_close(ours, y, rtol=1e-5, atol=1e-6)
    ours.backward(d)
    torch.testing.assert_close(x.grad, x_too.grad, rtol=1e-5, atol=1e-6)
    optimizer.step()
    torch.testing.assert_close(layer.get_weights()[0], (w - 0.1 * w.grad).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.case("P7")
def test_a_bound_of_the_adc_counts_in_the_units_of_its_last_attempt() -> None:
    """Noise management divides inputs by max |x|, bound management by 2 more: then the bound is wider."""
    io = cg.IOParameters(inp_res=-1.0, out_res=-1.0, out_noise=0.0, out_bound=0.5, bound_management="none")
    for management, at_bound in (("none", True), ("iterative", False)):
        io.bound_management = management
        layer = cg.AnalogLinear(4, 1, bias=False, rpu_config=perfect(forward=io))
        layer.set_weights(torch.full((1, 4), 0.2))
        x = torch.full((1, 4), 3.0, requires_grad=True)  # W x = 2.4 = 3 * 0.8, and 0.8 > 0.5
        y = layer(x)
        y.backward()
        assert y.item() == pytest.approx(1.5 if at_bound else 2.4, rel=1e-5)
        assert x.grad.abs().max().item() == pytest.approx(0.0 if at_bound else 0.2, rel=1e-5)
