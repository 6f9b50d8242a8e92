"""The gradient of weights that learn by pulses: the passes that went backward, and no numbers."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..hosts.grid import TileGrid
from ..hosts.records import BackwardPass

if TYPE_CHECKING:
    from .weights import AnalogContext


class OneMatrix(Protocol):
    """The module around the tiles of one matrix, wherever they are."""

    grid: TileGrid


#: a pass that went backward, and the matrix that it went through
Waiting = tuple[OneMatrix, BackwardPass]

#: what torch's engine and ``Module.to`` do to a gradient that leaves it what it is
SAME = frozenset({"detach", "alias", "clone", "_to_copy"})
DETACH = torch.ops.aten.detach.default
ZERO = frozenset({"zero_", "_foreach_zero_"})


class PulsesWaiting(torch.Tensor):
    """The gradient of an ``AnalogContext``: passes that went backward and wait for the tiles' update.

    The tiles keep vectors, not a gradient matrix. So this gradient can be what torch's engine makes of
    gradients (handed on, accumulated, dropped with all it stands for), but nothing can clip, scale or average
    it. Whoever tries (gradient clipping, another optimizer than ``AnalogSGD``) gets an error.
    """

    passes: list[Waiting]
    layer: str  # its name
    context: weakref.ref[AnalogContext]  # weak: it holds this gradient
    incomplete: bool  # passes were dropped because no optimizer would have applied them

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(
        cls,
        passes: Sequence[Waiting],
        context: AnalogContext,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> PulsesWaiting:
        """The gradient of ``context``, of its shape, and its type and device if no other is given."""
        with torch._C.DisableTorchFunctionSubclass():  # the context's own is slow
            waiting: PulsesWaiting = torch.Tensor._make_wrapper_subclass(
                cls, context.shape, dtype=dtype or context.dtype, device=device or context.device
            )
        waiting.passes, waiting.incomplete = list(passes), False
        waiting.context, waiting.layer = weakref.ref(context), context.tiles.label
        return waiting

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is DETACH:  # torch's engine does it to every gradient, of which it then keeps nothing else
            return args[0]
        name = func.overloadpacket.__name__
        waiting = list(_markers([*args, *(kwargs or {}).values()]))
        if name in SAME:
            return waiting[0]._same(**(kwargs or {}))
        if name in ("add", "add_") and len(waiting) == 2 and not kwargs:
            return (waiting[0] if name == "add_" else waiting[0]._same())._accumulate(waiting[1])
        if name in ZERO:
            return _zero(args[0])
        raise ConfigError(
            f"{waiting[0].layer}: {name} cannot act on the gradient of analog weights, which are "
            "pulsed vector by vector; give it the other parameters (those that are no cg.AnalogContext), and "
            "train with cg.AnalogSGD"
        )

    def by_matrix(self) -> Iterator[tuple[OneMatrix, list[BackwardPass]]]:
        """The passes of each matrix."""
        if len(self.passes) == 1:
            tiles, each = self.passes[0]
            yield tiles, [each]
            return
        found: dict[int, tuple[OneMatrix, list[BackwardPass]]] = {}
        for tiles, each in self.passes:
            found.setdefault(id(tiles), (tiles, []))[1].append(each)
        yield from found.values()

    def _same(
        self, dtype: torch.dtype | None = None, device: torch.device | None = None, **_: Any
    ) -> PulsesWaiting:
        same: PulsesWaiting = torch.Tensor._make_wrapper_subclass(
            PulsesWaiting, self.shape, dtype=dtype or self.dtype, device=device or self.device
        )
        same.passes, same.incomplete = list(self.passes), self.incomplete
        same.context, same.layer = self.context, self.layer
        return same

    def _accumulate(self, later: PulsesWaiting) -> PulsesWaiting:
        """Add passes; where no optimizer holds the weights, the last backward pass alone is kept.

        Nobody asks for an update of such a layer (a backbone whose head alone is trained), and passes, unlike
        a sum of gradients, would fill the memory.
        """
        context = self._context()
        if self is context.grad and not context.learners:
            self.incomplete |= bool(self.passes)
            self.passes = list(later.passes)
        else:
            self.passes += later.passes
            self.incomplete |= later.incomplete
        return self

    def _context(self) -> AnalogContext:
        context = self.context()
        assert context is not None, f"{self.layer}: the layer of this gradient is gone"
        return context

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PulsesWaiting({self.layer}, {len(self.passes)} passes)"


def _markers(values: Any) -> Iterator[PulsesWaiting]:
    """All waiting pulses among a function's arguments."""
    for value in values:
        if isinstance(value, PulsesWaiting):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _markers(value)


def _zero(gradients: Any) -> Any:
    """What ``zero_`` or ``_foreach_zero_`` does, of which some gradients are pulses."""
    for gradient in gradients if isinstance(gradients, (list, tuple)) else [gradients]:
        if isinstance(gradient, PulsesWaiting):
            gradient.passes, gradient.incomplete = [], False
        else:
            gradient.zero_()
    return gradients if isinstance(gradients, Tensor) else None
