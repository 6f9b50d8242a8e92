"""Noise models of tensors and of tiles."""

from __future__ import annotations

from typing import Any

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config

from ...missing import absent
from .base import NoiseOfTensors


@config
class PCMLikeNoiseModel(NoiseOfTensors, kernels.PCMLikeNoiseModel):
    __doc__ = kernels.PCMLikeNoiseModel.__doc__


@config
class CustomDriftPCMLikeNoiseModel(NoiseOfTensors, kernels.CustomDriftPCMLikeNoiseModel):
    """As ``PCMLikeNoiseModel`` with a table of drift exponents.

    The table is ``custom_drift_model``, a dictionary of the fields ``g_lst``, ``nu_mean_lst`` and
    ``nu_std_lst``, and may come first; other fields go by their names.
    """


def _taking_a_table(kind: Any) -> Any:
    """``kind`` whose constructor takes the table as aihwkit's does."""
    plain: Any = kind.__init__

    def __init__(self: Any, custom_drift_model: dict[str, list[float]] | None = None, **fields: Any) -> None:
        plain(self, **{**(custom_drift_model or {}), **fields})

    kind.__init__ = __init__
    return kind


CustomDriftPCMLikeNoiseModel = _taking_a_table(CustomDriftPCMLikeNoiseModel)  # type: ignore[misc]


__getattr__ = absent(__name__)
