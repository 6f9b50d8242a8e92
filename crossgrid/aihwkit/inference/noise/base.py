"""Noise models of device technologies, on tensors of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossgrid.kernels.inference import BaseNoiseModel as BaseNoiseModel

from ...missing import absent
from ..converter.conductance import OF_TENSORS


@dataclasses.dataclass(frozen=True)
class TorchDraws:
    """Random numbers of torch's generator, in the place of addressed ones: weights here are on no tile."""

    shape: tuple[int, ...]

    def normal(self, *_: Any) -> NDArray[np.float32]:
        """Standard normals."""
        return torch.randn(self.shape).numpy()

    def uniform(self, *_: Any) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1)."""
        return torch.rand(self.shape).numpy()


class NoiseOfTensors:
    """A noise model that is also applied to tensors of weights, with torch's random numbers."""

    __slots__ = ()
    g_converter: Any

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        own: Any = self.g_converter
        made = OF_TENSORS.get(type(own))
        if made is not None:
            fields = {spec.name: getattr(own, spec.name) for spec in dataclasses.fields(own)}
            self.g_converter = made(**fields)

    def apply_noise(self, weights: Tensor, t_inference: float) -> Tensor:
        """Weights that are programmed and read ``t_inference`` seconds later."""
        programmed, coefficients = self.apply_programming_noise(weights)
        return self.apply_drift_noise(programmed, coefficients, t_inference)

    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Weights right after programming, and the drift coefficients of each conductance."""
        targets, params = self.g_converter.convert_to_conductances(weights)
        programmed, coefficients = [], []
        for target in targets:
            g, draws = _array(target), TorchDraws(tuple(target.shape))
            programmed.append(_like(self.apply_programming_noise_to_conductance(g, draws), target))  # type: ignore[attr-defined]
            coefficients.append(_like(self.generate_drift_coefficients(g, draws), target))  # type: ignore[attr-defined]
        weights = self.g_converter.convert_back_to_weights(programmed, params)
        return weights, coefficients

    def apply_drift_noise(
        self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float
    ) -> Tensor:
        """Programmed weights ``t_inference`` seconds later."""
        targets, params = self.g_converter.convert_to_conductances(weights)
        drifted = []
        for target, nu in zip(targets, drift_noise_parameters, strict=True):
            draws = TorchDraws(tuple(target.shape))
            g = self.apply_drift_noise_to_conductance(_array(target), _array(nu), t_inference, draws)  # type: ignore[attr-defined]
            drifted.append(_like(g, target))
        return self.g_converter.convert_back_to_weights(drifted, params)  # type: ignore[no-any-return]


def taking(fields_of: Callable[..., dict[str, Any]]) -> Callable[[Any], Any]:
    """A class whose constructor takes aihwkit's arguments: ``fields_of`` tells the fields that they mean."""

    def changed(kind: Any) -> Any:
        plain: Any = kind.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            plain(self, **fields_of(*args, **kwargs))

        kind.__init__ = __init__
        return kind

    return changed


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().float().numpy()


def _like(values: NDArray[np.float32], like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).to(like)


__getattr__ = absent(__name__)
