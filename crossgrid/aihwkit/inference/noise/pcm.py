"""Noise models of tensors and of tiles."""

from __future__ import annotations

from typing import Any

from crossgrid.kernels import inference as kernels
from crossgrid.kernels.config import config

from ...missing import absent
from .base import BaseNoiseModel, taking


@config
class PCMLikeNoiseModel(BaseNoiseModel, kernels.PCMLikeNoiseModel):
    __doc__ = kernels.PCMLikeNoiseModel.__doc__


def _with_table(custom_drift_model: dict[str, list[float]] | None = None, **fields: Any) -> dict[str, Any]:
    return {**(custom_drift_model or {}), **fields}


@taking(_with_table)
@config
class CustomDriftPCMLikeNoiseModel(BaseNoiseModel, kernels.CustomDriftPCMLikeNoiseModel):
    """As ``PCMLikeNoiseModel`` with a table of drift exponents.

    The table is ``custom_drift_model``, a dictionary of the fields ``g_lst``, ``nu_mean_lst`` and
    ``nu_std_lst``, and may come first; other fields go by their names.
    """


__getattr__ = absent(__name__)
