"""A noise model written for aihwkit, of tensors, on the tiles of this project."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config, field
from crossgrid.kernels.inference.draws import Draws

Array = NDArray[np.float32]


@config
class OwnNoiseModel(kernels.BaseNoiseModel):
    """What tiles take of a user's noise model: its methods of conductances, drawing by address."""

    model: Any = field(None)
    """The model, of a class derived from ``crossgrid.aihwkit.inference.BaseNoiseModel``."""

    def apply_programming_noise_to_conductance(self, g_target: Array, draws: Draws) -> Array:
        return _called(self.model.apply_programming_noise_to_conductance, draws, g_target)

    def generate_drift_coefficients(self, g_target: Array, draws: Draws) -> Array:
        return _called(self.model.generate_drift_coefficients, draws, g_target)

    def apply_drift_noise_to_conductance(
        self, g_prog: Array, drift_coefficients: Array, t_inference: float, draws: Draws
    ) -> Array:
        method = self.model.apply_drift_noise_to_conductance
        return _called(method, draws, g_prog, drift_coefficients, t_inference)


def _called(method: Callable[..., Any], draws: Draws, *given: Any) -> Array:
    """What ``method`` gives: of arrays and ``draws`` where it takes these, or else of tensors.

    Torch's generator is then seeded by the address of ``draws``, and is afterwards as it was.
    """
    if "draws" in inspect.signature(method).parameters:
        return np.asarray(method(*given, draws), np.float32)
    tensors = [torch.from_numpy(each.copy()) if isinstance(each, np.ndarray) else each for each in given]
    high, low = (int(draws.uniform().flat[0] * 2**24) for _ in range(2))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(high << 24 | low)
        found = method(*tensors)
    if found is None:
        return np.zeros_like(given[0])
    return np.asarray(torch.as_tensor(found).expand(given[0].shape), np.float32)
