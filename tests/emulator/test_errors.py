"""Bad input gets one line that names the value, the limit and the way out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import crossgrid as cg


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(
        cg.ConfigError, match=r"unknown field of ConstantStepDevice 'dw_mn': did you mean 'dw_min'"
    ):
        cg.ConstantStepDevice(dw_mn=0.1)
    device = cg.ConstantStepDevice()
    with pytest.raises(cg.ConfigError, match="did you mean 'w_max'"):
        device.wmax = 1.0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dw_min", -0.1, "dw_min = -0.1"),
        ("dw_min", float("nan"), "finite"),
        ("dw_min", "much", "must be of type float"),
        ("w_max", -1.0, "w_max"),
    ],
)
def test_a_wrong_value_names_field_and_limit(field: str, value: object, words: str) -> None:
    with pytest.raises(cg.ConfigError, match=words):
        cg.ConstantStepDevice(**{field: value})
    device = cg.ConstantStepDevice()
    before = getattr(device, field)
    with pytest.raises(cg.ConfigError, match=words):
        setattr(device, field, value)
    assert getattr(device, field) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_input_and_gradient_must_be_finite(bad: float) -> None:
    layer = cg.AnalogLinear(4, 3)
    x = torch.ones(2, 4)
    x[1, 2] = bad
    with pytest.raises(cg.InputError, match="1 of 8 entries of the input are NaN or infinite"):
        layer(x)
    d = torch.ones(2, 3)
    d[0, 0] = bad
    with pytest.raises(cg.InputError, match="1 of 6 entries of the gradient"):
        layer(torch.ones(2, 4)).backward(d)


def test_large_finite_inputs_are_no_error() -> None:
    """The quick test sums the entries; a sum that overflows must not refuse finite data."""
    layer = cg.AnalogLinear(4, 3, rpu_config=cg.FloatingPointRPUConfig())
    layer.set_weights(torch.full((3, 4), 0.1))
    y = layer(torch.full((2, 4), 3e38) * torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert y.detach().numpy() == pytest.approx(6e37, rel=1e-5)


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -0.1])
def test_the_learning_rate_is_checked_when_the_optimizer_is_made(lr: float) -> None:
    layer = cg.AnalogLinear(4, 3)
    with pytest.raises(cg.ConfigError, match="learning rate"):
        cg.AnalogSGD(layer.parameters(), lr=lr)
    with pytest.raises(cg.ConfigError, match="learning rate"):
        cg.AnalogSGD([{"params": layer.parameters(), "lr": lr}], lr=0.1)
    optimizer = cg.AnalogSGD(layer.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = lr
    with pytest.raises(cg.ConfigError, match="learning rate"):
        optimizer.step()


def test_sizes_and_widths() -> None:
    for sizes in ((0, 3), (4, 0), (-1, 3)):
        with pytest.raises(cg.ConfigError, match="at least 1 is needed"):
            cg.AnalogLinear(*sizes)
    with pytest.raises(cg.ConfigError, match="at least 1"):
        cg.AnalogConv2d(0, 3, 3)
    with pytest.raises(cg.InputError, match=r"input of shape \(2, 5\); its last dimension must be 4 wide"):
        cg.AnalogLinear(4, 3)(torch.ones(2, 5))
    with pytest.raises(cg.InputError, match="images with 3 channels"):
        cg.AnalogConv2d(3, 4, 3)(torch.ones(1, 2, 8, 8))
    with pytest.raises(cg.InputError, match="smaller than the kernel"):
        cg.AnalogConv2d(3, 4, 5)(torch.ones(1, 3, 4, 4))
    with pytest.raises(cg.ConfigError, match="must be 2 whole numbers"):
        cg.AnalogConv2d(3, 4, (1, 2, 3))
    with pytest.raises(cg.ConfigError, match="must be an RPU configuration"):
        cg.AnalogLinear(4, 3, rpu_config=cg.ConstantStepDevice())


@pytest.fixture
def model() -> nn.Module:
    return cg.convert_to_analog(nn.Sequential(nn.Linear(300, 300)), cg.SingleRPUConfig())


def test_emulate_says_what_is_wrong_before_it_starts_anything(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(cg.ConfigError, match="backend = 'rey' does not exist: did you mean 'ray'"):
        cg.emulate(model, backend="rey")
    with pytest.raises(cg.ConfigError, match="tiles_per_actor"):
        cg.emulate(model, tiles_per_actor=0)
    with pytest.raises(cg.ConfigError, match=r"no analog layers.*convert_to_analog"):
        cg.emulate(nn.Linear(3, 3))
    with pytest.raises(cg.ConfigError, match="did you mean 'demo-128'"):
        cg.emulate(model, "demo-182")
    with pytest.raises(cg.ConfigError, match="strategy"):
        cg.emulate(model, "demo-128", strategy="pack")
    with pytest.raises(cg.ConfigError, match="metrics_port"):
        cg.emulate(model, metrics_port=70000)


def test_a_layer_that_does_not_fit_the_chip() -> None:
    large = cg.convert_to_analog(nn.Linear(1280, 1281), cg.SingleRPUConfig())
    with pytest.raises(cg.ConfigError, match="2 chips"):
        cg.emulate(large, "demo-128", backend="ray")


def test_a_taken_port_is_an_error(model: nn.Module) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(cg.PortError, match=f"metrics_port {port} is taken"):
            cg.emulate(model, metrics_port=port)


def test_ray_that_is_not_installed(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(cg.BackendError, match=r"pip install 'crossgrid\[ray\]'"):
        cg.emulate(model, backend="ray")


def test_ray_that_does_not_start() -> None:
    """Ray has nowhere to write: one line says so and names the other backend, and the model still works."""
    code = (
        "import torch, crossgrid as cg\n"
        "model = cg.convert_to_analog(torch.nn.Linear(4, 3), cg.SingleRPUConfig())\n"
        "try:\n"
        "    cg.emulate(model, backend='ray').__enter__()\n"
        "except cg.BackendError as error:\n"
        "    print(error)\n"
        "print(model(torch.ones(1, 4)).shape)\n"
    )
    environment = {**os.environ, "RAY_TMPDIR": "/dev/null/ray"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=True
    )
    printed = done.stdout.strip().splitlines()
    assert printed[-2].startswith("Ray does not start: ")
    assert "backend='local'" in printed[-2]
    assert printed[-1] == "torch.Size([1, 3])"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.ones(2, 4).numpy(), "infer was given a ndarray; give a tensor"),
        ({"input": torch.ones(2, 4)}, "infer was given a dict"),
        ([{"input": torch.ones(2, 4)}], "infer was given a batch that is a dict"),
        (None, "infer was given a NoneType"),
    ],
)
def test_what_infer_cannot_take_is_one_line(given: Any, words: str) -> None:
    model = cg.convert_to_analog(nn.Linear(4, 3), cg.InferenceRPUConfig())
    with cg.emulate(model) as running, pytest.raises(cg.InputError, match=words):
        running.infer(given)


def test_what_train_step_cannot_take_is_one_line() -> None:
    model = cg.convert_to_analog(nn.Linear(4, 3), cg.InferenceRPUConfig())
    x, y, criterion = torch.ones(2, 4), torch.ones(2, 3), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrong: Any = (x,)
    nobody: Any = None
    with cg.emulate(model) as running:
        with pytest.raises(cg.InputError, match="inputs that are a tuple; give one tensor"):
            running.train_step(wrong, y, criterion, optimizer)
        with pytest.raises(cg.ConfigError, match="optimizer is a NoneType"):
            running.train_step(x, y, criterion, nobody)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chip": 3}, "chip = 3 must be a preset's name"),
        ({"timeout_s": 0}, "timeout_s = 0 must be a number of seconds above 0"),
        ({"timeout_s": float("nan")}, "timeout_s = nan must"),
        ({"timeout_s": "5"}, "timeout_s = '5' must"),
    ],
)
def test_settings_that_no_run_can_have(settings: dict[str, Any], words: str) -> None:
    model = cg.convert_to_analog(nn.Linear(4, 3), cg.InferenceRPUConfig())
    with pytest.raises(cg.ConfigError, match=words):
        cg.emulate(model, **settings)


def test_what_is_no_model_is_said() -> None:
    nobody: Any = None
    with pytest.raises(cg.ConfigError, match="a NoneType is no model"):
        cg.emulate(nobody)


@pytest.mark.parametrize("chosen", [False, True])
def test_a_class_of_configurations_is_no_configuration(chosen: bool) -> None:
    kind: Any = cg.InferenceRPUConfig
    config, choose = (kind(), lambda *_: kind) if chosen else (kind, None)
    for layer in (nn.Linear(4, 3), nn.ConvTranspose2d(1, 2, 3), nn.Bilinear(4, 3, 2)):
        with pytest.raises(cg.ConfigError, match=r"the class InferenceRPUConfig; give an object of it"):
            cg.convert_to_analog(layer, config, specific_rpu_config_fun=choose)
    with pytest.raises(cg.ConfigError, match="AnalogLinear: rpu_config is the class InferenceRPUConfig"):
        cg.AnalogLinear(4, 3, rpu_config=kind)


def test_layers_that_are_analog_already_are_named() -> None:
    """They keep their configuration; a part that is converted later is no reason to warn."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    first = cg.convert_to_analog(model, cg.SingleRPUConfig(), exclude_modules=["1"])
    both = cg.convert_to_analog(first, cg.InferenceRPUConfig())
    with pytest.warns(UserWarning, match="2 layers are on tiles already"):
        cg.convert_to_analog(both, cg.InferenceRPUConfig())


@pytest.mark.parametrize("seed", [1.5, "a", 1 << 64, -(1 << 63) - 1])
def test_a_seed_is_a_whole_number_of_64_bits(seed: Any) -> None:
    for make in (
        lambda: cg.convert_to_analog(nn.Linear(4, 3), cg.SingleRPUConfig(), seed=seed),
        lambda: cg.AnalogLinear(4, 3, seed=seed),
        lambda: cg.AnalogTile(3, 4, cg.SingleRPUConfig(), seed),
    ):
        with pytest.raises(cg.ConfigError, match="seed = "):
            make()


def test_a_seed_of_numpy_is_that_of_python() -> None:
    digital = nn.Linear(4, 3)
    made = [cg.convert_to_analog(digital, cg.SingleRPUConfig(), seed=seed) for seed in (3, np.int64(3))]
    assert cg.weights_sha256(made[0]) == cg.weights_sha256(made[1])


class WithOwnParameters(nn.Linear):
    """A low rank beside the weight."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.A, self.B = nn.Parameter(torch.ones(1, 4)), nn.Parameter(torch.ones(3, 1))


def test_a_subclass_with_parameters_of_its_own_is_named_so() -> None:
    with pytest.warns(UserWarning, match=r"its class has parameters of its own \(A, B\)"):
        cg.convert_to_analog(nn.Sequential(WithOwnParameters(), nn.Linear(3, 2)), cg.InferenceRPUConfig())


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (nn.Linear(4, 3), {"input": (2, 4)}),
        (nn.Conv2d(1, 2, 3), {"input": (1, 1, 5, 5)}),
        (nn.ConvTranspose2d(1, 2, 3), {"input": (1, 1, 5, 5)}),
        (nn.GRU(4, 3), {"input": (2, 1, 4), "hx": (1, 1, 3)}),
        (nn.GRUCell(4, 3), {"input": (2, 4), "hx": (2, 3)}),
        (nn.Bilinear(4, 3, 2), {"input1": (2, 4), "input2": (2, 3)}),
    ],
)
def test_inputs_have_torchs_names(layer: nn.Module, names: dict[str, tuple[int, ...]]) -> None:
    inputs = {name: torch.ones(shape) for name, shape in names.items()}
    wanted, found = layer(**inputs), cg.convert_to_analog(layer, cg.SingleRPUConfig())(**inputs)
    for a, b in zip(*((y if isinstance(y, tuple) else (y,)) for y in (wanted, found)), strict=True):
        assert a.shape == b.shape
