"""Weight-programming optimisation: the split of weights over pairs of devices that errs least over time.

After Mackin et al., Nature Communications 13, 3765 (2022); the search is that of
``crossgrid.kernels.inference.optimised``. Losses are 100 times its error, as aihwkit states them.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config, field
from crossgrid.kernels.inference.optimised import (
    ProgrammingSearch,
    StrategySpace,
    Task,
    optimised_programming,
    representative,
    stop_when_beaten,
)
from crossgrid.kernels.rng import new_key, tile_key

from ...missing import absent
from ...simulator.configs.configs import core_config
from .conductance import CustomPairConductanceConverter

AMPLIFICATION = 100.0  # of the mean square error
TEST_INPUTS = 512  # of the layer that strategies are tried on, where tiles may have any number
OF_PAIRS = (
    kernels.SinglePairConductanceConverter,
    kernels.NPairConductanceConverter,
    kernels.CustomPairConductanceConverter,
)


@config
class WeightProgrammingOptions(ProgrammingSearch):
    """What may be chosen of an optimisation by name."""

    nbins: int = field(6, at_least=2)
    """Number of weights of a table from zero to the largest."""
    test_out_features: int = field(20, at_least=1)
    """Number of outputs of the layer that strategies are tried on."""
    g_err: float = field(0.0, at_least=0.0)
    """How far targets may lie out of the range of conductances before they are clipped; a fraction of it."""
    f_min: float = field(0.1, above=0.0)
    """Least factor of a pair, where ``f_lst`` leaves it open, without unit."""
    f_max: float = field(5.0, above=0.0)
    """Largest factor of a pair, where ``f_lst`` leaves it open, without unit."""
    use_max_kw: bool = field(False)
    """Whether the largest weight takes the whole range of conductances."""
    disp: bool = field(True)
    """Whether progress is printed."""


def downsample_weight_distribution(weights: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor of ``shape`` with the distribution of ``weights``: its quantiles, in drawn order."""
    seed = int(torch.randint(2**31, ()))
    found = representative(weights.detach().cpu().float().numpy(), math.prod(shape), seed)
    return torch.from_numpy(found).reshape(tuple(shape)).to(weights)


def shuffle_weights(weights: Tensor) -> Tensor:
    """The rows of ``weights`` in drawn order."""
    return weights[torch.randperm(len(weights))]


def stop_criterion(intermediate_result: Any) -> None:
    """Print how far the search is from its end, and end it there.

    Raises:
        StopIteration: the baseline is beaten by the margin.
    """
    print(f"(loss - baseline) / baseline + margin = {intermediate_result.fun:.6f}")
    stop_when_beaten(intermediate_result)


def loss_weights(
    model: Any,
    t_steps: Sequence[float],
    test_weights: Tensor,
    max_abs_weight_unitless: Any,
    loss_baseline: float,
    loss_margin: float,
    get_baseline: bool = False,
) -> float:
    """The time-averaged normalised mean square error of a layer, times 100.

    Args:
        model: an analog linear layer in evaluation mode; it is programmed anew for each time.
        t_steps: seconds after programming.
        test_weights: weights [in, out] to program.
        max_abs_weight_unitless: what errors are relative to.
        loss_baseline, loss_margin: the loss to be beaten, and by which fraction of it.
        get_baseline: whether the loss itself is asked for, or else what is missing to beat the other.
    """
    wanted = test_weights.detach().cpu().float()
    for layer in model.analog_layers():
        layer.set_weights(wanted.T.clone(), torch.zeros(wanted.shape[1]))
    total = 0.0
    for t_s in t_steps:
        model.program_analog_weights()
        model.drift_analog_weights(t_s)
        parts = [
            (tile.get_weights()[0].T.cpu() * torch.as_tensor(tile.alpha).detach().cpu()).float()
            for layer in model.analog_layers()
            for tile in layer.analog_tiles()
        ]
        total += float(((torch.cat(parts, 0) - wanted) / float(max_abs_weight_unitless)).square().mean())
    loss = AMPLIFICATION * total / len(t_steps)
    return loss if get_baseline else (loss - loss_baseline) / loss_baseline + loss_margin


class WeightProgrammingOptimizer:
    """Searches the converter that bears a distribution of weights with the least error over time.

    Args:
        weights: the weights of a network.
        f_lst: factors of the pairs; None: open.
        rpu_config: an ``InferenceRPUConfig``, whose noise model and drift compensation are used.
        t_steps: seconds after programming at which errors count.
        g_converter_baseline: the converter to be beaten, of single, several or custom pairs.
        symmetric: whether a weight and its negative swap the devices of each pair.
        callback: what SciPy calls after each generation; None: nothing, and the search runs to its end.
        options: fields of ``WeightProgrammingOptions``.

    Raises:
        TypeError: ``g_converter_baseline`` is no converter of pairs.
        ConfigError: an option is unknown or out of its limits.
    """

    def __init__(
        self,
        weights: Tensor,
        f_lst: Sequence[float | None],
        rpu_config: Any,
        t_steps: Sequence[float],
        g_converter_baseline: Any,
        symmetric: bool = True,
        *,
        callback: Callable[..., Any] | None = stop_criterion,
        **options: Any,
    ) -> None:
        if not isinstance(g_converter_baseline, OF_PAIRS):
            raise TypeError(
                f"g_converter_baseline = {type(g_converter_baseline).__name__} has no pairs of devices: give "
                "a SinglePair-, DualPair-, NPair- or CustomPairConductanceConverter"
            )
        self.options = WeightProgrammingOptions()
        for name, value in options.items():
            is_flag = isinstance(getattr(self.options, name, None), bool)
            setattr(self.options, name, bool(value) if is_flag else value)
        self.f_lst: list[Any] = list(f_lst)
        self.rpu_config, self.t_steps = copy.deepcopy(rpu_config), list(t_steps)
        self.g_converter_baseline = copy.deepcopy(g_converter_baseline)
        self.symmetric, self.callback = symmetric, callback
        self.space = _space(self.f_lst, self.g_converter_baseline, symmetric, self.options)
        self.loss_baseline = self.best_loss = math.inf
        inputs = self.rpu_config.mapping.max_input_size or TEST_INPUTS
        found = representative(
            weights.detach().cpu().float().numpy(), inputs * self.options.test_out_features, self.options.seed
        )
        self.weights_downsampled_unitless = torch.from_numpy(found).reshape(inputs, -1)
        self.max_abs_weight_unitless = self.weights_downsampled_unitless.abs().max()

    def run_optimizer(self) -> tuple[CustomPairConductanceConverter, bool | float]:
        """The best converter, and True where it beats the baseline by the margin, or else what is missing.

        ``loss_baseline`` and ``best_loss`` are the losses on devices that the search has not seen.
        """
        own = self.options
        task = Task(
            self.weights_downsampled_unitless.numpy().T.copy(),
            core_config(self.rpu_config.noise_model),
            tuple(float(t_s) for t_s in self.t_steps),
            core_config(self.rpu_config.drift_compensation),
            tile_key(new_key("weight programming", own.seed), 0),
        )
        found = optimised_programming(
            task, self.space, self.g_converter_baseline, own, callback=self.callback
        )
        self.loss_baseline = AMPLIFICATION * found.baseline_error
        self.best_loss = AMPLIFICATION * found.error
        plain = found.converter
        fields = {spec.name: getattr(plain, spec.name) for spec in dataclasses.fields(plain)}
        converter = CustomPairConductanceConverter(**fields)
        self.rpu_config.noise_model.g_converter = converter
        self.f_lst = list(converter.f_lst)
        if own.disp:
            print(f"loss = {self.best_loss:.6f}, of the baseline {self.loss_baseline:.6f}; {found.message}")
        return converter, True if found.beaten_by < 0.0 else found.beaten_by


def _space(
    f_lst: Sequence[float | None], baseline: Any, symmetric: bool, own: WeightProgrammingOptions
) -> StrategySpace:
    """What is open of a strategy."""
    return StrategySpace(
        tuple(f_lst),
        baseline.g_min,
        baseline.g_max,
        bins=own.nbins,
        symmetric=symmetric,
        whole_range=own.use_max_kw,
        factor_range=(own.f_min, own.f_max),
        overshoot_us=own.g_err * (baseline.g_max - baseline.g_min),
    )


__getattr__ = absent(__name__)
