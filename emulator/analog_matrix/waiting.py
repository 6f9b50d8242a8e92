"""The gradient of weights that learn by pulses: it says that passes wait, and holds no numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import TileGrid

#: what may be done with waiting pulses: attributes, and what ``Module.to`` and ``zero_grad`` call
HARMLESS = frozenset({
    "__get__", "__set__", "detach_", "requires_grad_", "dim", "is_floating_point", "is_complex",
    "to", "cpu", "cuda", "float", "double", "half", "bfloat16",
})  # fmt: skip


class PulsesWaiting(torch.Tensor):
    """The gradient of an ``AnalogContext``: it says that passes wait for an update, and holds no numbers.

    The tiles keep vectors, not a gradient matrix, so nothing can clip, scale or average it. Whoever tries
    (gradient clipping, another optimizer than ``AnalogSGD``) gets an error instead of a silent no-op.
    """

    grid: TileGrid  # and not the weight, which holds this gradient

    def __new__(cls, weight: Tensor, grid: TileGrid) -> PulsesWaiting:
        zero = torch.zeros((), dtype=weight.dtype, device=weight.device)
        waiting: PulsesWaiting = torch.Tensor._make_subclass(cls, zero.expand(weight.shape))
        waiting.grid = grid
        return waiting

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        if name in HARMLESS:
            return super().__torch_function__(func, types, args, kwargs or {})
        waiting = _markers([*args, *(kwargs or {}).values()])
        if name in ("zero_", "_foreach_zero_"):
            for marker in waiting:
                marker.grid.forget_pending()
            return None
        raise ConfigError(
            f"{waiting[0].grid.spec.name}: {name} cannot act on the gradient of analog weights, which are "
            "pulsed vector by vector; give it the other parameters (those that are no cg.AnalogContext), and "
            "train with cg.AnalogSGD"
        )

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PulsesWaiting({self.grid.spec.name})"


def _markers(values: Any) -> list[PulsesWaiting]:
    """All waiting pulses among a function's arguments."""
    if isinstance(values, PulsesWaiting):
        return [values]
    if isinstance(values, (list, tuple)):
        return [marker for value in values for marker in _markers(value)]
    return []
