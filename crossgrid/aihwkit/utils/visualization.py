"""Plots of a device's answer to pulses, of drift, and of programming errors."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from crossgrid.kernels.cells import UnitCell

from ..exceptions import TileError
from ..inference.noise.pcm import PCMLikeNoiseModel
from ..missing import absent
from ..simulator.configs.configs import InferenceRPUConfig, SingleRPUConfig, UnitCellRPUConfig
from ..simulator.parameters.base import RPUConfigBase
from ..simulator.presets.utils import PresetIOParameters
from .pulses import compute_pulse_response as compute_pulse_response
from .pulses import compute_pulse_statistics as compute_pulse_statistics
from .pulses import config_of
from .pulses import estimate_n_steps as estimate_n_steps
from .pulses import get_tile_for_plotting as get_tile_for_plotting

PROBED = 200  # pulses that are drawn of each direction where there would be more


def _loops(n_loops: int, n_steps: int) -> Any:
    """1 for every pulse up, -1 for every pulse down: ``n_loops`` times ``n_steps`` of each."""
    return np.tile(np.repeat([1.0, -1.0], n_steps), n_loops)


def plot_pulse_response(analog_tile: Any, direction: Any, use_forward: bool = False) -> Any:
    """Plot the weights of all devices over the pulses; returns them, [pulses, out, in]."""
    trace = compute_pulse_response(analog_tile, direction, use_forward)
    plt.plot(trace.reshape(len(trace), -1))
    plt.xlabel("pulse number")
    plt.ylabel("weight [conductance]")
    return trace


def plot_pulse_statistics(
    w_trace: Any, direction: Any, up_direction: bool, num_nodes: int = 100, smoothness: float = 0.5
) -> Any:
    """Plot mean and spread of a step over the weight; returns the weights, the means and the spreads."""
    nodes = np.linspace(w_trace.min(), w_trace.max(), num_nodes)
    mean, spread = compute_pulse_statistics(nodes, w_trace, direction, up_direction, smoothness)
    for device in range(mean.shape[1]):
        plt.errorbar(nodes, mean[:, device], spread[:, device])
    plt.xlabel("weight")
    plt.ylabel(f"step {'up' if up_direction else 'down'}")
    return nodes, mean, spread


def plot_response_overview(
    rpu_config: Any, n_loops: int = 5, n_steps: int | None = None, n_traces: int = 5, use_cuda: bool = False,
    smoothness: float = 0.1,
) -> None:  # fmt: skip
    """Plot traces of ``n_traces`` devices over cycles of pulses, and their steps in both directions."""
    steps = min(estimate_n_steps(rpu_config) if n_steps is None else n_steps, PROBED)
    direction = _loops(n_loops, steps)
    plt.subplot(3, 1, 1)
    noisy = not rpu_config.forward.is_perfect
    trace = plot_pulse_response(get_tile_for_plotting(rpu_config, n_traces), direction, noisy)
    for row, up in ((2, True), (3, False)):
        plt.subplot(3, 1, row)
        plot_pulse_statistics(trace, direction, up, smoothness=smoothness)
    plt.tight_layout()


def plot_device(device: Any, w_noise: float = 0.0, **kwargs: Any) -> None:
    """Plot how ``device`` answers pulses, in a figure of its own; arguments as of the overview."""
    plt.figure(figsize=(7, 7))
    plot_response_overview(config_of(device, w_noise), **kwargs)
    plt.suptitle(type(device).__name__)


def plot_device_compact(
    device: Any, w_noise: float = 0.0, n_steps: int | None = None, n_traces: int = 3, n_loops: int = 2,
    w_init: float | None = None, use_cuda: bool = False, axes: Any = None,
) -> Any:  # fmt: skip
    """Plot traces of ``n_traces`` devices over cycles of pulses, also without noise; returns the figure."""
    config = config_of(device, w_noise)
    steps = min(estimate_n_steps(config) if n_steps is None else n_steps, PROBED)
    direction = _loops(n_loops, steps)
    if axes is None:
        axes = plt.figure(figsize=(7, 4)).add_subplot()
    for noise_free, style in ((False, "-"), (True, "k--")):
        tile = get_tile_for_plotting(config, 1 if noise_free else n_traces, False, noise_free, w_init)
        trace = compute_pulse_response(tile, direction, w_noise > 0 and not noise_free)
        axes.plot(trace.reshape(len(trace), -1), style, linewidth=1)
    axes.set_title(type(device).__name__)
    axes.set_xlabel("pulse number")
    axes.set_ylabel("weight")
    return axes.figure


def plot_device_symmetry(
    device: Any, w_noise: float = 0.0, n_pulses: int = 10000, n_traces: int = 3, use_cuda: bool = False,
    w_init: float = 1.0,
) -> None:  # fmt: skip
    """Plot where pulses up and down in turn lead: the symmetry point of each device."""
    plt.figure(figsize=(10, 5))
    tile = get_tile_for_plotting(config_of(device, w_noise), n_traces, w_init=w_init)
    plot_pulse_response(tile, np.tile([1.0, -1.0], min(n_pulses, 2 * PROBED) // 2), w_noise > 0)
    plt.title(type(device).__name__)


def plot_weight_drift(
    noise_model: Any = None, t_inference_list: Any = None, w_inits: Any = None, n_repeats: int = 25
) -> None:
    """Plot programmed weights over the time since their programming, with the spread of repeats."""
    model = PCMLikeNoiseModel() if noise_model is None else noise_model
    times = [0.0, 1.0, 60.0, 3600.0, 86400.0, 31536000.0] if t_inference_list is None else t_inference_list
    weights = torch.as_tensor(np.linspace(-1.0, 1.0, 9) if w_inits is None else w_inits).float()
    repeated = weights.reshape(-1, 1).repeat(1, n_repeats)
    programmed, coefficients = model.apply_programming_noise(repeated)
    found = torch.stack([model.apply_drift_noise(programmed, coefficients, float(t)) for t in times])
    for k, target in enumerate(weights):
        plt.errorbar(np.maximum(times, 1.0), found[:, k].mean(1), found[:, k].std(1), label=f"{target:.2f}")
    plt.xscale("log")
    plt.xlabel("time since programming [s]")
    plt.ylabel("weight")
    plt.legend()


def plot_programming_error(
    config: Any, w_range: tuple[float, float] = (-1.0, 1.0), w_init: Any = None, n_rows: int = 100,
    realistic_read: bool = False, n_bins: int = 101, use_cuda: bool = False, label: str | None = None,
    axes: Any = None, t_inference: float | None = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Plot the error of programmed weights over the weight, in percent of half of ``w_range``.

    Args:
        config: a configuration, or a device or a cell.
        w_range: of the weights, uniform ones if ``w_init`` is not given.
        w_init: weights [out, in] to program.
        n_rows: outputs and inputs of the uniform weights.
        realistic_read: estimated from products, with their noise.
        n_bins: of the weight, one more than are drawn.
        use_cuda: has no effect: plots are of processors.
        label: of the curve.
        axes: to draw on; the current ones if not given.
        t_inference: seconds since programming, of an ``InferenceRPUConfig``.
        kwargs: arguments of the tile's ``program_weights``.
    """
    if isinstance(config, RPUConfigBase):
        rpu_config: Any = config
    else:
        kind: Any = UnitCellRPUConfig if isinstance(config, UnitCell) else SingleRPUConfig
        rpu_config = kind(device=config, forward=PresetIOParameters())
    low, high = w_range
    uniform = low + (high - low) * torch.rand(n_rows, n_rows)
    w = uniform if w_init is None else torch.as_tensor(w_init).float()
    tile = rpu_config.tile_class(w.shape[0], w.shape[1], rpu_config, bias=False).eval()
    tile.set_weights(w, apply_weight_scaling=False)
    tile.program_weights(**kwargs)
    if isinstance(rpu_config, InferenceRPUConfig) and t_inference is not None:
        tile.drift_weights(t_inference)
    found = tile.get_weights(apply_weight_scaling=False, realistic=realistic_read)[0]
    axes = _plot_errors(w, found, np.linspace(low, high, n_bins), (high - low) / 2, axes, label=label)
    axes.set_ylabel("programming error [% of g_max]")
    return axes


def plot_model_programming_error(
    analog_model: Any, n_bins: int = 51, apply_weight_scaling: bool = False, axes: Any = None, **kwargs: Any
) -> Any:
    """Plot the error of a programmed model's weights over the weight, in percent of the largest.

    Weights are estimated from products, with all their noise; ``kwargs`` are of the curve.

    Raises:
        TileError: a tile has not been programmed.
    """
    targets, found = [], []
    for tile in analog_model.analog_tiles():
        if getattr(tile.analog_tile, "programmed", None) is None:
            raise TileError(f"{tile.grid.spec.name} is not programmed: call program_analog_weights() first")
        scales = tile.get_scales()
        target = tile.weight.detach().cpu().float()
        if scales is not None and not apply_weight_scaling:
            target = target / scales.detach().cpu().float().reshape(-1, 1)
        read = tile.get_weights(apply_weight_scaling=apply_weight_scaling, realistic=True)[0]
        targets.append(target[:, : read.shape[1]].ravel())
        found.append(read.ravel())
    w = torch.cat(targets)
    largest = float(w.abs().max())
    edges = np.linspace(-largest, largest, n_bins)
    axes = _plot_errors(w, torch.cat(found), edges, largest, axes, **kwargs)
    axes.set_ylabel("programming error [% of the largest weight]")
    return axes


def _plot_errors(w: Any, found: Any, edges: Any, full: float, axes: Any, **curve: Any) -> Any:
    """The mean magnitude of ``found`` - ``w`` between ``edges`` with its standard error, in % of ``full``."""
    from scipy.stats import binned_statistic

    axes = plt.gca() if axes is None else axes
    target, error = w.ravel().numpy(), (found - w).abs().ravel().numpy()
    mean, spread, count = (
        binned_statistic(target, error, statistic, edges).statistic for statistic in ("mean", "std", "count")
    )
    percent = 100.0 / full
    middles = (edges[:-1] + edges[1:]) / 2
    axes.errorbar(middles, mean * percent, spread / np.sqrt(np.maximum(count, 1)) * percent, **curve)
    axes.set_xlabel("weight")
    return axes


__getattr__ = absent(__name__)
