"""The path of a model's pass: in which order it calls the modules that a stage can begin with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.kernels.errors import CrossgridError

from ...shapes.analog import undisturbed
from ...shapes.attempts import attempt
from ...shapes.example import example_of
from .cut import Cut, Path, apart, units_of
from .passing import Pass, Passages

#: values a side of an image, and tokens, that a model may take: tried where nobody says
SIDES, TOKENS = (32, 28, 64, 224), (1, 8, 2)


class _Calls(Pass):
    """A pass on shapes that notes which modules it reaches, wherever they are."""

    def __init__(self, cut: Cut) -> None:
        super().__init__(cut, None, {})
        self.reached: list[int] = []

    def reach(self, name: str) -> None:
        """Note the stage of ``name``, of which each holds one module that a stage can begin with."""
        self.reached.append(self.cut.parts[name])


def path_of(model: nn.Module, example: Any = None) -> Path | None:
    """The path of ``example``, or without one of an input that the model's first layer could take.

    Nothing is computed, only shapes. None: nothing that was tried passes.

    Raises:
        ConfigError: ``example`` is no example input.
    """
    if example is not None:
        given = example_of(model, example, device="meta").tensors[0]
        tries: tuple[Tensor, ...] = (given, given.long())  # shapes alone do not say that they are of tokens
    else:
        tries = tuple(_inputs(model))
    for x in tries:
        calls = calls_of(model, x)
        if calls is not None:
            return Path(calls, sure=example is not None)
    return None


def calls_of(model: nn.Module, x: Tensor) -> tuple[str, ...] | None:
    """The modules that a stage can begin with in the order in which ``x`` calls them; None: it fails."""
    units = units_of(model)
    cut = apart(model)
    passages, passing = Passages(model, cut, None), _Calls(cut)
    try:
        with undisturbed(model):
            attempt(lambda: passages.through(passing, x), "", "")
    except CrossgridError:  # whoever computes with the model is told, in its own words
        return None
    finally:
        passages.remove()
    return tuple(units[number] for number in passing.reached)


def _inputs(model: nn.Module) -> Iterator[Tensor]:
    """Inputs that the first layer that says what it takes would take; shapes alone."""
    shapes: Sequence[tuple[int, ...]] = ()
    dtype = torch.float32
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            shapes, dtype = [(1, count) for count in TOKENS], torch.int64
        elif isinstance(width := getattr(module, "in_features", None), int):
            shapes = [(1, width), (1, TOKENS[-1], width)]
        elif isinstance(channels := getattr(module, "in_channels", None), int):
            axes = len(getattr(module, "kernel_size", (1, 1)))
            shapes = [(1, channels, *[side] * axes) for side in SIDES]
        if shapes:
            break
    for shape in shapes:
        yield torch.zeros(shape, dtype=dtype, device="meta")
