"""Weight modifiers of hardware-aware training: noise and rounding that a mini-batch's weights get.

``naive`` is the readable reference, ``cpu`` the fused kernel, ``cuda`` its twin for Triton. A tile's modified
weights depend on its key, the tick of the mini-batch and its weights only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends import CPU, Backend
from ...errors import InputError
from .parameters import WeightModifierParameter
from .plan import Plan, plan

__all__ = ["Plan", "largest_weight", "modified_weights", "plan"]

Array = NDArray[np.float32]


def modified_weights(
    w_TOI: Array,
    parameter: WeightModifierParameter | Plan,
    keys_T2: NDArray[np.uint32],
    tick: int,
    *,
    out_TOI: Array | None = None,
    w_max_T: Array | None = None,
    backend: Backend = CPU,
) -> Array:
    """The weights [tiles, out, in] that the mini-batch at ``tick`` sees.

    ``out_TOI`` receives them (it may be ``w_TOI``); on a card both are tensors there. A
    caller whose weights have not changed may pass the ``w_max_T`` that ``largest_weight`` gave.
    """
    modifier = parameter if isinstance(parameter, Plan) else plan(parameter)
    if out_TOI is None:
        out_TOI = backend.modifiers.empty_like(w_TOI)
    if w_max_T is None:
        w_max_T = largest_weight(w_TOI, modifier, backend)
    backend.modifiers.modify(out_TOI, w_TOI, keys_T2, tick, modifier, w_max_T)
    return out_TOI


def largest_weight(w_TOI: Array, modifier: Plan, backend: Backend = CPU) -> Array:
    """What the strengths of ``modifier`` are relative to in each tile [T]; a tensor of one on a card.

    Raises:
        InputError: a weight is not finite; not where nobody waits for a card: its weights were looked at
            when they were written.
    """
    columns = w_TOI.shape[2] - modifier.keep_last
    largest_T: Any = backend.modifiers.largest_magnitude(w_TOI, columns)
    if not backend.late:
        _require_finite(largest_T if isinstance(largest_T, np.ndarray) else largest_T.cpu().numpy())
    if not modifier.relative:
        return np.full(w_TOI.shape[0], modifier.assumed_wmax, np.float32)
    if not isinstance(largest_T, np.ndarray):
        of_card: Array = largest_T.masked_fill((largest_T > 0.0).logical_not(), 1.0)
        return of_card
    return np.where(largest_T > 0.0, largest_T, np.float32(1.0))


def _require_finite(largest_T: Array) -> None:
    finite_T = np.isfinite(largest_T)
    if not finite_T.all():
        raise InputError(
            f"the weights of tile {int(np.argmin(finite_T))} of {len(finite_T)} hold NaN or infinity: "
            "lower the learning rate or clip the weights"
        )
