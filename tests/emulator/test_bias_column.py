"""A bias on the tiles (``mapping.digital_bias = False``): y = [W b] [x; 1], and a step is -lr d [x; 1]^T."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import batch, train
from torch import Tensor, nn
from torch_contract import BEHAVIOURS, LAYERS, WITHIN

import crossgrid as cg

PERFECT = cg.IOParameters(is_perfect=True)
SMALL = torch.tensor([0.01, 0.02, 0.03])  # within every device's bounds


def on_tiles(**more: Any) -> cg.MappingParameter:
    return cg.MappingParameter(digital_bias=False, **more)


def inference(**parts: Any) -> cg.InferenceRPUConfig:
    return cg.InferenceRPUConfig(**{"mapping": on_tiles(), "forward": PERFECT, "backward": PERFECT, **parts})


#: blocks of two inputs; of one, so that the bias is a block of its own
CONFIGS: dict[str, Callable[[], Any]] = {
    "exact twin": lambda: cg.FloatingPointRPUConfig(mapping=on_tiles(max_input_size=2)),
    "perfect inference": lambda: inference(mapping=on_tiles(max_input_size=1)),
    "groups side by side": lambda: inference(mapping=on_tiles(grouped="diagonal")),
}
HELD = {
    name: layer
    for name, layer in {**LAYERS, **WITHIN}.items()
    if "Transpose" not in name and name not in ("bilinear form", "experts")
}
OF_ITSELF = ("pruning", "parametrization", "assigning", "weight normalization")


@pytest.mark.filterwarnings("ignore")  # what torch's own tools say about the twin
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("layer", HELD)
def test_it_is_a_torch_layer_or_says_so(layer: str, config: str) -> None:
    """Forward, gradients, a step, writes, copies, checkpoints and all else that torch's layers do: 1e-5."""
    make, shape = HELD[layer]
    for name, (act, pulsed, trained) in BEHAVIOURS.items():
        if layer in WITHIN and name.startswith(OF_ITSELF):
            continue
        torch.manual_seed(0)
        twin, x = make(), torch.randn(shape)
        analog = cg.convert_to_analog(copy.deepcopy(twin), CONFIGS[config]())
        refused = pulsed if config == "exact twin" else trained
        if refused:
            with pytest.raises((cg.ConfigError, cg.InputError), match=refused):
                act(analog, twin, x)
        else:
            act(analog, twin, x)


def with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)


def pulsed(**more: Any) -> cg.SingleRPUConfig:
    return cg.SingleRPUConfig(device=cg.SoftBoundsDevice(), mapping=on_tiles(max_input_size=3, **more))


def test_its_devices_are_those_of_a_column_more() -> None:
    """Noise, pulses, bounds: bit by bit a layer of one input more, which reads a 1."""
    one = cg.AnalogLinear(4, 3, rpu_config=pulsed(), seed=5)
    other = cg.AnalogLinear(5, 3, bias=False, rpu_config=pulsed(), seed=5)
    other.set_weights(torch.cat([one.weight, one.bias[:, None]], 1))
    optimizers = [cg.AnalogSGD(layer.parameters(), lr=0.2) for layer in (one, other)]
    for _ in range(3):
        x = torch.randn(6, 4)
        ys = one(x), other(with_ones(x))
        assert torch.equal(*ys)
        for y, optimizer in zip(ys, optimizers, strict=True):
            optimizer.zero_grad()
            y.square().sum().backward()
            optimizer.step()
        weight, bias = one.get_weights()
        assert torch.equal(torch.cat([weight, bias[:, None]], 1), other.get_weights()[0])
        assert torch.equal(one.bias.detach(), bias)


def test_a_convolution_reads_a_one_behind_each_patch() -> None:
    """Bit by bit a linear layer of the patches, through updates of noisy devices."""
    conv = cg.AnalogConv2d(2, 3, 2, rpu_config=pulsed(), seed=5)
    linear = cg.AnalogLinear(8, 3, rpu_config=pulsed(), seed=5)
    linear.set_weights(conv.weight.detach().reshape(3, 8), conv.bias.detach())
    optimizers = [cg.AnalogSGD(layer.parameters(), lr=0.2) for layer in (conv, linear)]
    for _ in range(2):
        images = torch.randn(2, 2, 4, 4)
        patches = nn.functional.unfold(images, 2).movedim(1, 2).reshape(-1, 8)
        ys = conv(images).flatten(2).movedim(1, 2).reshape(-1, 3), linear(patches)
        assert torch.equal(*ys)
        for y, optimizer in zip(ys, optimizers, strict=True):
            optimizer.zero_grad()
            y.square().sum().backward()
            optimizer.step()
    assert torch.equal(conv.get_weights()[0].reshape(3, 8), linear.get_weights()[0])
    assert torch.equal(conv.get_weights()[1], linear.get_weights()[1])


def test_it_is_programmed_and_drifts_with_the_weight() -> None:
    """Bit by bit the same of a column more, with the noise of its devices and a compensation of the drift."""
    config = cg.InferenceRPUConfig(
        mapping=on_tiles(weight_scaling_omega=0.6),
        modifier=cg.WeightModifierParameter(type="add_normal", std_dev=0.1),
    )
    one = cg.AnalogLinear(4, 3, rpu_config=config, seed=5)
    other = cg.AnalogLinear(5, 3, bias=False, rpu_config=config, seed=5)
    other.set_weights(torch.cat([one.weight, one.bias[:, None]], 1))
    optimizers = [torch.optim.Adam(layer.parameters(), lr=0.1) for layer in (one, other)]
    x = torch.randn(6, 4)
    for _ in range(3):
        for layer, seen, optimizer in zip((one, other), (x, with_ones(x)), optimizers, strict=True):
            optimizer.zero_grad()
            layer(seen).square().sum().backward()
            optimizer.step()
        torch.testing.assert_close(torch.cat([one.weight, one.bias[:, None]], 1), other.weight)
    one.set_weights(other.weight[:, :4], other.weight[:, 4])  # sums of gradients have their own order
    other.set_weights(other.weight)
    for layer in (one, other):
        layer.eval().program_analog_weights()
    assert torch.equal(one(x), other(with_ones(x)))
    for layer in (one, other):
        layer.drift_analog_weights(1e4)
    assert torch.equal(one(x), other(with_ones(x)))


def test_an_input_range_leaves_the_constant_alone() -> None:
    """y = W clip(x, r) + b, though the tiles read x / r."""
    ranged = cg.PrePostProcessingParameter(
        input_range=cg.InputRangeParameter(enable=True, init_from_data=0, init_value=0.4)
    )
    layer = cg.AnalogLinear(4, 3, rpu_config=inference(pre_post=ranged))
    x = torch.randn(5, 4)
    y = layer(x)
    exact = nn.functional.linear(x.clamp(-0.4, 0.4), layer.weight, layer.bias)
    torch.testing.assert_close(y, exact)
    (y.sum()).backward()
    torch.testing.assert_close(layer.bias.grad, torch.full((3,), 5.0))


def test_clipping_reaches_it() -> None:
    config = inference(clip=cg.WeightClipParameter(type="FIXED_VALUE", fixed_value=0.1))
    layer = cg.AnalogLinear(4, 3, rpu_config=config)
    layer.set_weights(torch.full((3, 4), 0.5), torch.full((3,), -0.5))
    layer(torch.randn(2, 4))
    assert float(layer.weight.detach().max()) == pytest.approx(0.1)
    torch.testing.assert_close(layer.bias.detach(), torch.full((3,), -0.1))


def test_devices_clip_it_and_it_keeps_when_the_weight_is_written() -> None:
    layer = cg.AnalogLinear(2, 3, rpu_config=cg.SingleRPUConfig(mapping=on_tiles()))
    with torch.no_grad():
        layer.bias.fill_(9.0)
    held = layer.bias.detach().clone()
    assert float(held.max()) < 2.0  # w_max = 0.6, spread by 0.3
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(layer.bias.detach(), held)
    layer.set_weights(torch.zeros(3, 2), SMALL)
    torch.testing.assert_close(layer.get_weights()[1], SMALL)


def test_pulses_move_both_or_neither() -> None:
    layer = cg.AnalogLinear(4, 3, rpu_config=pulsed())
    layer.bias.requires_grad_(False)
    with pytest.raises(cg.ConfigError, match="freeze both or neither"):
        layer(torch.ones(1, 4))
    with torch.no_grad():
        layer(torch.ones(1, 4))
    layer.weight.requires_grad_(False)
    assert not layer(torch.ones(1, 4)).requires_grad


def test_a_trained_bias_is_frozen_alone() -> None:
    layer = cg.AnalogLinear(4, 3, rpu_config=inference())
    layer.bias.requires_grad_(False)
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.bias.grad is None
    assert layer.weight.grad is not None


def test_another_tensor_in_its_place_is_refused() -> None:
    layer = cg.AnalogLinear(4, 3, rpu_config=pulsed())
    with pytest.raises(cg.ConfigError, match="cannot take the place"):
        layer.bias = nn.Parameter(torch.zeros(3))
    with pytest.raises(cg.ConfigError, match="in the place of its bias"):
        torch.func.functional_call(layer, {"bias": torch.zeros(3)}, (torch.ones(1, 4),))


@pytest.mark.parametrize("config", [pulsed, inference])
def test_a_checkpoint_of_the_bias_alone(config: Callable[[], Any]) -> None:
    layer = cg.AnalogLinear(2, 3, rpu_config=config())
    before = layer.weight.detach().clone()
    layer.load_state_dict({"bias": SMALL}, strict=False)
    torch.testing.assert_close(layer.bias.detach().clone(), SMALL)
    assert torch.equal(layer.weight.detach(), before)
    with pytest.raises(RuntimeError, match="size mismatch for bias"):
        layer.load_state_dict({**layer.state_dict(), "bias": torch.zeros(2)})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: nn.ConvTranspose2d(2, 3, 2), "sums of the windows that overlap"),
        (lambda: nn.Bilinear(2, 3, 4), "multiplied by the first input"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3), "several matrices and one bias"),
    ],
    ids=["transposed", "bilinear", "attention"],
)
def test_where_it_is_no_column_it_is_refused(make: Callable[[], nn.Module], why: str) -> None:
    told = rf"parts\.0: .*digital_bias = False, but .*{why}.* set it to True"
    with pytest.raises(cg.ConfigError, match=told):
        cg.convert_to_analog(nn.ModuleDict({"parts": nn.ModuleList([make()])}), pulsed())


def test_experts_with_biases_are_refused_and_those_without_are_not() -> None:
    make, _ = LAYERS["experts"]
    experts = make()
    cg.convert_to_analog(experts, pulsed())
    experts.gate_up_bias = nn.Parameter(torch.zeros(3, 8))
    with pytest.raises(cg.ConfigError, match="its own class adds gate_up_bias; set it to True"):
        cg.convert_to_analog(nn.Sequential(experts), pulsed())


class Net(nn.Module):
    """A convolution, a linear layer, both with their biases on the tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 4, 3, padding=1)
        self.out = nn.Linear(144, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.features(x)).flatten(1))


def net(**mapping: int) -> tuple[nn.Module, cg.AnalogSGD]:
    torch.manual_seed(1)
    model = cg.convert_to_analog(Net(), cg.SingleRPUConfig(mapping=on_tiles(**mapping)))
    return model, cg.AnalogSGD(model.parameters(), lr=0.1)


@pytest.mark.usefixtures("ray_session")
def test_actors_give_the_bits_of_local() -> None:
    def trained(**where: Any) -> tuple[str, Tensor]:
        model, optimizer = net(max_input_size=50)
        with cg.emulate(model, **where):
            train(model, optimizer, range(2))
            y = model(batch(5)[0]).detach()
        return cg.weights_sha256(model), y

    local, actors = trained(), trained(backend="ray", tiles_per_actor=2)
    assert local[0] == actors[0]
    assert torch.equal(local[1], actors[1])


def test_a_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    model, optimizer = net()
    with cg.emulate(model) as running:
        train(model, optimizer, range(2))
        running.save(tmp_path / "run", optimizer)
        train(model, optimizer, range(2, 4))
    other, again = net()
    with cg.restore(tmp_path / "run", other, again):
        train(other, again, range(2, 4))
    assert cg.weights_sha256(other) == cg.weights_sha256(model)


def test_a_chip_holds_the_column_and_reads_it() -> None:
    """128 x 128 cells: 9 + 1 and 144 + 1 rows; the inputs that come over links are the image's alone."""
    model, _ = net()
    digital = cg.convert_to_digital(model)
    with cg.emulate(model, "demo-128", example_input=(2, 1, 6, 6)) as running:
        shapes = {shape.name: (shape.out, shape.in_) for shape in running.plan.layers}
        assert shapes == {"features": (4, 10), "out": (4, 145)}
        model(batch(0)[0])
    held = cg.convert_to_digital(model).state_dict()
    for name, values in digital.state_dict().items():
        torch.testing.assert_close(held[name], values)


def test_a_summary_counts_it_as_held_by_tiles() -> None:
    model, _ = net()
    told = cg.analog_summary(model)
    assert sum(row.weights for row in told.analog) == sum(p.numel() for p in model.parameters())
    assert not [row for row in told.digital if row.weights]
    assert re.search(r"features\s+4\s+10", str(told))
