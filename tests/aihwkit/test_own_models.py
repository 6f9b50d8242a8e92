"""Noise models and compensations that users wrote for aihwkit, of tensors, on tiles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from crossgrid.aihwkit.inference import (
    BaseDriftCompensation,
    BaseNoiseModel,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
)
from crossgrid.aihwkit.inference.noise.hermes import HermesNoiseModel
from crossgrid.aihwkit.nn import AnalogLinear
from crossgrid.aihwkit.simulator.configs import InferenceRPUConfig, IOParameters
from crossgrid.kernels.errors import ConfigError

T_0_S, NU, SIGMA_US, G_MAX_US = 20.0, 0.05, 0.5, 25.0


class Own(BaseNoiseModel):
    """A spread of ``SIGMA_US``, then g (t / t_0)^-nu, as a user writes it."""

    def __init__(self, std: float = SIGMA_US) -> None:
        super().__init__(SinglePairConductanceConverter(g_max=G_MAX_US))
        self.std = std

    def apply_programming_noise_to_conductance(self, g_target):
        return g_target + self.std * torch.randn_like(g_target)

    def generate_drift_coefficients(self, g_target):
        return torch.full_like(g_target, NU)

    def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
        return g_prog * ((t_inference + T_0_S) / T_0_S) ** -drift_noise_param


class Fixed(PCMLikeNoiseModel):
    """PCM whose devices drift alike."""

    def __init__(self) -> None:
        super().__init__(g_max=G_MAX_US, prog_noise_scale=0.0, read_noise_scale=0.0)
        self.exponent = NU

    def generate_drift_coefficients(self, g_target):
        return self.exponent * torch.ones_like(g_target)


class FromOnes(BaseDriftCompensation):
    """Read out by one vector of ones."""

    def get_readout_tensor(self, in_size):
        return torch.ones(1, in_size)

    def readout(self, out_tensor):
        return out_tensor.abs().mean().clamp(min=1e-4)


class Median(GlobalDriftCompensation):
    """A readout of its own, by the inputs of aihwkit's."""

    def readout(self, out_tensor):
        return out_tensor.abs().median()


def layer(noise_model: Any, compensation: Any = None, size: int = 100) -> AnalogLinear:
    config = InferenceRPUConfig(
        noise_model=noise_model, drift_compensation=compensation, forward=IOParameters(is_perfect=True)
    )
    torch.manual_seed(0)
    return AnalogLinear(size, size, bias=False, rpu_config=config).eval()


def test_a_model_of_tensors_programs_tiles() -> None:
    """The difference of two devices has sqrt(2) of the spread; 10,000 of them know it to 0.7 %."""
    tiles = layer(Own())
    w = tiles.get_weights()[0].clone()
    tiles.program_analog_weights()
    programmed = tiles.get_weights()[0]
    us = G_MAX_US / w.abs().max()
    assert ((programmed - w) * us).std().item() == pytest.approx(2**0.5 * SIGMA_US, rel=0.03)
    tiles.drift_analog_weights(1980.0)
    assert tiles.get_weights()[0] / programmed == pytest.approx(0.01**NU, rel=1e-4)


def test_what_is_programmed_is_the_same_again_and_torchs_generator_stays() -> None:
    found = []
    for _ in range(2):
        tiles = layer(Own())
        torch.manual_seed(5)
        tiles.program_analog_weights()
        tiles.drift_analog_weights(100.0)
        found.append((tiles.get_weights()[0], torch.rand(1)))
    assert torch.equal(found[0][0], found[1][0])
    torch.manual_seed(5)
    assert torch.equal(found[0][1], torch.rand(1))
    again = pickle.loads(pickle.dumps(copy.deepcopy(tiles)))
    assert torch.equal(again.get_weights()[0], found[1][0])
    assert again.analog_module.rpu_config.noise_model.std == SIGMA_US


def test_one_method_of_a_model_of_this_project_may_be_a_users() -> None:
    tiles = layer(Fixed())
    w = tiles.get_weights()[0].clone()
    tiles.program_analog_weights()
    assert tiles.get_weights()[0] == pytest.approx(w, abs=1e-6)
    tiles.drift_analog_weights(1980.0)
    assert tiles.get_weights()[0] == pytest.approx(w * 0.01**NU, rel=1e-4)


@pytest.mark.parametrize("compensation", [FromOnes(), Median()], ids=["of ones", "median"])
def test_a_compensation_of_tensors_undoes_drift(compensation: Any) -> None:
    """All devices drift alike, so that any readout sees the factor."""
    tiles = layer(Fixed(), compensation)
    tiles.program_analog_weights()
    tiles.drift_analog_weights(1980.0)
    (tile,) = tiles.analog_tiles()
    assert float(tile.alpha) == pytest.approx(100**NU, rel=1e-4)
    w = tile.weight.detach()
    x = torch.eye(len(w))
    assert tiles(x).detach() == pytest.approx(w.T, abs=1e-5)


def test_models_of_this_package_are_of_aihwkits_base_classes() -> None:
    assert isinstance(InferenceRPUConfig().noise_model, PCMLikeNoiseModel)
    assert isinstance(PCMLikeNoiseModel(), BaseNoiseModel)
    assert isinstance(GlobalDriftCompensation(), BaseDriftCompensation)


@pytest.mark.parametrize(
    ("model", "g_us", "sigma_us"),
    [
        (PCMLikeNoiseModel(), 12.5, 0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25),
        (HermesNoiseModel(), 10.35, 0.16603 + 4.71806 * 0.5 - 8.48101 * 0.25 + 4.68961 * 0.125),
        (StateIndependentNoiseModel(), 12.5, 0.2),
    ],
    ids=["pcm", "hermes", "state independent"],
)
def test_the_methods_of_conductances_take_tensors(model: Any, g_us: float, sigma_us: float) -> None:
    """The spread of 40,000 is known to 0.4 %."""
    torch.manual_seed(0)
    g = torch.full((200, 200), g_us)
    programmed = model.apply_programming_noise_to_conductance(g)
    assert programmed.std().item() == pytest.approx(sigma_us, rel=0.02)
    nu = model.generate_drift_coefficients(g)
    assert model.apply_drift_noise_to_conductance(programmed, nu, 3600.0).shape == g.shape


@pytest.mark.parametrize("t_s", [1.0, 86400.0, 172800.0])
def test_reram_of_wan_deviates_once_from_its_targets(t_s: float) -> None:
    """By the measured spread, and with no bias where conductances stay away from zero."""
    torch.manual_seed(0)
    model = ReRamWan2022NoiseModel()
    (row,) = (row for time, row in zip(model.times, model.coeffs, strict=True) if time == t_s)
    w = torch.ones(200, 200)
    sigma = [sum(c * x**k for k, c in enumerate(row)) / 40.0 for x in (1.0, 0.0)]  # of g_max
    spread = sigma[0] ** 2 + sigma[1] ** 2 * (0.5 - 0.5 / torch.pi)  # a device at zero is cut off there
    found = model.apply_noise(w, t_s)
    assert found.std().item() == pytest.approx(spread**0.5, rel=0.03)
    assert found.mean().item() == pytest.approx(1.0 - sigma[1] / (2 * torch.pi) ** 0.5, abs=0.003)


def test_what_tiles_cannot_take_is_refused() -> None:
    class Torch:
        """Of nothing."""

    class Bare(BaseNoiseModel):
        """Without its methods."""

    own = Own()
    own.g_converter = Torch()
    with pytest.raises(ConfigError, match="derive a converter of your own"):
        layer(own, size=3)
    with pytest.raises(ConfigError, match="noise_model"):
        InferenceRPUConfig(noise_model=Torch())
    with pytest.raises(NotImplementedError, match="apply_programming_noise_to_conductance"):
        Bare().apply_noise(torch.ones(2, 2), 1.0)
