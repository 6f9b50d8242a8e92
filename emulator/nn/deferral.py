"""Layers that are made before their numbers are known: what is remembered until a file gives them.

A layer's key is a function of torch's generator as it stood, its name and its numbers (``keys.py``), and
every layer that a conversion makes moves the generator on by the initial weights of its torch twin. So a
conversion without numbers remembers where the generator stood and which layers it made, in their order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .initial import pass_over

if TYPE_CHECKING:
    from .base import AnalogLayer


@dataclass(slots=True)
class Deferral:
    """What the key of one layer follows from, besides its numbers."""

    name: str
    numbers: tuple[str, ...]  # of its torch twin's parameters, in their order
    conversion: Deferrals
    layer: AnalogLayer | None = None
    generator: Tensor | None = None  # state of torch's generator when the layer was made; None: not known yet


@dataclass(slots=True)
class Deferrals:
    """The layers of one conversion."""

    generator: Tensor  # state of torch's generator when the conversion began
    each: list[Deferral] = field(default_factory=list)

    def add(self, module: nn.Module, name: str) -> None:
        """The torch layer ``module``, called ``name``, is about to get its analog twin."""
        self.each.append(Deferral(name, tuple(own for own, _ in module.named_parameters()), self))

    def made(self, name: str, layer: AnalogLayer) -> None:
        """The analog twin of the layer ``name`` is there."""
        deferral = next(each for each in reversed(self.each) if each.name == name)
        deferral.layer = layer
        layer.deferral = deferral

    def find_generators(self) -> None:
        """Pass over what the conversion would have drawn: where the generator stood each time."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.generator)
            for deferral in self.each:
                deferral.generator = torch.get_rng_state()
                if deferral.layer is not None:
                    pass_over(deferral.layer.draw_initial)


#: the conversion that goes on without numbers; a plain True: layers are made one by one
_PRESENT: ContextVar[Deferrals | bool] = ContextVar("deferrals", default=False)


@contextlib.contextmanager
def deferring(conversion: Deferrals | None = None) -> Iterator[None]:
    """Inside, analog layers get neither devices nor numbers; those of a ``conversion`` are noted there."""
    token = _PRESENT.set(True if conversion is None else conversion)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def is_deferring() -> bool:
    """Whether layers that are made now get neither devices nor numbers."""
    return _PRESENT.get() is not False


def present_conversion() -> Deferrals | None:
    """The conversion that goes on without numbers."""
    present = _PRESENT.get()
    return present if isinstance(present, Deferrals) else None
