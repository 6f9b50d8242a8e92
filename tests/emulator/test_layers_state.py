"""What training loops do with a model's state: save, load, copy, move, freeze, schedule, clip."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

import crossgrid as cg

KINDS = {
    "linear": (lambda: nn.Linear(5, 4), (3, 5)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3), (2, 2, 6)),
    "conv2d, grouped": (lambda: nn.Conv2d(2, 4, 2, groups=2), (2, 2, 4, 4)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (2, 1, 3, 3, 3)),
    "rnn": (lambda: nn.RNN(3, 4), (2, 2, 3)),
    "lstm": (lambda: nn.LSTM(3, 4, bidirectional=True), (2, 2, 3)),
    "gru": (lambda: nn.GRU(3, 4, num_layers=2), (2, 2, 3)),
}
CONFIGS = {
    "pulsed": cg.SingleRPUConfig(mapping=cg.MappingParameter(max_output_size=3)),
    "cell": cg.UnitCellRPUConfig(
        device=cg.TransferCompound(unit_cell_devices=[cg.SoftBoundsDevice(), cg.SoftBoundsDevice()]),
        mapping=cg.MappingParameter(weight_scaling_omega=0.6, learn_out_scaling=True),
    ),
    "inference": cg.InferenceRPUConfig(
        modifier=cg.WeightModifierParameter(type="add_normal", std_dev=0.1),
        pre_post=cg.PrePostProcessingParameter(input_range=cg.InputRangeParameter(enable=True)),
    ),
}


def built(kind: str, config: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return cg.convert_to_analog(KINDS[kind][0](), CONFIGS[config])


def output(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = model(x)
    return y if isinstance(y, torch.Tensor) else y[0]


def train(model: nn.Module, inputs: torch.Tensor) -> list[float]:
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    losses = []
    for x in inputs:
        optimizer.zero_grad()
        loss = output(model, x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("kind", KINDS)
def test_saved_loaded_and_copied_models_go_on_with_the_same_bits(kind: str, config: str) -> None:
    """Through a file that torch loads without pickle, into a model built anew from another seed."""
    first = built(kind, config, seed=1)
    inputs = torch.randn(4, *KINDS[kind][1], generator=torch.Generator().manual_seed(3))
    train(first, inputs[:2])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = built(kind, config, seed=2)
    assert second.load_state_dict(torch.load(file, weights_only=True)).missing_keys == []
    models = [first, second, copy.deepcopy(first)]
    losses = [train(model, inputs[2:]) for model in models]
    assert losses[1] == losses[0]
    assert losses[2] == losses[0]
    assert len({cg.weights_sha256(model) for model in models}) == 1


@pytest.mark.parametrize(
    "compensation", [cg.GlobalDriftCompensation(), cg.PerColumnDriftCompensation(), None]
)
def test_a_programmed_model_is_saved_with_what_its_devices_hold(compensation: object) -> None:
    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        config = cg.InferenceRPUConfig(drift_compensation=compensation)
        return cg.convert_to_analog(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)), config).eval()

    first, second = made(1), made(2)
    first.program_analog_weights()
    first.drift_analog_weights(1e3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    third = copy.deepcopy(first)
    x = torch.randn(4, 6)
    expected = first(x)
    first.drift_analog_weights(1e5)
    later = first(x)
    assert not torch.equal(later, expected)
    for model in (second, third):
        assert torch.equal(model(x), expected)
        model.drift_analog_weights(1e5)
        assert torch.equal(model(x), later)


class Net(nn.Module):
    """A model with a method of its own, and no Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(x)))

    def analog_layers(self) -> str:
        return "mine"


def test_a_converted_model_stays_what_it_was_and_can_be_programmed() -> None:
    digital = Net()
    analog = cg.convert_to_analog(digital, cg.InferenceRPUConfig())
    assert isinstance(analog, Net)
    assert isinstance(analog, cg.AnalogModel)
    assert not isinstance(digital, cg.AnalogModel)
    assert type(analog).__name__ == "Net"
    assert analog.analog_layers() == "mine"  # no method of the model's own is replaced
    analog.eval()
    analog.program_analog_weights()
    analog.drift_analog_weights(100.0)
    assert type(copy.deepcopy(analog)) is type(analog)
    assert type(cg.convert_to_digital(analog)) is Net
    assert cg.convert_to_analog(digital, cg.InferenceRPUConfig(), inplace=True) is digital
    with pytest.raises(cg.ConfigError, match="has no layer to program"):
        cg.convert_to_analog(Net(), cg.SingleRPUConfig()).program_analog_weights()


def test_a_layer_that_a_model_uses_twice_stays_one_layer() -> None:
    shared = nn.Linear(4, 4)
    analog = cg.convert_to_analog(nn.Sequential(shared, nn.Tanh(), shared), cg.SingleRPUConfig())
    assert analog[0] is analog[2]
    digital = cg.convert_to_digital(analog)
    assert digital[0] is digital[2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("config", ["pulsed", "inference"])
def test_a_model_computes_in_the_type_that_it_was_moved_to(config: str, dtype: torch.dtype) -> None:
    """Tiles stay in float32: with numbers that either type holds, the result is that of float32, rounded."""
    model = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    analog = cg.convert_to_analog(model, CONFIGS[config])
    moved = copy.deepcopy(analog).to(dtype)
    x = torch.randn(3, 5).to(dtype).requires_grad_()
    y = moved(x)
    y.sum().backward()
    assert y.dtype is x.grad.dtype is dtype
    if config == "pulsed" and dtype is torch.float64:
        torch.testing.assert_close(y.float(), analog(x.float()), rtol=1e-5, atol=1e-5)
    train(moved, torch.randn(2, 3, 5, dtype=dtype))
    assert moved.to("cpu", torch.float32)(torch.randn(3, 5)).dtype is torch.float32


def test_a_programmed_model_that_moves_stays_programmed() -> None:
    model = cg.AnalogLinear(5, 4, rpu_config=cg.InferenceRPUConfig()).eval()
    model.program_analog_weights()
    model.to(torch.float64)
    model.drift_analog_weights(10.0)
    assert model(torch.randn(3, 5, dtype=torch.float64)).dtype is torch.float64


@pytest.mark.parametrize("config", ["pulsed", "inference"])
def test_tiles_cannot_leave_their_numbers_behind(config: str) -> None:
    layer = cg.AnalogLinear(5, 4, rpu_config=CONFIGS[config])
    with pytest.raises(cg.ConfigError, match="cannot move to the meta device"):
        layer.to("meta")
    with pytest.raises(cg.InputError, match="meta device holds no numbers"):
        layer(torch.ones(2, 5, device="meta"))


@pytest.mark.gpu
def test_a_model_on_a_card_reads_its_tiles_and_goes_on_there() -> None:
    model = cg.convert_to_analog(Net(), CONFIGS["pulsed"]).to("cuda")
    assert model(torch.randn(3, 4, device="cuda")).is_cuda
    train(model, torch.randn(2, 3, 4, device="cuda"))


def test_training_and_evaluation_mode_reach_the_tiles() -> None:
    """Only in training mode a hardware-aware layer sees modified weights."""
    model = cg.convert_to_analog(Net(), CONFIGS["inference"])
    assert [layer.training for layer in model.eval().modules()] == [False] * len(list(model.modules()))
    assert all(module.training for module in model.train().modules())


ACTIONS = {
    "norm": lambda p: nn.utils.clip_grad_norm_(p, 1.0),
    "norm, one by one": lambda p: nn.utils.clip_grad_norm_(p, 1.0, foreach=False),
    "value": lambda p: nn.utils.clip_grad_value_(p, 1.0),
    "total": lambda p: nn.utils.get_total_norm([q.grad for q in p]),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1).step(),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1).step(),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=False).step(),
    "scaling": lambda p: [q.grad.mul_(0.5) for q in p],
}


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_can_act_on_a_gradient_that_tiles_do_not_have(action: str) -> None:
    model = cg.convert_to_analog(Net(), CONFIGS["pulsed"])
    model(torch.randn(3, 4)).sum().backward()
    with pytest.raises(cg.ConfigError, match=r"hidden: \w+ cannot act on the gradient of analog weights"):
        ACTIONS[action](list(model.parameters()))
    digital = [p for p in model.parameters() if not isinstance(p, cg.AnalogContext)]
    assert len(digital) == 2
    ACTIONS[action](digital)


def test_clipping_acts_on_hardware_aware_weights() -> None:
    """Their gradient is a digital one: after clipping, its norm is the limit."""
    model = cg.convert_to_analog(Net(), CONFIGS["inference"])
    model(torch.randn(3, 4) * 100).square().sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    total = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    assert total**0.5 == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_clearing_the_models_gradients_drops_waiting_pulses(set_to_none: bool) -> None:
    """``model.zero_grad`` means the same as the optimizer's: the second pass alone is applied."""

    def after(clear: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = cg.AnalogLinear(4, 3, rpu_config=cg.FloatingPointRPUConfig())
        optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
        if clear:
            layer(torch.ones(2, 4)).sum().backward()
            layer.zero_grad(set_to_none)
        layer(torch.full((2, 4), 0.5)).sum().backward()
        optimizer.step()
        return layer.get_weights()[0]

    assert torch.equal(after(True), after(False))


def test_a_frozen_layer_passes_gradients_on_and_does_not_learn() -> None:
    model = cg.convert_to_analog(Net(), CONFIGS["pulsed"])
    model.out.requires_grad_(False)
    before = cg.analog_weights(model)
    train(model, torch.randn(3, 5, 4) * 3)
    after = cg.analog_weights(model)
    assert torch.equal(before["out"], after["out"])
    assert not torch.equal(before["hidden"], after["hidden"])
    assert model.out.weight.grad is None
    assert not copy.deepcopy(model).out.weight.requires_grad


SCHEDULES = {
    "step": (lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.1), [0.1, 0.1, 0.01, 0.01]),
    "exponential": (lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5), [0.1, 0.05, 0.025, 0.0125]),
    "lambda": (
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
        [0.1, 0.1 / 2, 0.1 / 3, 0.1 / 4],
    ),
    # linear annealing over four steps, half of them up: initial max / 25, final initial / 1e4
    "one cycle": (
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=0.1, total_steps=4, pct_start=0.5, anneal_strategy="linear", cycle_momentum=False
        ),
        [0.004, 0.1, (0.1 + 4e-7) / 2, 4e-7],
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_update_uses_the_scheduled_rate(schedule: str) -> None:
    """An ideal tile with dL/dW = 1 moves by minus the rate of each step, whoever sets it."""
    make, rates = SCHEDULES[schedule]
    layer = cg.AnalogLinear(1, 1, bias=False, rpu_config=cg.FloatingPointRPUConfig())
    layer.set_weights(torch.zeros(1, 1))
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    scheduler = make(optimizer)
    moved, last = [], 0.0
    for _ in rates:
        optimizer.zero_grad()
        layer(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        scheduler.step()
        weight = layer.get_weights()[0].item()
        moved.append(last - weight)
        last = weight
    # weights of at most 0.3 are rounded to 2^-26, differences to twice that
    assert moved == pytest.approx(rates, abs=2.0**-25)


def test_parameter_groups_have_rates_of_their_own() -> None:
    model = cg.convert_to_analog(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), cg.FloatingPointRPUConfig())
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[1].parameters(), "lr": 0.5}]
    optimizer = cg.AnalogSGD(groups, lr=0.1)
    before = cg.analog_weights(model)
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    after = cg.analog_weights(model)
    assert torch.equal(before["0"], after["0"])
    assert not torch.equal(before["1"], after["1"])


def test_a_closure_is_evaluated_once_and_its_loss_returned() -> None:
    layer = cg.AnalogLinear(2, 1, rpu_config=cg.FloatingPointRPUConfig())
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    before = layer.get_weights()[0]
    calls = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = layer(torch.ones(1, 2)).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    assert optimizer.step(closure).item() == calls[0]
    assert len(calls) == 1
    torch.testing.assert_close(layer.get_weights()[0], before - 0.1)
