"""How devices answer pulses: traces of weights, and steps from them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossgrid.kernels.cells import UnitCell
from crossgrid.kernels.config import Config

from ..missing import absent
from ..simulator.configs.configs import SingleRPUConfig, UnitCellRPUConfig
from ..simulator.parameters.enums import PulseType
from ..simulator.parameters.io import IOParameters
from ..simulator.parameters.training import UpdateParameters
from ..simulator.tiles.classes import AnalogTile

Array = NDArray[np.float64]


def one_pulse() -> UpdateParameters:
    """Trains of one slot that fires wherever x and d are not zero."""
    return UpdateParameters(
        desired_bl=1, update_bl_management=False, update_management=False, pulse_type=PulseType.STOCHASTIC
    )


def config_of(device: Config, w_noise: float = 0.0) -> Any:
    """A configuration of ``device`` that is read exactly but for noise of the outputs."""
    read = IOParameters(is_perfect=w_noise == 0.0, out_noise=w_noise, inp_res=-1.0, out_res=-1.0)
    kind: Any = UnitCellRPUConfig if isinstance(device, UnitCell) else SingleRPUConfig
    return kind(device=copy.deepcopy(device), forward=read, update=one_pulse())


def get_tile_for_plotting(
    rpu_config: Any,
    n_traces: int,
    use_cuda: bool = False,
    noise_free: bool = False,
    w_init: float | None = None,
) -> AnalogTile:
    """A tile of one input and ``n_traces`` outputs, each pulsed once an update.

    Args:
        rpu_config: how it behaves; its update becomes one pulse.
        n_traces: devices.
        use_cuda: has no effect: plots are of processors.
        noise_free: steps without noise from one to the next.
        w_init: weight to start from; the lowest one if not given.
    """
    config = copy.deepcopy(rpu_config)
    config.update = one_pulse()
    if noise_free:
        _silence(config.device)
    tile = AnalogTile(n_traces, 1, config)
    tile.set_learning_rate(1.0)
    start = -10.0 if w_init is None else w_init  # every device clips to its own lowest weight
    tile.set_weights(torch.full((n_traces, 1), start))
    return tile


def _silence(device: Any) -> None:
    """Let a device, or all those of a cell, step without noise."""
    if hasattr(device, "dw_min_std"):
        device.dw_min_std = 0.0
    for member in getattr(device, "unit_cell_devices", []):
        _silence(member)


def compute_pulse_response(analog_tile: Any, direction: Any, use_forward: bool = False) -> Array:
    """Weights [pulses, out, in] before each pulse in ``direction`` (1 up, -1 down).

    ``use_forward`` reads them by products, with their noise.
    """
    x, d = torch.ones(1, analog_tile.in_size), torch.ones(1, analog_tile.out_size)
    trace = np.empty((len(direction), analog_tile.out_size, analog_tile.in_size))
    for n, up in enumerate(np.asarray(direction)):
        if use_forward:
            trace[n] = analog_tile(torch.eye(analog_tile.in_size)).detach().numpy().T
        else:
            trace[n] = analog_tile.get_weights()[0].numpy()
        analog_tile.update(x, -float(up) * d)
    return trace


def compute_pulse_statistics(
    w_nodes: Any, w_trace: Any, direction: Any, up_direction: bool, smoothness: float = 0.5
) -> tuple[Array, Array]:
    """Mean and standard deviation of a step, [nodes, devices], at the weights ``w_nodes``.

    Each is taken over the steps of a direction, weighted by a Gaussian whose width is ``smoothness`` of the
    distance between nodes.
    """
    nodes, trace = np.asarray(w_nodes, float), np.asarray(w_trace, float).reshape(len(w_trace), -1)
    chosen = np.flatnonzero(np.asarray(direction)[:-1] == (1 if up_direction else -1))
    at, steps = trace[chosen], trace[chosen + 1] - trace[chosen]
    width = max(smoothness * (nodes[1] - nodes[0]), 1e-12)
    weight = np.exp(-0.5 * ((at[None] - nodes[:, None, None]) / width) ** 2) + 1e-30
    weight /= weight.sum(axis=1, keepdims=True)
    mean = (weight * steps[None]).sum(axis=1)
    spread = (weight * (steps[None] - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(spread)


def estimate_n_steps(rpu_config: Any) -> int:
    """Pulses from the lowest weight to the highest, by the mean step where the weight is zero."""
    first: Any = rpu_config.device
    while isinstance(first, UnitCell):
        first = first.unit_cell_devices[0]
    return max(1, round((first.w_max - first.w_min) / first.dw_min))


__getattr__ = absent(__name__)
