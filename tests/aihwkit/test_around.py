"""What stands around the tiles: linear algebra, calibration, plots, experiments, converters of tensors."""

from __future__ import annotations

import copy
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, cg
from torch import nn
from torch.utils.data import TensorDataset

import crossgrid
from crossgrid.aihwkit import exceptions
from crossgrid.aihwkit.experiments import BasicTraining
from crossgrid.aihwkit.experiments.runners import LocalRunner
from crossgrid.aihwkit.inference import (
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
)
from crossgrid.aihwkit.inference.calibration import InputRangeCalibrationType, calibrate_input_ranges
from crossgrid.aihwkit.inference.noise.pcm import CustomDriftPCMLikeNoiseModel
from crossgrid.aihwkit.linalg import AnalogMatrix
from crossgrid.aihwkit.nn import AnalogLinear, AnalogSequential
from crossgrid.aihwkit.simulator.configs import (
    ChoppedTransferCompound,
    ConstantStepDevice,
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    IOParameters,
    MixedPrecisionCompound,
    SingleRPUConfig,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
    VectorUnitCell,
)
from crossgrid.aihwkit.simulator.parameters import NoiseManagementType, WeightModifierType
from crossgrid.aihwkit.simulator.tiles import AnalogTile, InferenceTile
from crossgrid.aihwkit.utils import visualization
from crossgrid.aihwkit.utils.pulses import compute_pulse_response, config_of, get_tile_for_plotting
from crossgrid.kernels.errors import ConfigError

matplotlib.use("Agg")


def test_a_matrix_on_tiles_is_an_operator_that_solvers_take() -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((8, 8)).astype(np.float32)
    a = half @ half.T + 8 * np.eye(8, dtype=np.float32)
    operator = AnalogMatrix(a, FloatingPointRPUConfig())
    assert isinstance(operator, LinearOperator)
    assert operator.shape == (8, 8)
    b = rng.standard_normal(8).astype(np.float32)
    x, flag = cg(operator, b, rtol=1e-5)
    assert flag == 0
    assert a @ x == pytest.approx(b, abs=1e-3)
    assert operator @ b == pytest.approx(a @ b, rel=1e-5)
    assert operator.T @ b == pytest.approx(a.T @ b, rel=1e-5)
    assert operator @ np.eye(8, dtype=np.float32) == pytest.approx(a, rel=1e-5)
    rows = torch.from_numpy(half[:3])
    assert (operator @ rows).numpy() == pytest.approx(half[:3] @ a.T, rel=1e-4)
    operator.ger(torch.ones(1, 8), torch.ones(1, 8), 0.5)
    assert operator.get_weights().numpy() == pytest.approx(a + 0.5, rel=1e-5)


KINDS = [each for each in InputRangeCalibrationType if each is not InputRangeCalibrationType.NONE]


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_are_calibrated_from_what_each_tile_sees(kind: InputRangeCalibrationType) -> None:
    torch.manual_seed(0)
    model = AnalogSequential(AnalogLinear(6, 4, bias=False, rpu_config=InferenceRPUConfig()))
    batches = [torch.randn(100, 6) for _ in range(10)]
    calibrate_input_ranges(model, kind, [((x,), {}) for x in batches], quantile=0.9, std_alpha=2.0)
    every = torch.cat(batches)
    wanted = {
        "MovingStd": np.mean([2 * x.std() for x in batches]),
        "MovingQuantile": np.mean([np.quantile(x.numpy(), 0.9) for x in batches]),
        "CacheQuantile": np.quantile(every.numpy(), 0.9),
        "Max": every.abs().max().item(),
    }[kind.value]
    (tile,) = model.analog_tiles()
    assert tile.input_range.item() == pytest.approx(wanted, rel=1e-4)
    assert model.training
    assert not tile.rpu_config.forward.is_perfect
    assert tile.rpu_config.pre_post.input_range.calibration_info == kind.value


def test_a_digital_model_has_no_ranges() -> None:
    with pytest.raises(exceptions.ArgumentError, match="convert it first"):
        calibrate_input_ranges(nn.Linear(2, 2), InputRangeCalibrationType.MAX, [])


@pytest.mark.parametrize(
    "converter",
    [
        SinglePairConductanceConverter(g_max=20.0),
        DualPairConductanceConverter(f_lst=[1.0, 3.0]),
        CustomPairConductanceConverter(f_lst=[2.0], g_lst=[[0.0, 0.0, 25.0], [25.0, 0.0, 0.0]]),
    ],
)
def test_conductances_give_the_weights_back(converter: Any) -> None:
    w = torch.linspace(-0.8, 0.8, 12).reshape(3, 4)
    conductances, params = converter.convert_to_conductances(w)
    assert len(conductances) % 2 == 0
    assert max(float(g.max()) for g in conductances) <= converter.g_max + 1e-4
    assert converter.convert_back_to_weights(conductances, params).numpy() == pytest.approx(
        w.numpy(), abs=1e-5
    )


def test_tables_that_lose_the_weight_are_refused() -> None:
    with pytest.raises(exceptions.ConfigError, match="invertibility_test"):
        CustomPairConductanceConverter(f_lst=[1.0], g_lst=[[0.0, 20.0, 25.0], [25.0, 0.0, 0.0]])


def test_drift_of_tensors_follows_the_table() -> None:
    """g = 10 µS drifts with nu = 0.2, without noise: (t / 20 s)^-0.2."""
    table = {"g_lst": [0.0, 10.0, 25.0], "nu_mean_lst": [0.0, 0.2, 0.1], "nu_std_lst": [0.0, 0.0, 0.0]}
    model = CustomDriftPCMLikeNoiseModel(
        table,
        g_converter=SinglePairConductanceConverter(g_max=25.0),
        prog_noise_scale=0.0,
        read_noise_scale=0.0,
    )
    w = torch.tensor([[1.0, 0.4]])
    programmed, coefficients = model.apply_programming_noise(w)
    assert coefficients[0][0].tolist() == pytest.approx([0.1, 0.2])
    drifted = model.apply_drift_noise(programmed, coefficients, 2000.0)
    t = 2020.0 / 20.0
    assert drifted[0].tolist() == pytest.approx([t**-0.1, 0.4 * t**-0.2], rel=1e-4)


def test_a_device_answers_pulses_one_by_one() -> None:
    device = ConstantStepDevice(
        dw_min=0.1, dw_min_std=0.0, dw_min_dtod=0.0, up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0
    )
    tile = get_tile_for_plotting(config_of(device), 2)
    trace = compute_pulse_response(tile, [1, 1, 1, -1, 1])
    assert trace[:, 0, 0] == pytest.approx([-0.6, -0.5, -0.4, -0.3, -0.4], abs=1e-6)
    assert trace.shape == (5, 2, 1)


def test_plots_are_drawn() -> None:
    import matplotlib.pyplot as plt

    visualization.plot_device(ConstantStepDevice(), n_steps=20, n_loops=1)
    visualization.plot_device_compact(ConstantStepDevice(), n_steps=20)
    visualization.plot_device_symmetry(ConstantStepDevice(), n_pulses=20)
    plt.figure()
    visualization.plot_weight_drift(PCMLikeNoiseModel(), n_repeats=3)
    assert len(plt.get_fignums()) == 4
    plt.close("all")


class Points(TensorDataset):
    """Two clouds of points."""

    def __init__(self, root: str, train: bool, download: bool, transform: Any) -> None:
        generator = torch.Generator().manual_seed(int(train))
        labels = torch.arange(64) % 2
        points = torch.randn(64, 2, generator=generator) * 0.1 + labels[:, None] - 0.5
        super().__init__(points, labels)


class Training(BasicTraining):
    """Without torchvision, which only image data sets need."""

    def get_dataset_transform(self, dataset: Any) -> Any:
        return None


def test_an_experiment_trains_here_and_says_what_every_epoch_gave(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    layer = AnalogLinear(2, 2, rpu_config=SingleRPUConfig(forward=IOParameters(is_perfect=True)))
    model = AnalogSequential(layer, nn.LogSoftmax(dim=1))
    experiment = Training(Points, model, batch_size=4, epochs=3, learning_rate=0.5)
    results = LocalRunner().run(experiment, stdout=True)
    assert [each["epoch"] for each in results] == [0, 1, 2]
    assert results[-1]["accuracy"] > 0.95
    assert capsys.readouterr().out.count("accuracy") == 3


def test_hidden_parameters_can_be_given() -> None:
    tile = AnalogTile(2, 3, SingleRPUConfig(device=ConstantStepDevice()))
    hidden = tile.get_hidden_parameters()
    hidden["max_bound"][1, 1] = 0.8
    tile.set_hidden_parameters(hidden)
    assert tile.get_hidden_parameters()["max_bound"][1, 1].item() == pytest.approx(0.8)
    tile.set_weights(torch.ones(2, 3))
    assert tile.get_weights()[0][1, 1].item() == pytest.approx(0.8)


TWO_SOFT = [SoftBoundsDevice(), SoftBoundsDevice()]
GIVEN_DEVICES = {
    "one device": lambda: SingleRPUConfig(device=ConstantStepDevice()),
    "one that diffuses": lambda: SingleRPUConfig(
        device=ConstantStepDevice(diffusion=0.1, diffusion_dtod=0.1)
    ),
    "two": lambda: UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=TWO_SOFT)),
    "tiki-taka": lambda: UnitCellRPUConfig(device=TransferCompound(unit_cell_devices=TWO_SOFT)),
    "mixed precision": lambda: UnitCellRPUConfig(device=MixedPrecisionCompound(device=SoftBoundsDevice())),
}


@pytest.mark.parametrize("kind", GIVEN_DEVICES)
def test_given_devices_are_saved_copied_and_sent(kind: str) -> None:
    """No address recomputes them; other devices follow where the state that is loaded has none."""
    torch.manual_seed(0)
    tile, plain, other = (AnalogTile(2, 3, GIVEN_DEVICES[kind]()) for _ in range(3))
    drawn = {
        name: each for name, each in tile.get_hidden_parameters().items() if "hidden_weights" not in name
    }
    tile.set_hidden_parameters({name: each + 0.01 for name, each in drawn.items()})
    other.load_state_dict(tile.state_dict())
    moved = copy.deepcopy(tile)
    with crossgrid.emulate(moved, backend="local"):
        moved(torch.ones(1, 3))
    for each in (tile, other, copy.deepcopy(other), moved):
        found = each.get_hidden_parameters()
        assert all(torch.allclose(found[name], value + 0.01, atol=1e-7) for name, value in drawn.items())
    tile.load_state_dict(plain.state_dict())
    found, wanted = tile.get_hidden_parameters(), plain.get_hidden_parameters()
    assert all(torch.equal(found[name], wanted[name]) for name in drawn)


def test_a_cell_shows_the_hidden_weights_that_it_was_given() -> None:
    """W = gamma A + C of Tiki-Taka's fast array A and slow array C."""
    cell = TransferCompound(unit_cell_devices=TWO_SOFT, gamma=0.1)
    tile = AnalogTile(2, 3, UnitCellRPUConfig(device=cell))
    hidden = {"hidden_weights_0": torch.full((2, 3), 0.4), "hidden_weights_1": torch.full((2, 3), 0.2)}
    tile.set_hidden_parameters(hidden)
    torch.testing.assert_close(tile.get_weights()[0], torch.full((2, 3), 0.1 * 0.4 + 0.2))


def test_unknown_hidden_parameters_are_refused() -> None:
    tile = AnalogTile(2, 3, SingleRPUConfig(device=ConstantStepDevice()))
    with pytest.raises(ConfigError, match="unknown hidden parameter of these devices 'max_bounds'"):
        tile.set_hidden_parameters({"max_bounds": torch.ones(2, 3)})


def test_diffusion_follows_a_step_once() -> None:
    """An update has had its own; a call by itself is one mini-batch's."""
    tile = AnalogTile(2, 3, SingleRPUConfig(device=ConstantStepDevice(diffusion=0.1)))
    tile.set_weights(torch.zeros(2, 3))
    tile.post_update_step()
    diffused = tile.get_weights()[0]
    assert diffused.abs().min() > 0
    tile.update(torch.zeros(1, 3), torch.zeros(1, 2))
    after = tile.get_weights()[0]
    assert not torch.equal(after, diffused)
    tile.post_update_step()
    assert torch.equal(tile.get_weights()[0], after)


def test_drift_coefficients_of_a_programmed_tile_are_those_it_drifts_by() -> None:
    """w(t) = w ((t + t_0) / t_0)^-nu of positive weights without noise: the other device holds nothing."""
    still = PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0)
    tile = InferenceTile(6, 5, InferenceRPUConfig(noise_model=still, drift_compensation=None)).eval()
    assert tile.drift_noise_parameters is None
    w = 0.1 + torch.rand(6, 5)
    tile.set_weights(w)
    tile.drift_weights(3600.0)
    nu, unused = tile.drift_noise_parameters
    assert nu.shape == unused.shape == (6, 5)
    torch.testing.assert_close(tile.get_weights()[0], w * (3620.0 / 20.0) ** -nu, rtol=1e-5, atol=1e-6)


def test_noise_models_take_aihwkits_arguments() -> None:
    table = {1.0: [0.5, 0.1], 60.0: [0.7]}
    wan = ReRamWan2022NoiseModel(table, g_max=40.0)
    assert (wan.times, wan.coeffs, wan.g_max) == ([1.0, 60.0], [[0.5, 0.1], [0.7]], 40.0)
    decay, read = {"mean": [-0.1], "std": [0.04, 0.4]}, {"K": 0.03, "t_read": 1e-7}
    cmo = ReRamCMONoiseModel(
        g_max=80.0, g_min=8.0, decay_dict=decay, read_dict=read, acceptance_range=2e-2
    )  # fmt: skip
    assert (cmo.g_converter.g_max, cmo.g_converter.g_min, cmo.acceptance_range) == (80.0, 8.0, 0.2)
    assert (cmo.decay_mean, cmo.decay_std, cmo.read_k, cmo.t_read) == (-0.1, [0.4, 0.04], 0.03, 1e-7)
    assert copy.deepcopy(cmo) == cmo
    with pytest.raises(ConfigError, match="coeff_dict"):
        ReRamCMONoiseModel({0.2: [1.0]})


def test_none_stands_for_the_none_of_an_enum() -> None:
    config = InferenceRPUConfig()
    config.modifier.type = config.forward.noise_management = None
    assert config.modifier.type is WeightModifierType.NONE
    assert config.forward.noise_management is NoiseManagementType.NONE


def test_clipped_outputs_of_pulsed_tiles_are_not_managed() -> None:
    config = SingleRPUConfig()
    config.pre_post.input_range.enable = config.pre_post.input_range.manage_output_clipping = True
    with pytest.raises(ConfigError, match="manage_output_clipping = True on a tile that learns by pulses"):
        AnalogTile(3, 3, config)


@pytest.mark.parametrize(("in_flag", "out_flag"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_choppers_are_flags_by_their_names(in_flag: int, out_flag: int) -> None:
    """W = gamma c_out c_in A + C; a flag is set where a chopper's sign is -1."""
    own = ChoppedTransferCompound(
        unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()], gamma=0.25, in_chop_prob=0.0
    )
    tile = next(AnalogLinear(2, 3, False, UnitCellRPUConfig(device=own)).analog_tiles())
    state = tile.tile.dump_extra()
    assert state["rpu.rpu_device.in_chopper"] == [0.0] * 2
    state["rpu.rpu_device.in_chopper"] = [float(in_flag)] * 2
    state["rpu.rpu_device.out_chopper"] = [float(out_flag)] * 3
    tile.tile.load_extra(state, strict=True)
    hidden = {"hidden_weights_0": torch.full((3, 2), 0.25), "hidden_weights_1": torch.full((3, 2), 0.125)}
    tile.set_hidden_parameters(hidden)
    sign = -1.0 if in_flag != out_flag else 1.0
    np.testing.assert_allclose(tile.get_weights()[0], 0.125 + sign * 0.0625)
    assert tile.tile.dump_extra()["rpu.rpu_device.out_chopper"] == [float(out_flag)] * 3


def test_errors_of_programming_are_plotted_over_the_weight() -> None:
    """PCM: sigma = -1.1731 g² + 1.9650 g + 0.2635 µS of 25, conductances below 0 cut off: drawn here."""
    from crossgrid.aihwkit.utils.visualization import plot_model_programming_error, plot_programming_error

    torch.manual_seed(0)
    config = InferenceRPUConfig(noise_model=PCMLikeNoiseModel())
    axes = plot_programming_error(config, n_rows=200, n_bins=6, label="pcm")
    (line,) = axes.containers
    middles, errors = line.lines[0].get_data()
    rng = np.random.default_rng(0)
    for middle, error in zip(middles, errors, strict=True):
        w = np.abs(middle + rng.uniform(-0.2, 0.2, 40000))
        plus, minus = (
            np.maximum(g + (-1.1731 * g**2 + 1.965 * g + 0.2635) / 25 * rng.standard_normal(40000), 0)
            for g in (w, 0.0)
        )
        assert error == pytest.approx(100 * np.abs(plus - minus - w).mean(), rel=0.05)
    model = AnalogSequential(AnalogLinear(30, 20, bias=False, rpu_config=config)).eval()
    with pytest.raises(exceptions.TileError, match="not programmed"):
        plot_model_programming_error(model)
    model.program_analog_weights()
    assert plot_model_programming_error(model, n_bins=11, axes=axes, label="model") is axes
    plot_programming_error(ConstantStepDevice(), n_rows=5, n_bins=4, max_iter=20)
    visualization.plt.close("all")


def test_a_configuration_is_printed_by_what_was_chosen() -> None:
    config = SingleRPUConfig(device=ConstantStepDevice(w_max=0.7))
    assert str(config).splitlines()[:3] == [
        "SingleRPUConfig(",
        "    device=ConstantStepDevice(w_max=0.7),",
        "    forward=IOParameters(),",
    ]
    cells = UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=[SoftBoundsDevice(dw_min=0.5)]))
    assert "unit_cell_devices=[SoftBoundsDevice(dw_min=0.5)]" in str(cells)


def test_a_summary_counts_by_the_shape_of_an_input() -> None:
    from crossgrid.aihwkit.utils.analog_info import analog_summary

    model = AnalogSequential(AnalogLinear(6, 4, rpu_config=SingleRPUConfig()))
    assert not analog_summary(model).counted
    assert analog_summary(model, (2, 6)).counted
