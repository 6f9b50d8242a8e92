"""Noise models of tensors and of tiles."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config
from crossgrid.kernels.errors import ConfigError
from crossgrid.kernels.inference.noise.reram import CMO_PROGRAMMING

from ...missing import absent
from ..converter.conductance import SingleDeviceConductanceConverter
from .base import BaseNoiseModel, taking


def _of_wan(coeff_dic: dict[float, list[float]] | None = None, **fields: Any) -> dict[str, Any]:
    if coeff_dic is not None:
        fields |= {"times": list(coeff_dic), "coeffs": [list(row) for row in coeff_dic.values()]}
    return fields


@taking(_of_wan)
@config
class ReRamWan2022NoiseModel(BaseNoiseModel, kernels.ReRamWan2022NoiseModel):
    """As this project's; ``coeff_dic`` may come first: times in seconds -> coefficients.

    What was measured is the deviation from the target at each time: a weight deviates once, as on tiles.
    """

    def apply_noise(self, weights: Tensor, t_inference: float) -> Tensor:
        """Weights as they are read ``t_inference`` seconds after programming."""
        return self.apply_drift_noise(weights, [], t_inference)

    def apply_drift_noise(
        self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float
    ) -> Tensor:
        """As ``weights`` are read ``t_inference`` seconds after they were written without any error."""
        targets, _ = self.g_converter.convert_to_conductances(weights)  # type: ignore[union-attr]
        return BaseNoiseModel.apply_drift_noise(self, weights, targets, t_inference)


def _of_cmo(
    coeff_dict: dict[float, list[float]] | None = None,
    g_max: float | None = None,
    g_min: float | None = None,
    decay_dict: dict[str, list[float]] | None = None,
    read_dict: dict[str, float] | None = None,
    acceptance_range: float = 0.2,
    **fields: Any,
) -> dict[str, Any]:
    if coeff_dict is not None:
        raise ConfigError(
            "ReRamCMONoiseModel.coeff_dict: programming noise is that of the measured acceptance ranges, 0.2 "
            "and 2 %; derive a noise model for others (crossgrid.BaseNoiseModel)"
        )
    fields["acceptance_range"] = acceptance_range if acceptance_range in CMO_PROGRAMMING else 0.2
    limits = {name: value for name, value in (("g_max", g_max), ("g_min", g_min)) if value is not None}
    if limits:
        fields["g_converter"] = SingleDeviceConductanceConverter(**limits)
    if decay_dict is not None:
        slope, offset = decay_dict["std"]
        fields |= {"decay_mean": decay_dict["mean"][0], "decay_std": [offset, slope]}
    if read_dict is not None:
        fields |= {"read_k": read_dict["K"], "t_read": read_dict["t_read"]}
    return fields


@taking(_of_cmo)
@config
class ReRamCMONoiseModel(BaseNoiseModel, kernels.ReRamCMONoiseModel):
    """As this project's; aihwkit's ``g_max``, ``g_min``, ``decay_dict`` and ``read_dict`` are taken too.

    An ``acceptance_range`` that was not measured counts as the smallest that was, as in aihwkit.
    """


__getattr__ = absent(__name__)
