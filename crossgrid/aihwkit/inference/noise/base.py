"""Noise models of device technologies, on tensors of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...missing import absent
from ..converter.conductance import OF_TENSORS, SinglePairConductanceConverter


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


class BaseNoiseModel:
    """A noise model of tensors: those of this package, and a base for your own, as in aihwkit.

    Override the three methods of conductances; they get tensors [µS] of one device of each crosspoint and
    draw from torch's generator. On tiles its seed follows from the address of the crosspoints, so that what
    is programmed can be computed again: a method must depend on its arguments and that generator alone.
    """

    __slots__ = ()

    def __init__(self, g_converter: Any = None) -> None:
        self.g_converter = SinglePairConductanceConverter() if g_converter is None else g_converter

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        own: Any = self.g_converter
        made = OF_TENSORS.get(type(own))
        if made is not None:
            fields = {spec.name: getattr(own, spec.name) for spec in dataclasses.fields(own)}
            self.g_converter = made(**fields)

    def __setattr__(self, name: str, value: Any) -> None:
        """A class of your own may hold what it likes beside the fields of what it is derived from."""
        fields = getattr(type(self), "__dataclass_fields__", {})
        if name in fields or not hasattr(self, "__dict__"):
            super().__setattr__(name, value)
        else:
            object.__setattr__(self, name, value)

    def apply_programming_noise_to_conductance(self, g_target: Any, draws: Any = None) -> Any:
        """Conductances right after programming."""
        return _computed(self._law("apply_programming_noise_to_conductance"), draws, g_target)

    def generate_drift_coefficients(self, g_target: Any, draws: Any = None) -> Any:
        """What a device keeps for its later drift, usually the exponents."""
        return _computed(self._law("generate_drift_coefficients"), draws, g_target)

    def apply_drift_noise_to_conductance(
        self, g_prog: Any, drift_noise_param: Any, t_inference: float, draws: Any = None
    ) -> Any:
        """Conductances ``t_inference`` seconds after programming."""
        law = self._law("apply_drift_noise_to_conductance")
        return _computed(law, draws, g_prog, drift_noise_param, t_inference)

    def _law(self, name: str) -> Callable[..., Any]:
        """The method of this project's model that this one is."""
        law: Callable[..., Any] | None = getattr(super(), name, None)
        if law is None:
            raise NotImplementedError(f"{type(self).__name__} must define {name}")
        return law

    def apply_noise(self, weights: Tensor, t_inference: float) -> Tensor:
        """Weights that are programmed and read ``t_inference`` seconds later."""
        programmed, coefficients = self.apply_programming_noise(weights)
        return self.apply_drift_noise(programmed, coefficients, t_inference)

    @torch.no_grad()
    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Weights right after programming, and the drift coefficients of each conductance."""
        targets, params = _as_list(self.g_converter.convert_to_conductances(weights))
        programmed = [self.apply_programming_noise_to_conductance(target) for target in targets]
        coefficients = [self.generate_drift_coefficients(target) for target in targets]
        return self.g_converter.convert_back_to_weights(programmed, params), coefficients

    @torch.no_grad()
    def apply_drift_noise(
        self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float
    ) -> Tensor:
        """Programmed weights ``t_inference`` seconds later."""
        targets, params = _as_list(self.g_converter.convert_to_conductances(weights))
        drifted = [
            self.apply_drift_noise_to_conductance(target, nu, t_inference)
            for target, nu in zip(targets, drift_noise_parameters, strict=True)
        ]
        return self.g_converter.convert_back_to_weights(drifted, params)  # type: ignore[no-any-return]


def _as_list(converted: tuple[Any, Any]) -> tuple[list[Tensor], Any]:
    """Conductances as a list, which single devices do not give."""
    found, params = converted
    return ([found] if isinstance(found, Tensor) else list(found)), params


def _computed(law: Callable[..., Any], draws: Any, *given: Any) -> Any:
    """What ``law`` makes of arrays with ``draws``, or of tensors with torch's random numbers."""
    if draws is not None:
        return law(*given, draws)
    first = given[0]
    arrays = [each.detach().cpu().float().numpy() if isinstance(each, Tensor) else each for each in given]
    found = law(*arrays, TorchDraws(tuple(first.shape)))
    return torch.from_numpy(np.asarray(found, np.float32)).to(first)


def taking(fields_of: Callable[..., dict[str, Any]]) -> Callable[[Any], Any]:
    """A class whose constructor takes aihwkit's arguments: ``fields_of`` tells the fields that they mean."""

    def changed(kind: Any) -> Any:
        plain: Any = kind.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            plain(self, **fields_of(*args, **kwargs))

        kind.__init__ = __init__
        return kind

    return changed


__getattr__ = absent(__name__)
