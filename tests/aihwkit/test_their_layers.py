"""aihwkit's semantics where they differ from this project's own: per tile, per step, as programmed."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from twin_cases import CASES, IN_SIZE, OUT_SIZE, RATE, configuration, numbers

import crossgrid as cg
from crossgrid.aihwkit import exceptions
from crossgrid.aihwkit.inference import GlobalDriftCompensation, StateIndependentNoiseModel
from crossgrid.aihwkit.nn import (
    AnalogConv2d,
    AnalogConv2dMapped,
    AnalogLinear,
    AnalogLSTMCell,
    AnalogRNN,
    AnalogSequential,
)
from crossgrid.aihwkit.nn.conversion import convert_to_analog, convert_to_digital
from crossgrid.aihwkit.optim import AnalogAdam, AnalogOptimizer, AnalogSGD
from crossgrid.aihwkit.simulator import configs, parameters
from crossgrid.aihwkit.simulator.configs import (
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
    UnitCellRPUConfig,
    VectorUnitCell,
)
from crossgrid.aihwkit.simulator.parameters import enums
from crossgrid.aihwkit.simulator.tiles.array import split_sizes

API = SimpleNamespace(**{**vars(enums), **vars(parameters), **vars(configs)})
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "twins.json").read_text(encoding="utf-8"))[
    "cases"
]
CLOSE = {"rtol": 1e-5, "atol": 2e-6}  # float32 sums of six products of order one
PERFECT = {"forward": IOParameters(is_perfect=True)}


def inference(**mapping: Any) -> InferenceRPUConfig:
    """Perfect reads; weights drift by a known exponent, without any noise."""
    still = StateIndependentNoiseModel(
        prog_noise_scale=0.0, read_noise_scale=0.0, drift_nu_std=0.0, drift_nu_mean=0.1
    )
    return InferenceRPUConfig(
        noise_model=still, mapping=MappingParameter(**mapping), forward=IOParameters(is_perfect=True)
    )


@pytest.mark.parametrize("name", [name for name in CASES if "clipped" not in name])
def test_a_step_is_that_of_aihwkit(name: str) -> None:
    """Values written by aihwkit 1.1.0 (tests/golden/make_twins.py), by its own script over this package."""
    case, golden = CASES[name], {key: torch.tensor(values) for key, values in GOLDEN[name].items()}
    w, x, d = (torch.from_numpy(values) for values in numbers())
    layer = AnalogLinear(IN_SIZE, OUT_SIZE, bias=False, rpu_config=configuration(API, case))
    layer.set_weights(w)
    optimizer = AnalogSGD(layer.parameters(), lr=RATE)
    optimizer.regroup_param_groups(layer)
    y = layer(x.requires_grad_())
    y.backward(d)
    (tile,) = layer.analog_tiles()
    found = {"y": y.detach(), "x_grad": x.grad}
    if tile.input_range is not None:
        found["range_grad"] = tile.input_range.grad.clone()
    optimizer.step()
    if tile.out_scaling_alpha is not None:
        found["learned"] = tile.out_scaling_alpha.detach()
    found["weights"] = layer.get_weights()[0]
    if "input_range" in case:  # aihwkit's weight gradient is that of x / r: 1 / r of the derivative
        golden["weights"] = w + (golden["weights"] - w) * case["input_range"]["init_value"]
    assert found.keys() == golden.keys()
    for part, theirs in golden.items():
        torch.testing.assert_close(found[part], theirs, **CLOSE, msg=lambda m, part=part: f"{part}: {m}")


def test_each_tile_has_a_scale_of_its_own() -> None:
    """omega = 1: a is the largest weight of each tile; the layer of this project has one for all."""
    w = torch.cat([torch.full((2, 3), 0.1), torch.full((2, 3), 0.5)], 1)
    config = inference(weight_scaling_omega=1.0, max_input_size=3)
    layer = AnalogLinear(6, 2, bias=False, rpu_config=config)
    layer.set_weights(w)
    assert [tile.get_scales().tolist() for tile in layer.analog_tiles()] == [
        pytest.approx([0.1]), pytest.approx([0.5]),
    ]  # fmt: skip
    assert all(tile.tile.get_weights().abs().max() == 1.0 for tile in layer.analog_tiles())
    assert layer.get_weights()[0] == pytest.approx(w, abs=1e-6)
    x = torch.randn(4, 6)
    assert layer(x).detach() == pytest.approx((x @ w.t()).numpy(), abs=1e-5)


def test_each_tile_has_an_input_range_of_its_own() -> None:
    config = inference(max_input_size=3)
    config.pre_post.input_range.enable = True
    config.pre_post.input_range.init_from_data = 1
    layer = AnalogLinear(6, 2, bias=False, rpu_config=config)
    x = torch.cat([torch.randn(500, 3), 10 * torch.randn(500, 3)], 1)
    layer(x)
    found = [tile.input_range.item() for tile in layer.analog_tiles()]
    assert found == pytest.approx([3 * x[:, :3].std().item(), 3 * x[:, 3:].std().item()], rel=1e-5)


def test_each_tile_compensates_its_own_drift() -> None:
    """A tile of zeros has nothing to compensate; the other one's factor undoes t^-nu."""
    config = inference(max_input_size=3)
    config.drift_compensation = GlobalDriftCompensation()
    layer = AnalogLinear(6, 2, bias=False, rpu_config=config).eval()
    layer.set_weights(torch.cat([torch.zeros(2, 3), torch.full((2, 3), 0.5)], 1))
    layer.drift_analog_weights(1e6)
    zero, drifted = (tile.alpha.item() for tile in layer.analog_tiles())
    assert zero == 1.0
    assert drifted > 2.0  # (1e6 / 20)^0.1 = 2.95, at most


def test_weights_of_a_programmed_layer_are_those_on_its_devices() -> None:
    layer = AnalogLinear(20, 10, bias=False, rpu_config=InferenceRPUConfig()).eval()
    before = layer.get_weights()[0]
    layer.program_analog_weights()
    programmed = layer.get_weights()[0]
    assert not torch.equal(before, programmed)
    assert programmed == pytest.approx(before, abs=0.2)  # a PCM's programming noise is some percent of g_max
    digital = convert_to_digital(AnalogSequential(layer))
    assert torch.equal(digital[0].weight, programmed)
    layer.drift_analog_weights(1e7)
    assert layer.get_weights()[0].abs().sum() < programmed.abs().sum()


def test_drift_programs_first_and_training_mode_is_refused() -> None:
    layer = AnalogLinear(4, 3, rpu_config=InferenceRPUConfig())
    with pytest.raises(exceptions.ModuleError, match=r"call model\.eval"):
        layer.drift_analog_weights(1.0)
    before = layer.get_weights()[0]
    layer.eval().drift_analog_weights(100.0)
    assert not torch.equal(layer.get_weights()[0], before)


def test_weights_are_modified_once_a_step_and_not_before_the_first() -> None:
    config = inference()
    kind = enums.WeightModifierType.ADD_NORMAL
    config.modifier = parameters.WeightModifierParameter(type=kind, std_dev=1.0)
    layer = AnalogLinear(4, 3, bias=False, rpu_config=config)
    x, optimizer = torch.randn(2, 4), AnalogSGD(layer.parameters(), lr=0.0)
    exact = x @ layer.get_weights()[0].t()
    assert layer(x).detach() == pytest.approx(exact.numpy(), abs=1e-5)
    optimizer.step()
    first, again = layer(x), layer(x)
    assert torch.equal(first, again)
    assert (first - exact).abs().max() > 0.1
    optimizer.step()
    assert (layer(x) - first).abs().max() > 0.1
    assert layer.eval()(x).detach() == pytest.approx(exact.numpy(), abs=1e-5)


def test_recurrent_layers_stay_digital() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4))
    analog = convert_to_analog(model, SingleRPUConfig())
    assert type(analog[1]) is nn.LSTM
    assert isinstance(analog[0], AnalogLinear)
    assert analog.analog_tile_count() == 1


class Branches(nn.Module):
    """A model with a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.shared(self.shared(x)))


def test_a_converted_model_keeps_its_class_and_can_be_copied() -> None:
    model = convert_to_analog(Branches(), inference(), exclude_modules=["last"])
    assert isinstance(model, Branches)
    assert type(model.last) is nn.Linear
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    x = torch.randn(3, 4)
    for other in (copy.deepcopy(model), torch.load(stored, weights_only=False)):
        assert other.analog_tile_count() == 1
        assert torch.equal(other.eval()(x), model.eval()(x))
    assert type(convert_to_digital(model)) is Branches


def test_a_unit_cells_device_may_be_set_later() -> None:
    config = UnitCellRPUConfig()
    config.device = VectorUnitCell(unit_cell_devices=[configs.ConstantStepDevice()] * 2)
    assert AnalogLinear(3, 2, rpu_config=config).get_weights()[0].shape == (2, 3)


@pytest.mark.parametrize("kind", [SingleRPUConfig, InferenceRPUConfig, FloatingPointRPUConfig])
def test_a_bias_column_is_a_part_of_the_tile(kind: Any) -> None:
    config = kind(mapping=MappingParameter(digital_bias=False))
    if kind is not FloatingPointRPUConfig:
        config.forward = IOParameters(is_perfect=True)
    layer = AnalogLinear(3, 2, rpu_config=config)
    layer.set_weights(torch.full((2, 3), 0.1), torch.tensor([0.02, -0.03]))  # within all devices' bounds
    (tile,) = layer.analog_tiles()
    assert tile.tile.get_weights().shape == (2, 4)
    assert tile.tile.get_x_size() == 4
    assert not any(name.endswith("bias") for name, _ in layer.named_parameters())
    assert layer(torch.zeros(1, 3)).detach()[0].tolist() == pytest.approx([0.02, -0.03], abs=1e-6)


@pytest.mark.parametrize("kind", [AnalogConv2d, AnalogConv2dMapped])
def test_convolutions_are_those_of_torch(kind: Any) -> None:
    torch.manual_seed(0)
    digital = nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 2), dilation=(1, 2))
    config = inference(max_input_size=13, max_output_size=4)
    analog = kind.from_digital(digital, config)
    x = torch.randn(2, 4, 9, 8, requires_grad=True)
    wanted = digital(x)
    assert analog(x).detach() == pytest.approx(wanted.detach().numpy(), abs=1e-5)
    assert analog(x[0]).shape == wanted[0].shape
    (ours,) = torch.autograd.grad(analog(x).sum(), x)
    (theirs,) = torch.autograd.grad(wanted.sum(), x)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-5)
    assert torch.equal(kind.to_digital(analog).weight, digital.weight)


def test_sizes_are_as_few_and_as_equal_as_can_be() -> None:
    assert split_sizes(10, 4) == [4, 3, 3]
    assert split_sizes(8, 4) == [4, 4]
    assert split_sizes(7, 0) == [7]


@pytest.mark.parametrize("bidir", [False, True])
def test_a_recurrent_layer_of_cells_is_that_of_torch(bidir: bool) -> None:
    torch.manual_seed(3)
    ours = AnalogRNN(AnalogLSTMCell, 3, 5, rpu_config=FloatingPointRPUConfig(), num_layers=2, bidir=bidir)
    theirs = nn.LSTM(3, 5, num_layers=2, bidirectional=bidir)
    with torch.no_grad():
        for n, layer in enumerate(ours.rnn.layers):
            for suffix, cell in zip(("", "_reverse"), getattr(layer, "directions", [layer]), strict=False):
                for part in ("ih", "hh"):
                    linear = getattr(cell.cell, f"weight_{part}")
                    linear.set_weights(
                        *(getattr(theirs, f"{w}_{part}_l{n}{suffix}") for w in ("weight", "bias"))
                    )
    x = torch.randn(7, 2, 3)
    assert ours(x)[0].detach() == pytest.approx(theirs(x)[0].detach().numpy(), abs=1e-5)


def test_a_checkpoint_takes_its_configuration_with_it() -> None:
    def made(noise: float) -> AnalogSequential:
        return AnalogSequential(
            AnalogLinear(3, 2, rpu_config=SingleRPUConfig(forward=IOParameters(out_noise=noise)))
        )

    stored, x = made(0.11), torch.ones(1, 3)
    stored(x)
    for flag, noise in ((None, 0.11), (True, 0.11), (False, 0.5)):
        model = made(0.5)
        model.load_state_dict(stored.state_dict(), load_rpu_config=flag)
        assert next(model.analog_tiles()).rpu_config.forward.out_noise == noise
        assert torch.equal(model[0].get_weights()[0], stored[0].get_weights()[0])
    other = AnalogSequential(AnalogLinear(3, 2, rpu_config=FloatingPointRPUConfig()))
    for flag in (True, False):
        with pytest.raises(exceptions.TileModuleError, match="SingleRPUConfig"):
            other.load_state_dict(stored.state_dict(), load_rpu_config=flag)


def test_a_saved_configuration_names_classes_of_this_project_alone() -> None:
    import msgpack
    import numpy as np

    from crossgrid.aihwkit.simulator.tiles.state import packed_config, unpacked_config

    config = InferenceRPUConfig()
    assert unpacked_config(packed_config(config)) == config
    for module, name in (("os", "system"), ("crossgrid.aihwkit.missing", "refusal")):
        evil = msgpack.packb({"class": [module, name], "fields": {}})
        with pytest.raises(TypeError, match="no configuration of this project"):
            unpacked_config(torch.from_numpy(np.frombuffer(evil, np.uint8).copy()))


@pytest.mark.parametrize(
    "make", [AnalogSGD, AnalogAdam, lambda p, lr: AnalogOptimizer(torch.optim.Adam, p, lr=lr)]
)
def test_every_optimizer_pulses_tiles_and_says_its_rate(make: Any) -> None:
    layer = AnalogLinear(4, 3, rpu_config=SingleRPUConfig())
    optimizer = make(layer.parameters(), lr=0.5)
    optimizer.regroup_param_groups(layer)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    before, bias = layer.get_weights()
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    # -lr d x = -0.5 a vector, of which a train of 31 pulses of 0.001 makes 0.031
    assert (layer.get_weights()[0] - before).mean() == pytest.approx(-0.062, rel=0.3)
    assert not torch.equal(layer.get_weights()[1], bias)
    optimizer.set_learning_rate(0.07)
    assert layer.analog_module.get_learning_rate() == 0.07


def test_a_model_of_this_package_is_placed_and_trained_like_any_other() -> None:
    model = convert_to_analog(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), SingleRPUConfig())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cg.emulate(model, backend="local") as emulation:
            optimizer = AnalogSGD(model.parameters(), lr=0.1)
            model(torch.ones(3, 6)).sum().backward()
            optimizer.step()
            assert emulation is not None
    assert model.analog_tile_count() == 2


def test_a_state_of_a_kindred_configuration_is_taken() -> None:
    """Torch tiles are inference tiles: either takes the other's weights and keeps its own configuration."""
    source = AnalogLinear(3, 2, rpu_config=configs.TorchInferenceRPUConfig())
    target = AnalogLinear(3, 2, rpu_config=InferenceRPUConfig())
    target.load_state_dict(source.state_dict(), load_rpu_config=False)
    assert torch.equal(target.get_weights()[0], source.get_weights()[0])
    assert type(next(target.analog_tiles()).rpu_config) is InferenceRPUConfig
    with pytest.raises(exceptions.TileModuleError, match="the state is of SingleRPUConfig"):
        target.load_state_dict(
            AnalogLinear(3, 2, rpu_config=SingleRPUConfig()).state_dict(), load_rpu_config=False
        )  # fmt: skip


def test_a_range_that_is_not_taken_from_data_may_be_said_so_by_false() -> None:
    config = InferenceRPUConfig()
    config.pre_post.input_range.enable, config.pre_post.input_range.init_from_data = True, False
    layer = AnalogLinear(3, 2, rpu_config=config)
    layer(torch.randn(4, 3))
    assert next(layer.analog_tiles()).input_range.item() == config.pre_post.input_range.init_value


def test_a_users_own_dataclasses_are_configurations() -> None:
    """As aihwkit's presets are written: fields with other defaults, decorated by ``dataclass``."""

    @dataclasses.dataclass
    class OwnDevice(configs.SoftBoundsDevice):
        dw_min: float = 0.01

    @dataclasses.dataclass
    class OwnConfig(SingleRPUConfig):
        device: configs.SoftBoundsDevice = dataclasses.field(default_factory=OwnDevice)
        mapping: MappingParameter = dataclasses.field(
            default_factory=lambda: MappingParameter(max_input_size=2)
        )

    layer = AnalogLinear(3, 2, bias=False, rpu_config=OwnConfig())
    assert layer.analog_tile_count() == 2
    tile = next(layer.analog_tiles())
    assert tile.rpu_config.device.dw_min == 0.01
    assert type(tile.rpu_config) is OwnConfig
    assert copy.deepcopy(layer)(torch.ones(1, 3)).shape == (1, 2)
