"""Grouped and depthwise convolutions: every group has tiles of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.emulator.tiles.messages import ReadWeights

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


def test_on_a_chip_every_group_has_a_tile_of_its_own() -> None:
    torch.manual_seed(5)
    analog = cg.convert_to_analog(nn.Conv2d(4, 8, 3, groups=4), cg.SingleRPUConfig())
    with cg.emulate(analog, chip="demo-128") as running:
        analog(torch.randn(2, 4, 5, 5)).sum().backward()
        (layer,) = running.plan.layers
        assert (layer.name, layer.out, layer.in_, layer.groups) == ("AnalogConv2d", 8, 36, 4)
        assert running.totals.tiles == 4
        assert running.plan.layer_cut(0).shape == (1, 4, 1, 1)
        assert "AnalogConv2d" in str(running.report())
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


def diagonal(**changes: object) -> cg.InferenceRPUConfig:
    grouped = cg.MappingParameter(grouped="diagonal", max_output_size=12, max_input_size=40)
    return cg.InferenceRPUConfig(mapping=grouped, **changes)


def test_groups_side_by_side_share_tiles_and_hold_zero_between() -> None:
    """Six groups of W[2, 9]: on tiles of 12 x 40 four fit (4 x 9 inputs), so two tiles of three each."""
    layer = cg.AnalogConv2d(6, 12, 3, groups=6, rpu_config=diagonal(), seed=4)
    assert [tile.shape for tile in layer.grid.spec.tiles] == [(6, 27), (6, 27)]
    w = torch.randn(12, 1, 3, 3)
    layer.set_weights(w)
    x = torch.randn(2, 6, 5, 5)
    perfect = cg.AnalogConv2d(
        6, 12, 3, groups=6, bias=False, rpu_config=diagonal(forward=cg.IOParameters(is_perfect=True))
    )
    perfect.set_weights(w)
    torch.testing.assert_close(perfect(x), torch.conv2d(x, w, groups=6), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(perfect.get_weights()[0], w)


def test_devices_between_groups_are_programmed_and_noisy() -> None:
    """Programming leaves about zero between groups, not zero: the tile's noise is that of all its devices."""
    layer = cg.AnalogConv2d(4, 8, 3, groups=4, rpu_config=diagonal(), seed=4)
    layer.eval()
    layer.program_analog_weights()
    (reply,), _ = layer.grid.ask_reachable(ReadWeights(layer.grid.layer))
    (held,) = reply.w
    assert held.shape == (8, 36)
    between = torch.ones(8, 36, dtype=torch.bool)
    for group in range(4):
        between[2 * group : 2 * group + 2, 9 * group : 9 * group + 9] = False
    values = torch.from_numpy(held)[between]
    scale = layer.get_weights()[0].abs().max()
    assert 0 < values.abs().mean() < 0.1 * scale
    separate = cg.AnalogConv2d(4, 8, 3, groups=4, rpu_config=inference((512, 512)), seed=4)
    assert [tile.shape for tile in separate.grid.spec.tiles] == [(2, 9)] * 4


def test_training_and_input_gradients_of_groups_side_by_side() -> None:
    """Digital training through perfect tiles gives torch's weights."""
    make, shape = LAYERS["depthwise, two kernels a channel"]
    torch.manual_seed(3)
    digital = make()
    model = cg.convert_to_analog(digital, diagonal(forward=cg.IOParameters(is_perfect=True)))
    x, found = torch.randn(shape), []
    for one in (digital, model):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.05)
        read = x.clone().requires_grad_()
        y = one(read)
        y.square().sum().backward()
        optimizer.step()
        found.append((y.detach(), read.grad, one(x).detach()))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_plan_and_emulation_agree_on_groups_side_by_side(
    backend: str, request: pytest.FixtureRequest
) -> None:
    """A depthwise layer of 32 channels on hermes-64: 28 groups of 9 inputs fit 256 rows; two tiles of 16."""
    if backend == "ray":
        request.getfixturevalue("ray_session")
    grouped = cg.MappingParameter(grouped="diagonal")
    layer = nn.Conv2d(32, 32, 3, groups=32, bias=False)
    model = cg.convert_to_analog(layer, cg.InferenceRPUConfig(mapping=grouped)).eval()
    x = torch.rand(1, 32, 6, 6)
    with cg.emulate(model, chip="hermes-64", example_input=x, backend=backend) as running:
        assert running.plan is not None
        blocks = [(b.out_start, b.out_stop, b.in_start, b.in_stop) for b in running.plan.blocks]
        assert blocks == [(0, 16, 0, 144), (16, 32, 144, 288)]
        assert running.totals.tiles == 2
        y = running.infer(x)
        assert running.plan.utilization == 32 * 9 / (2 * 256 * 256)
    exact = torch.conv2d(x, layer.weight, groups=32)
    # read noise of 0.06 and the step of the chip's converter, of at most 0.095, over the root of twelve
    assert (y - exact).std() < (0.06**2 + 0.095**2 / 12) ** 0.5 * 1.1


def test_groups_side_by_side_are_for_inference() -> None:
    with pytest.raises(cg.ConfigError, match=r"mapping.grouped = 'diagonal' with SingleRPUConfig: pulses"):
        cg.AnalogConv2d(4, 8, 3, groups=4, rpu_config=cg.SingleRPUConfig(mapping=diagonal().mapping))
    with pytest.raises(cg.ConfigError, match="grouped"):
        cg.MappingParameter(grouped="diagnal")
