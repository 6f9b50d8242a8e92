"""Weight modifiers of hardware-aware training: noise and rounding that a mini-batch's weights get.

``naive`` is the readable reference, ``cpu`` the fused kernel, ``cuda`` its twin for Triton. A tile's modified
weights depend on its key, the tick of the mini-batch and its weights only.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, unknown
from ..parameters import WeightModifierParameter
from . import naive
from .plan import Plan, plan

__all__ = ["Plan", "largest_weight", "modified_weights", "plan"]

Executor = Literal["naive", "cpu", "cuda"]
Array = NDArray[np.float32]


def modified_weights(
    w_TOI: Array,
    parameter: WeightModifierParameter | Plan,
    keys_T2: NDArray[np.uint32],
    tick: int,
    *,
    out_TOI: Array | None = None,
    w_max_T: Array | None = None,
    executor: Executor = "cpu",
) -> Array:
    """The weights [tiles, out, in] that the mini-batch at ``tick`` sees.

    ``out_TOI`` receives them (it may be ``w_TOI``); with the executor "cuda" both are tensors on the card. A
    caller whose weights have not changed may pass the ``w_max_T`` that ``largest_weight`` gave.
    """
    modifier = parameter if isinstance(parameter, Plan) else plan(parameter)
    if out_TOI is None:
        out_TOI = _kernels(executor).empty_like(w_TOI)
    if w_max_T is None:
        w_max_T = largest_weight(w_TOI, modifier, executor)
    _kernels(executor).modify(out_TOI, w_TOI, keys_T2, tick, modifier, w_max_T)
    return out_TOI


def largest_weight(w_TOI: Array, modifier: Plan, executor: Executor = "cpu") -> Array:
    """What the strengths of ``modifier`` are relative to in each tile [T]."""
    columns = w_TOI.shape[2] - modifier.keep_last
    largest_T: Array = _kernels(executor).largest_magnitude(w_TOI, columns)
    finite_T = np.isfinite(largest_T)
    if not finite_T.all():
        raise InputError(
            f"the weights of tile {int(np.argmin(finite_T))} of {len(finite_T)} hold NaN or infinity: "
            "lower the learning rate or clip the weights"
        )
    if not modifier.relative:
        return np.full(w_TOI.shape[0], modifier.assumed_wmax, np.float32)
    return np.where(largest_T > 0.0, largest_T, np.float32(1.0))


def _kernels(executor: Executor) -> ModuleType:
    if executor == "cuda":
        from . import cuda  # needs Triton and torch, which a CPU tile does without

        return cuda
    if executor not in ("cpu", "naive"):
        raise unknown("executor of weight modifiers", executor, ("cpu", "naive", "cuda"))
    if executor == "naive":
        return naive
    from . import cpu  # many tiles never modify their weights

    return cpu
