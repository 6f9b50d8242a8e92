"""Weight-programming optimisation under aihwkit's names."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from crossgrid.aihwkit.inference import (
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    SingleDeviceConductanceConverter,
)
from crossgrid.aihwkit.inference.converter.wpo import (
    WeightProgrammingOptimizer,
    downsample_weight_distribution,
    loss_weights,
    shuffle_weights,
    stop_criterion,
)
from crossgrid.aihwkit.nn import AnalogLinear, AnalogSequential
from crossgrid.aihwkit.simulator.configs import InferenceRPUConfig
from crossgrid.kernels.errors import ConfigError

TIMES_S = [1, 3600, 86400]
SHORT = {"popsize": 2, "maxiter": 4, "nbins": 2, "baseline_iterations": 2, "test_out_features": 4}
WEIGHTS = torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, 4000).astype(np.float32))


def configuration() -> InferenceRPUConfig:
    config = InferenceRPUConfig(noise_model=PCMLikeNoiseModel(g_max=25.0))
    config.drift_compensation = GlobalDriftCompensation()
    config.mapping.max_input_size = 64
    return config


def optimizer(f_lst: list[float | None], **options) -> WeightProgrammingOptimizer:
    baseline = DualPairConductanceConverter(f_lst=[1.0, 1.0], g_min=0.0, g_max=25.0)
    return WeightProgrammingOptimizer(
        WEIGHTS, f_lst, configuration(), TIMES_S, baseline, **{**SHORT, **options}
    )


def test_the_optimizer_gives_a_converter_that_layers_take(capsys: pytest.CaptureFixture[str]) -> None:
    found = optimizer([1.0, None], popsize=4, maxiter=10, use_max_kw=1, loss_margin=0.05)
    converter, success = found.run_optimizer()
    assert "(loss - baseline) / baseline + margin = " in capsys.readouterr().out
    assert isinstance(converter, CustomPairConductanceConverter)
    assert (converter.g_min, converter.g_max, len(converter.g_lst)) == (0.0, 25.0, 4)
    assert converter.f_lst[0] == 1.0
    assert 0.1 <= converter.f_lst[1] <= 5.0
    assert found.f_lst == converter.f_lst
    assert found.rpu_config.noise_model.g_converter == converter
    assert success is True or success >= 0.0
    again = pickle.loads(pickle.dumps(found))
    assert again.best_loss == found.best_loss
    layer = AnalogLinear(8, 3, bias=False, rpu_config=found.rpu_config).eval()
    layer.program_analog_weights()
    layer.drift_analog_weights(3600.0)
    assert torch.isfinite(layer(torch.ones(2, 8))).all()


def test_the_callers_configuration_stays_and_a_search_repeats() -> None:
    config = configuration()
    before = copy.deepcopy(config)
    baseline = DualPairConductanceConverter(f_lst=[1.0, 1.0], g_min=0.0, g_max=25.0)
    losses = []
    for _ in range(2):
        own = WeightProgrammingOptimizer(
            WEIGHTS, [1.0], config, TIMES_S, baseline, callback=None, disp=False, **SHORT
        )
        own.run_optimizer()
        losses.append(own.best_loss)
    assert losses[0] == losses[1]
    assert config == before


def test_the_loss_of_a_layer_is_that_of_the_search() -> None:
    """Devices are others, and the layer's compensation is read with noise: they agree to a sixth."""
    found = optimizer([1.0, 1.0], maxiter=1, popsize=1, polish=False, callback=None, disp=False)
    found.run_optimizer()
    config = configuration()
    config.noise_model.g_converter = found.g_converter_baseline
    config.forward.is_perfect = True
    weights = found.weights_downsampled_unitless
    layer = AnalogSequential(AnalogLinear(*weights.shape, bias=False, rpu_config=config)).eval()
    given = (TIMES_S * 5, weights, weights.abs().max())
    loss = loss_weights(layer, *given, 0.0, 0.0, get_baseline=True)
    assert loss == pytest.approx(found.loss_baseline, rel=1 / 6)
    beaten = loss_weights(layer, *given, 1e9, 0.25)
    assert beaten == pytest.approx(-0.75)


def test_distributions_are_downsampled_and_shuffled() -> None:
    w = torch.linspace(-1, 3, 401)
    found = downsample_weight_distribution(w, torch.Size([10, 20]))
    assert found.shape == (10, 20)
    assert (found.min(), found.max()) == (-1, 3)
    assert found.mean().item() == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(torch.sort(shuffle_weights(w)).values, w)
    assert not torch.equal(shuffle_weights(w), w)


def test_a_search_ends_at_the_margin(capsys: pytest.CaptureFixture[str]) -> None:
    from scipy.optimize import OptimizeResult

    stop_criterion(OptimizeResult(fun=0.5))
    with pytest.raises(StopIteration):
        stop_criterion(OptimizeResult(fun=-0.1))
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [({"popsizes": 3}, "popsize"), ({"nbins": 1}, "nbins"), ({"f_min": 6.0}, "factor_range")],
)
def test_what_cannot_be_searched_is_refused_before_the_search(options, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        optimizer([1.0, None], **options)
    with pytest.raises(TypeError, match="SingleDeviceConductanceConverter has no pairs"):
        WeightProgrammingOptimizer(
            WEIGHTS, [1.0], configuration(), TIMES_S, SingleDeviceConductanceConverter()
        )
