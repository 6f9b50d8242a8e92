"""Hardware-aware training, programming and drift through the torch layers."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.emulator.analog_matrix.weights import OF_PIECES, PIECE, digest_of, is_digest_of


def config(**changes: object) -> cg.InferenceRPUConfig:
    made = cg.InferenceRPUConfig(forward=cg.IOParameters(is_perfect=True))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("values", [0, 5, PIECE // 4, PIECE // 4 + 1, PIECE // 2 + 3])
def test_a_digest_is_that_of_the_numbers_however_many_hash_them(
    values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHA-256, or, of more than a piece, SHA-256 of the pieces' digests; saved runs may have the whole's."""
    w_OI = np.arange(values, dtype=np.float32).reshape(1, values)
    whole, parts = w_OI.tobytes(), [w_OI.tobytes()[k : k + PIECE] for k in range(0, 4 * values, PIECE)]
    pieces = OF_PIECES + hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    digest = digest_of(w_OI)
    assert digest == (pieces if len(parts) > 1 else hashlib.sha256(whole).digest())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert digest_of(w_OI) == digest
    assert is_digest_of(digest, w_OI)
    assert is_digest_of(hashlib.sha256(whole).digest(), w_OI)
    if values:
        w_OI[0, -1] += 1.0
        assert digest_of(w_OI) != digest
        assert not is_digest_of(digest, w_OI)


def test_a_piece_is_that_of_saved_runs() -> None:
    """With another size of pieces every large weight that was saved would look edited."""
    w_OI = np.arange(3 << 20, dtype=np.float32).reshape(1024, 3072)
    saved = "2535fc099db50e5698346b74ed60e6b8613a7ede59b3fb9aebcab1c9130bcb9e"
    assert digest_of(w_OI) == b"pieces:" + bytes.fromhex(saved)


AT_EXIT = """
import atexit
import sys
import torch
import crossgrid as cg

model = cg.convert_to_analog(torch.nn.Linear(1200, 1200), cg.InferenceRPUConfig())
atexit.register(lambda: torch.save(model.state_dict(), sys.argv[1]))
"""


def test_a_large_weight_is_saved_while_python_ends(tmp_path: Path) -> None:
    """No thread can be started then."""
    file = tmp_path / "last.pt"
    subprocess.run([sys.executable, "-c", AT_EXIT, str(file)], check=True, timeout=200)
    assert "weight" in torch.load(file)


LAYERS = {
    "linear": (lambda: nn.Linear(7, 5), (4, 7)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2), (2, 2, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 3, (3, 2), padding=1), (2, 2, 6, 5)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (2, 1, 4, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_without_noise_it_is_the_torch_layer(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    digital = make()
    analog = cg.convert_to_analog(digital, config())
    x = torch.randn(shape)
    d = torch.randn_like(digital(x))
    for layer in (digital, analog):
        layer(x).backward(d)
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(analog.weight.grad, digital.weight.grad, rtol=1e-5, atol=1e-5)


def test_gradients_match_finite_differences_with_frozen_noise() -> None:
    """Modified weights are W + noise(W's key and tick), so with the noise frozen dL/dW is that of W."""
    modifier = cg.WeightModifierParameter(type="add_normal", std_dev=0.1, rel_to_actual_wmax=False)
    layer = cg.AnalogLinear(6, 4, rpu_config=config(modifier=modifier))
    tiles = layer.analog_tile
    x = torch.randn(3, 6)
    tiles.modifier_tick = 41

    def loss() -> torch.Tensor:
        tiles.modifier_tick = 41  # the same mini-batch again: the same noise
        return layer(x).square().sum()

    loss().backward()
    for out, inp in ((0, 0), (3, 5), (1, 2)):
        values = []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                layer.weight[out, inp] += step
            values.append(loss().item())
            with torch.no_grad():
                layer.weight[out, inp] -= step
        slope = (values[0] - values[1]) / 2e-2  # exact for a quadratic but for float32 rounding
        assert slope == pytest.approx(layer.weight.grad[out, inp].item(), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, cg.AnalogSGD, torch.optim.SGD])
def test_any_torch_optimizer_trains_it(optimizer: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    modifier = cg.WeightModifierParameter(type="add_normal", std_dev=0.02)
    layer = cg.AnalogLinear(6, 2, rpu_config=config(modifier=modifier))
    steps = optimizer(layer.parameters(), lr=0.05)
    x, y = torch.randn(32, 6), torch.randn(32, 6) @ torch.zeros(6, 2) + 0.5
    losses = []
    for _ in range(60):
        steps.zero_grad()
        loss = nn.functional.mse_loss(layer(x), y)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_modified_weights_differ_from_batch_to_batch_and_not_in_evaluation() -> None:
    modifier = cg.WeightModifierParameter(type="add_normal", std_dev=0.1)
    layer = cg.AnalogLinear(6, 4, rpu_config=config(modifier=modifier))
    x = torch.randn(3, 6)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def each_sample(**changes: object) -> cg.InferenceRPUConfig:
    noise = {"type": "add_normal", "std_dev": 0.1, "rel_to_actual_wmax": False, "assumed_wmax": 1.0}
    return config(modifier=cg.WeightModifierParameter(per_batch_sample=True, **noise), **changes)


def test_each_sample_has_a_draw_of_its_own() -> None:
    """y - W x of one x is normal with deviation 0.1 |x|, anew for each sample and each output."""
    layer = cg.AnalogLinear(8, 20, bias=False, rpu_config=each_sample())
    x = torch.randn(8)
    samples = 500
    y = layer(x.expand(samples, 8)).detach()
    error = y - x @ layer.weight.detach().t()
    draws = error.numel()
    assert error.std() == pytest.approx(0.1 * x.norm(), rel=5 / np.sqrt(2 * draws))
    assert abs(error.mean()) < 5 * 0.1 * x.norm() / np.sqrt(draws)
    rows = torch.corrcoef(error)[~torch.eye(samples, dtype=torch.bool)]
    assert rows.std() == pytest.approx(1 / np.sqrt(20 - 1), rel=0.05)  # of 20 outputs that are independent
    again = layer(x.expand(samples, 8)).detach()
    assert (again != y).float().mean() > 0.99  # another mini-batch, other draws
    assert torch.equal(layer.eval()(x), layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_a_sample_goes_back_through_the_weights_that_it_saw(name: str) -> None:
    """z = W~^T d of the same W~, so z x = d y for each sample alone; dL/dW is that of torch's layer."""
    make, shape = LAYERS[name]
    digital = make()
    digital.bias = None
    analog = cg.convert_to_analog(digital, each_sample())
    x = torch.randn(shape, requires_grad=True)
    y = analog(x)
    d = torch.randn_like(y)
    y.backward(d)
    products = (d * y).flatten(1).sum(1), (x.grad * x).flatten(1).sum(1)
    torch.testing.assert_close(*products, rtol=1e-4, atol=1e-4)
    plain = x.detach()
    digital(plain).backward(d)
    torch.testing.assert_close(analog.weight.grad, digital.weight.grad, rtol=1e-5, atol=1e-5)
    assert (y - digital(plain)).abs().max() > 0.01


def test_clipping_follows_every_step() -> None:
    clip = cg.WeightClipParameter(type="fixed_value", fixed_value=0.1)
    layer = cg.AnalogLinear(6, 4, rpu_config=config(clip=clip))
    layer.set_weights(torch.full((4, 6), 0.7))
    layer(torch.ones(1, 6))
    assert layer.get_weights()[0].abs().max() == pytest.approx(0.1)


def test_remapping_keeps_the_function_and_fills_the_range() -> None:
    remap = cg.WeightRemapParameter(type="channelwise_symmetric")
    digital = nn.Linear(6, 4)
    layer = cg.convert_to_analog(digital, config(remap=remap))
    x = torch.randn(3, 6)
    torch.testing.assert_close(layer(x), digital(x), rtol=1e-5, atol=1e-5)
    assert np.abs(layer.grid.weights()).max(axis=1) == pytest.approx(1.0)
    torch.testing.assert_close(layer.get_weights()[0], digital.weight.detach())


@pytest.mark.parametrize("columnwise", [False, True])
@pytest.mark.parametrize("make", [config, cg.FloatingPointRPUConfig], ids=["inference", "floating point"])
def test_weight_scaling_fills_the_tiles_and_keeps_the_function(make: type, columnwise: bool) -> None:
    rpu_config = make()
    rpu_config.mapping = cg.MappingParameter(weight_scaling_omega=0.6, weight_scaling_columnwise=columnwise)
    digital = nn.Linear(6, 4)
    layer = cg.convert_to_analog(digital, rpu_config)
    x = torch.randn(3, 6)
    torch.testing.assert_close(layer(x), digital(x), rtol=1e-5, atol=1e-5)
    tiles = layer.analog_tile
    held = tiles.grid.weights()
    assert np.abs(held).max() == pytest.approx(0.6)
    assert (np.abs(held).max(axis=1) == pytest.approx(0.6)) == columnwise


def test_learned_output_scales_get_their_gradient() -> None:
    rpu_config = config(mapping=cg.MappingParameter(learn_out_scaling=True, out_scaling_columnwise=True))
    layer = cg.AnalogLinear(6, 4, rpu_config=rpu_config)
    x, d = torch.randn(3, 6), torch.randn(3, 4)
    layer(x).backward(d)
    y = x @ layer.weight.detach().T
    torch.testing.assert_close(layer.analog_tile.out_scale.learned.grad, (y * d).sum(dim=0))


def pcm(**changes: object) -> cg.InferenceRPUConfig:
    return config(noise_model=cg.PCMLikeNoiseModel(g_max=25.0), **changes)


def test_drift_before_programming_is_an_error() -> None:
    layer = cg.AnalogLinear(6, 4, rpu_config=pcm()).eval()
    with pytest.raises(cg.NotProgrammedError, match="program_analog_weights"):
        layer.drift_analog_weights(1.0)
    with pytest.raises(cg.ConfigError, match="InferenceRPUConfig"):
        cg.AnalogLinear(6, 4).drift_analog_weights(1.0)
    layer.program_analog_weights()
    with pytest.raises(cg.InputError, match="at least 0"):
        layer.drift_analog_weights(-1.0)
    layer.set_weights(torch.zeros(4, 6))
    with pytest.raises(cg.NotProgrammedError):
        layer.drift_analog_weights(1.0)


def test_weights_drift_and_compensation_restores_the_mean_output() -> None:
    """After a year PCM has lost a good part of its conductance; the mean output is brought back.

    200 x 200 weights: the mean |output| of one-hot inputs is a mean of 40,000 devices, so its own relative
    error is below 1 %.
    """
    year = 365 * 24 * 3600.0
    outputs = {}
    for compensation in (None, cg.GlobalDriftCompensation(), cg.PerColumnDriftCompensation()):
        torch.manual_seed(0)
        layer = cg.AnalogLinear(200, 200, bias=False, rpu_config=pcm(drift_compensation=compensation)).eval()
        layer.program_analog_weights()
        fresh = layer(torch.eye(200)).abs().mean().item()
        layer.drift_analog_weights(year)
        outputs[type(compensation).__name__] = layer(torch.eye(200)).abs().mean().item() / fresh
    assert outputs["NoneType"] < 0.6
    assert outputs["GlobalDriftCompensation"] == pytest.approx(1.0, abs=0.02)
    assert outputs["PerColumnDriftCompensation"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "forward",
    [cg.IOParameters(), cg.IOParameters(inp_noise=0.1), cg.IOParameters(is_perfect=True)],
    ids=["default", "noise of inputs", "perfect"],
)
def test_a_read_of_some_inputs_is_that_of_the_whole_layer(forward: cg.IOParameters) -> None:
    """Tiles whose inputs are all zero are passed over where that changes nothing."""
    rpu_config = pcm(forward=forward, mapping=cg.MappingParameter(max_input_size=6, max_output_size=4))
    grid, other = (
        cg.AnalogLinear(20, 9, bias=False, rpu_config=rpu_config, seed=3).analog_tile.grid for _ in range(2)
    )
    w_OI = np.random.default_rng(1).normal(0, 0.3, (9, 20)).astype(np.float32)
    for each in (grid, other):
        each.set_weights(w_OI)
    for first, last in ((0, 5), (4, 11), (19, 20), (3, 3)):  # of one column of tiles, of two, and nothing
        x_BI = np.zeros((4, 20), np.float32)
        x_BI[:, first:last] = 0.5
        np.testing.assert_array_equal(grid.read_vectors(x_BI), other.forward(x_BI, keep=False)[0])
    assert grid.ticks == other.ticks


def test_a_training_pass_uses_the_trained_weight_not_the_programmed_one() -> None:
    layer = cg.AnalogLinear(6, 4, bias=False, rpu_config=pcm())
    x = torch.eye(6)
    trained = layer.get_weights()[0]
    layer.eval().program_analog_weights()
    assert not torch.equal(layer(x).T, trained)
    torch.testing.assert_close(layer.train()(x).T, trained)


@pytest.mark.usefixtures("ray_session")
def test_actors_give_the_bits_of_local() -> None:
    """Training with modified weights, programming and drift, on tiles here and in actors."""

    def run(**where: object) -> tuple[torch.Tensor, str]:
        torch.manual_seed(1)
        rpu_config = cg.InferenceRPUConfig(
            modifier=cg.WeightModifierParameter(type="add_normal", std_dev=0.05),
            mapping=cg.MappingParameter(max_output_size=3, max_input_size=4),
        )
        model = cg.convert_to_analog(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), rpu_config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        x = torch.linspace(-1, 1, 24).reshape(4, 6)
        with cg.emulate(model, **where):
            for _ in range(3):
                optimizer.zero_grad()
                model(x).square().sum().backward()
                optimizer.step()
            model.eval()
            cg.program_analog_weights(model)
            cg.drift_analog_weights(model, 1000.0)
            y = model(x).detach()
        return y, cg.weights_sha256(model)

    local, actors = run(), run(backend="ray", tiles_per_actor=2)
    assert torch.equal(local[0], actors[0])
    assert local[1] == actors[1]


def test_state_dict_carries_what_was_programmed() -> None:
    torch.manual_seed(0)
    layer = cg.AnalogLinear(6, 4, rpu_config=pcm()).eval()
    layer.program_analog_weights()
    torch.manual_seed(5)
    other = cg.AnalogLinear(6, 4, rpu_config=pcm()).eval()
    other.load_state_dict(copy.deepcopy(layer.state_dict()))
    x = torch.randn(2, 6)
    assert torch.equal(other(x), layer(x))
    layer.drift_analog_weights(100.0)
    other.drift_analog_weights(100.0)
    assert torch.equal(other(x), layer(x))


def test_the_input_range_is_calibrated_and_learned() -> None:
    """r is the running mean of 3 standard deviations; then its gradient follows the clipped inputs."""
    rpu_config = config()
    rpu_config.pre_post.input_range = cg.InputRangeParameter(enable=True, init_from_data=2, decay=0.0)
    layer = cg.AnalogLinear(50, 4, rpu_config=rpu_config)
    batches = [torch.randn(20, 50) * scale for scale in (1.0, 2.0)]
    for x in batches:
        layer(x)
    r = layer.analog_tile.input_range.value
    assert r.item() == pytest.approx(np.mean([3 * x.std().item() for x in batches]), rel=1e-5)
    x = torch.full((1, 50), 100.0)
    layer(x).sum().backward()
    g = layer.weight.detach().sum(dim=0)  # dL/dx of inputs that are all beyond r
    torch.testing.assert_close(r.grad, g.clamp(max=0).sum() * r.detach(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("least", "acts"), [(0.95, True), (0.3, False)])
@pytest.mark.parametrize("limit", [0, 4])
def test_results_at_the_bound_widen_the_range(limit: int, least: float, acts: bool) -> None:
    """-(1 - p) r where the fraction p of the tiles' results is within the bound, and below the least one."""
    forward = cg.IOParameters(
        inp_res=0, out_res=0, out_noise=0, out_bound=0.5, noise_management="NONE", bound_management="NONE"
    )
    limits = cg.InputRangeParameter(
        enable=True, init_from_data=0, init_value=2.0, decay=0.0, manage_output_clipping=True,
        output_min_percentage=least,
    )  # fmt: skip
    mapping = cg.MappingParameter(max_input_size=limit)
    pre_post = cg.PrePostProcessingParameter(input_range=limits)
    rpu_config = config(forward=forward, mapping=mapping, pre_post=pre_post)
    layer = cg.AnalogLinear(8, 6, bias=False, rpu_config=rpu_config)
    layer.set_weights(torch.randn(6, 8))
    x = torch.rand(40, 8)  # all within the range, so that nothing else pulls at it
    layer(x).sum().backward()
    parts = zip(x.split(limit or 8, 1), layer.weight.detach().split(limit or 8, 1), strict=True)
    results = torch.cat([(part / 2.0) @ w.t() for part, w in parts])
    within = (results.abs() < 0.5).float().mean()
    assert 0.3 < within < 0.9
    expected = -(1 - within) * 2.0 if acts else torch.zeros(())
    torch.testing.assert_close(layer.analog_tile.input_range.value.grad[0], expected)


@pytest.mark.parametrize("bare", [{"is_perfect": True}, {}, {"noise_management": "NONE"}])
def test_managed_clipping_needs_results_that_clip(bare: dict[str, object]) -> None:
    limits = cg.InputRangeParameter(enable=True, manage_output_clipping=True)
    rpu_config = config(
        forward=cg.IOParameters(**bare), pre_post=cg.PrePostProcessingParameter(input_range=limits)
    )
    with pytest.raises(cg.ConfigError, match="manage_output_clipping = True with"):
        cg.AnalogLinear(4, 4, rpu_config=rpu_config)
