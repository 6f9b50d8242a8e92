"""Grouped and depthwise convolutions: every group has tiles of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg

LAYERS = {
    "two groups": (lambda: nn.Conv2d(4, 6, (3, 2), padding=1, groups=2), (2, 4, 5, 6)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6, bias=False), (2, 6, 7, 7)),
    "depthwise, two kernels a channel": (lambda: nn.Conv1d(3, 6, 4, dilation=2, groups=3), (2, 3, 11)),
    "three dimensions": (lambda: nn.Conv3d(4, 4, 2, groups=2), (2, 4, 3, 4, 3)),
}
CUTS = [(512, 512), (2, 512), (512, 5), (2, 5)]


def mapping(cut: tuple[int, int]) -> cg.MappingParameter:
    return cg.MappingParameter(max_output_size=cut[0], max_input_size=cut[1])


def inference(cut: tuple[int, int]) -> cg.InferenceRPUConfig:
    return cg.InferenceRPUConfig(forward=cg.IOParameters(is_perfect=True), mapping=mapping(cut))


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_an_ideal_layer_is_the_torch_layer(name: str, cut: tuple[int, int]) -> None:
    """Output, input gradient, weight after a step, with pulsed and with hardware-aware tiles."""
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    digital = make()
    ideal = cg.FloatingPointRPUConfig(mapping=mapping(cut))
    models = [digital, cg.convert_to_analog(digital, ideal), cg.convert_to_analog(digital, inference(cut))]
    x, d = torch.randn(shape), torch.randn_like(digital(torch.randn(shape)))
    found = []
    for model in models:
        optimizer = (torch.optim.SGD if model is digital else cg.AnalogSGD)(model.parameters(), lr=0.05)
        read = x.clone().requires_grad_()
        y = model(read)
        y.backward(d)
        optimizer.step()
        weight = model.weight.detach() if model is digital else model.get_weights()[0]
        found.append((y.detach(), read.grad, weight))
    for ours in found[1:]:
        for mine, theirs in zip(ours, found[0], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cg.convert_to_digital(models[1])(x), models[1](x), rtol=1e-5, atol=1e-5)


def test_groups_share_no_tile() -> None:
    """Four groups of W[2, 9]: four tiles, not one of [8, 36] with devices between foreign channels."""
    layer = cg.AnalogConv2d(4, 8, 3, groups=4)
    assert [tile.shape for tile in layer.grid.spec.tiles] == [(2, 9)] * 4
    assert layer.get_weights()[0].shape == (8, 1, 3, 3)
    assert sum(values.size for name, values in layer.grid.state().items() if name.endswith("cell.w")) in (
        0,
        72,
    )


def trained(backend: str, chip: str | None, per_actor: int) -> str:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Flatten(), nn.Linear(32, 3))
    analog = cg.convert_to_analog(model, cg.SingleRPUConfig(mapping=mapping((1, 5))))
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    with cg.emulate(analog, chip=chip, backend=backend, tiles_per_actor=per_actor) as running:
        for x in torch.randn(2, 3, 4, 4, 4):
            optimizer.zero_grad()
            analog(x).square().mean().backward()
            optimizer.step()
        assert "0" in str(running.report())
        return cg.weights_sha256(analog)


@pytest.mark.usefixtures("ray_session")
def test_training_has_the_same_bits_whoever_hosts_which_tile() -> None:
    """Sixteen tiles of the convolution and 21 of the linear layer, seven an actor: groups are split."""
    assert trained("ray", None, 7) == trained("local", None, 1)


def test_on_a_chip_every_group_is_a_matrix_of_the_plan() -> None:
    torch.manual_seed(5)
    analog = cg.convert_to_analog(nn.Conv2d(4, 8, 3, groups=4), cg.SingleRPUConfig())
    with cg.emulate(analog, chip="demo-128") as running:
        analog(torch.randn(2, 4, 5, 5)).sum().backward()
        assert [layer.name for layer in running.plan.layers] == [f"AnalogConv2d[{g}]" for g in range(4)]
        assert running.totals.tiles == 4
        assert "AnalogConv2d[3]" in str(running.report())
    assert trained("local", "demo-128", 1) == trained("local", "demo-128", 1)


def test_programming_and_drift_of_a_grouped_convolution() -> None:
    """Without noise, at t = 0, what was programmed is the trained weight to the converter's exactness."""
    layer = cg.AnalogConv2d(4, 8, 3, groups=2, rpu_config=inference((512, 512)))
    x = torch.randn(2, 4, 5, 5)
    layer.eval()
    before = layer(x)
    layer.program_analog_weights()
    layer.drift_analog_weights(1000.0)
    assert not torch.equal(layer(x), before)
    # the standard deviation of PCM's programming noise is below 1.2 uS of 25 uS, of the largest weight each
    error = (layer(x) - before).std() / before.std()
    assert error < 0.25


@pytest.mark.parametrize("groups", [0, 3])
def test_groups_must_divide_the_channels(groups: int) -> None:
    with pytest.raises(cg.ConfigError, match=f"groups = {groups} must divide in_channels = 4"):
        cg.AnalogConv2d(4, 6, 3, groups=groups)
