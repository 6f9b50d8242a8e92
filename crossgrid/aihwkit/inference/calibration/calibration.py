"""Input ranges of a trained model, from data."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels.analog_mvm.parameters import NoiseManagementType

from ...exceptions import ArgumentError, ConfigError
from ...missing import absent
from ...nn.modules.base import AnalogLayerBase
from ...simulator.tiles.module import TileModule


class InputRangeCalibrationType(Enum):
    """What a tile's range becomes."""

    NONE = "None"
    """What it is."""
    MOVING_STD = "MovingStd"
    """The mean, over batches, of a multiple of the inputs' standard deviation."""
    MOVING_QUANTILE = "MovingQuantile"
    """The mean, over batches, of a quantile of the inputs."""
    CACHE_QUANTILE = "CacheQuantile"
    """A quantile of inputs that were kept."""
    MAX = "Max"
    """The largest magnitude of the inputs."""


WIDE = 1e6  # a range that clips nothing


class Collector:
    """What one tile has seen of the data."""

    def __init__(self, tile: TileModule, kind: InputRangeCalibrationType, quantile: float, most: int) -> None:
        self.tile, self.kind, self.quantile, self.most = tile, kind, quantile, most
        self.kept: Tensor | None = None  # vectors [n, in]
        self.value, self.batches = 0.0, 0

    def __call__(self, module: Any, args: tuple[Any, ...]) -> None:
        """Look at an input on its way to the tile."""
        x = args[0].detach().reshape(-1, args[0].shape[-1]).float()
        x = x[(x != 0).any(-1)]
        if x.numel() == 0:
            return
        if self.kind is InputRangeCalibrationType.MAX:
            self.value = max(self.value, x.abs().max().item())
        elif self.kind is InputRangeCalibrationType.CACHE_QUANTILE:
            kept = x.cpu() if self.kept is None else torch.cat([self.kept, x.cpu()])
            self.kept = kept[torch.randperm(len(kept))[: self.most]]
        elif self.batches < self.most or self.kind is InputRangeCalibrationType.MOVING_QUANTILE:
            self._move(self._spread(x))

    def _spread(self, x: Tensor) -> float:
        if self.kind is InputRangeCalibrationType.MOVING_STD:
            alpha: float = self.tile.rpu_config.pre_post.input_range.init_std_alpha
            return alpha * x.std().item()
        return x.abs().max().item() if self.quantile == 1.0 else quantile_of(x, self.quantile)

    def _move(self, value: float) -> None:
        if value > 0:
            self.value = (self.value * self.batches + value) / (self.batches + 1)
            self.batches += 1

    def result(self) -> float:
        """The range, 0 where nothing was seen."""
        return self.value if self.kept is None else quantile_of(self.kept, self.quantile)


def quantile_of(x: Tensor, quantile: float) -> float:
    """A quantile of all entries."""
    values, n = x.flatten().sort().values, x.numel() - 1
    low = int(quantile * n)
    high = min(low + 1, n)
    return (values[low] + (quantile * n - low) * (values[high] - values[low])).item()


@torch.no_grad()
def calibrate_input_ranges(
    model: Any,
    calibration_type: InputRangeCalibrationType,
    dataloader: Iterable[Any],
    quantile: float = 0.99995,
    max_samples: int = 1000,
    std_alpha: float | None = None,
    force_all_layers: bool = True,
    verbose: bool = False,
) -> None:
    """Set the input range of every tile from data that passes through the model, in evaluation mode.

    Args:
        model: a model with tiles.
        calibration_type: what a range becomes.
        dataloader: gives ``(args, kwargs)`` of the model's calls; a tensor is a call's only argument.
        quantile: of the types that take one.
        max_samples: vectors that are kept, or batches that are averaged.
        std_alpha: multiple of the standard deviation; that of each configuration if not given.
        force_all_layers: give every tile a range, without noise management; or else only those that have one.
        verbose: print each range.

    Raises:
        ArgumentError: the model has no tiles.
        ConfigError: a tile scales its inputs itself, and ``force_all_layers`` is off.
    """
    if calibration_type is InputRangeCalibrationType.NONE:
        return
    if not isinstance(model, AnalogLayerBase):
        raise ArgumentError(f"{type(model).__name__} is no analog model; convert it first")
    training = model.training
    model.eval()
    collectors: dict[str, Collector] = {}
    perfect: dict[str, bool] = {}
    for name, tile in model.named_analog_tiles():
        if not hasattr(tile.rpu_config, "forward"):
            continue
        if force_all_layers or tile.rpu_config.pre_post.input_range.enable:
            perfect[name] = _prepare(name, tile, std_alpha, force_all_layers)
            collectors[name] = Collector(tile, calibration_type, quantile, max_samples)
    hooks = [each.tile.register_forward_pre_hook(each) for each in collectors.values()]
    try:
        for args, kwargs in dataloader:
            model(*((args,) if isinstance(args, Tensor) else args), **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    for name, each in collectors.items():
        _finish(name, each, perfect[name], calibration_type, verbose)
    model.train(training)


def _prepare(name: str, tile: TileModule, std_alpha: float | None, force: bool) -> bool:
    """Let a tile read exactly, without management, and clip nothing; whether it was exact before."""
    config = copy.deepcopy(tile.rpu_config)
    limits, io = config.pre_post.input_range, config.forward
    if io.noise_management is not NoiseManagementType.NONE:
        if not force:
            raise ConfigError(
                f"{name}: forward.noise_management = {io.noise_management.value} scales inputs itself; "
                "set it to NONE, or force_all_layers=True"
            )
        io.noise_management = NoiseManagementType.NONE
    if not limits.enable:
        limits.enable, limits.learn_input_range = True, False
    limits.init_from_data = 0
    if std_alpha is not None:
        limits.init_std_alpha = std_alpha
    was = bool(io.is_perfect)
    io.is_perfect = True
    tile.replace_with(config)
    tile.set_input_range(WIDE)
    return was


def _finish(
    name: str, seen: Collector, perfect: bool, kind: InputRangeCalibrationType, verbose: bool
) -> None:
    """Set a tile's range, and its periphery as it was."""
    tile, value = seen.tile, seen.result()
    if value <= 0:
        if verbose:
            print(f"Tile {name} saw no inputs.")
        return
    config = copy.deepcopy(tile.rpu_config)
    config.forward.is_perfect = perfect
    config.pre_post.input_range.init_value = value
    config.pre_post.input_range.calibration_info = kind.value
    tile.replace_with(config)
    tile.set_input_range(value)
    if verbose:
        print(f"Calibrated tile {name}: {value:.5f}.")


__getattr__ = absent(__name__)
