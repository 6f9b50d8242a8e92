"""Which axis of a model's first tensor counts its inputs.

It is the first one, unless a layer of the model says something else: a recurrent layer or attention with
``batch_first=False`` reads [T, B, features], the same without B reads one input alone, and a recurrent cell
that is called for each step reads [B, features] of it. Such a layer is believed where the sizes that it
reads are those of the model's own input, so a model that turns its axes itself is none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from crossgrid.kernels.errors import ConfigError

from ..attention import AnalogMultiheadAttention
from ..recurrent.cells import AnalogRecurrentCell
from ..recurrent.network import AnalogRecurrent
from .listening import Listener

CELLS = (nn.RNNCellBase, AnalogRecurrentCell)
SEQUENCES = (nn.RNNBase, nn.MultiheadAttention, AnalogRecurrent, AnalogMultiheadAttention)

#: in place of an axis: the whole tensor is one input
ALL = None


class BatchAxis:
    """Learns the axis while a model is called, and who said so.

    Args:
        model: its layers are listened to until one says something, or ``stop``.
    """

    def __init__(self, model: nn.Module) -> None:
        self.axis: int | None = 0
        self.said_by = ""
        self._shape: tuple[int, ...] = ()
        self._handles: list[RemovableHandle] = []
        for name, module in model.named_modules():
            if isinstance(module, (*CELLS, *SEQUENCES)):
                hear = self._heard_by(name or type(module).__name__)
                self._handles.append(module.register_forward_pre_hook(Listener(hear), with_kwargs=True))
        if self._handles:
            hook = model.register_forward_pre_hook(Listener(self._called), with_kwargs=True, prepend=True)
            self._handles.append(hook)

    def __enter__(self) -> BatchAxis:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def inputs_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """How many inputs a call holds; 0 where it holds no tensor with a batch."""
        first = first_of(args, kwargs)
        return 0 if first is None or not first.dim() else self.inputs(first)

    def parts(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """``parts`` of an input that are cut and joined along its first dimension.

        Raises:
            ConfigError: a second one, where the first one told that this dimension is time.
        """
        for number, part in enumerate(parts):
            if number and self.axis != 0:
                raise ConfigError(
                    f"inputs are cut and joined along their first dimension, which '{self.said_by}' reads as "
                    "time: give one batch as a whole, or make the layer with batch_first=True"
                )
            yield part

    def inputs(self, tensor: Tensor) -> int:
        """How many inputs the model's first tensor holds."""
        if self.axis is ALL:
            return 1
        return int(tensor.shape[self.axis]) if tensor.dim() > self.axis else 0

    def stop(self) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _called(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._shape = _shape(args, kwargs)

    def _heard_by(self, name: str) -> Callable[..., None]:
        def hear(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            axis = axis_of(self._shape, module, _shape(args, kwargs))
            if axis != 0 and not self.said_by:
                self.axis, self.said_by = axis, name

        return hear


def first_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """A call's first tensor, by place or by name; None where there is none."""
    if args and isinstance(args[0], Tensor):
        return args[0]  # each step of a training asks
    return next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)


def _shape(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    first = first_of(args, kwargs)
    return () if first is None else tuple(first.shape)


def axis_of(shape: Sequence[int], module: nn.Module, read: Sequence[int]) -> int | None:
    """The axis of a model's input of ``shape`` that counts inputs, as told by a module that reads ``read``.

    0 where it tells nothing else; ``ALL`` where the whole is one input.
    """
    if not shape or not read:
        return 0
    of_cell = isinstance(module, CELLS)
    if len(read) == (1 if of_cell else 2):
        return ALL if of_cell or read[0] == shape[0] else 0
    time, batch = (None, read[0]) if of_cell else (read[0], read[1])
    if not of_cell and getattr(module, "batch_first", True):
        return 0
    second = len(shape) in (2, 3) and shape[1] == batch != shape[0]
    return 1 if second and time in (None, shape[0]) else 0
