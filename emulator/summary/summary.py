"""``analog_summary``: a model's layers on tiles, what of it stays digital and why, and warnings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossgrid.chip import Chip, load_chip
from crossgrid.kernels.errors import ConfigError

from ..model.analog_model import analog_matrices
from ..nn.matrix import AnalogMatrix
from ..shapes.analog import plain_shapes, traced_shapes
from ..shapes.counting import ModelShapes
from .advice import Advice, advice_on
from .rows import AnalogRow, DigitalRow, analog_rows, digital_rows, with_shares
from .show import html_of, text_of


@dataclass(frozen=True, slots=True)
class AnalogSummary:
    """What of a model is on tiles and what is not; print it, show it in a notebook, or take ``as_dict()``."""

    model: str  # its class
    analog: tuple[AnalogRow, ...]
    digital: tuple[DigitalRow, ...]
    warnings: tuple[Advice, ...]
    counted: bool  # multiplications are those of an example, or else of one vector through each layer

    @property
    def weights(self) -> int:
        """Weights of the model."""
        rows: list[AnalogRow | DigitalRow] = [*self.analog, *self.digital]
        return sum(row.weights for row in rows)

    @property
    def tiles(self) -> int:
        """Physical tiles of all layers."""
        return sum(row.tiles for row in self.analog)

    @property
    def analog_share(self) -> float:
        """Of the weights, the share on tiles."""
        return sum(row.weights_share for row in self.analog)

    @property
    def line(self) -> str:
        """The summary in one line."""
        rest = sum(1 for row in self.digital if row.weights)
        if not self.analog:
            return (
                f"no layer is on tiles, all {self.weights:,} weights are digital: cg.convert_to_analog(model)"
            )
        several = len(self.analog) > 1
        says = (
            f"{len(self.analog)} analog {'matrices' if several else 'matrix'} on {self.tiles:,} "
            f"tile{'s' * (self.tiles > 1)} {'hold' if several else 'holds'} {self.analog_share:.1%} of "
            f"{self.weights:,} weights, {rest} digital part{'s' * (rest != 1)} the rest"
        )
        if not self.warnings:
            return says
        count = len(self.warnings)
        return f"{says}; {count} warning{'s' * (count > 1)}: print(cg.analog_summary(model))"

    def as_dict(self) -> dict[str, Any]:
        """Plain data: numbers, texts, lists and dictionaries, as JSON takes them."""
        return {
            "model": self.model, "weights": self.weights, "tiles": self.tiles,
            "analog_share": self.analog_share, "counted": self.counted,
            "analog": [dataclasses.asdict(row) for row in self.analog],
            "digital": [dataclasses.asdict(row) for row in self.digital],
            "warnings": [
                {"problem": each.problem, "way_out": each.way_out, "layers": list(each.layers)}
                for each in self.warnings
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)


def analog_summary(
    model: nn.Module,
    example_input: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    chip: str | os.PathLike[str] | Chip | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> AnalogSummary:
    """Every analog layer of ``model``, every module that stays digital and why, and warnings.

    Args:
        model: any torch model, converted or not, inside ``emulate`` or not. Nothing of it changes.
        example_input: a batch as the model takes it (a tensor, a tuple of tensors, or a shape). It tells how
            many multiplications one input costs each layer, and which functions the model calls. Without
            one, multiplications are those of one vector through each layer.
        chip: the chip that the model is to be emulated on, to warn of converters that lose what they read.
        optimizer: the model's optimizer, to warn of what does not reach the tiles. An ``AnalogSGD`` that
            holds the model's layers is found without.

    Raises:
        ConfigError: ``model`` is no torch module, or the example does not pass through it.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"analog_summary takes a torch.nn.Module, not a {type(model).__name__}; give the model itself"
        )
    matrices = list(analog_matrices(model))
    found = _shapes(model, matrices, example_input)
    described = None if chip is None else load_chip(chip)
    counted = example_input is not None
    analog, digital = with_shares(
        analog_rows(matrices, {shape.name: shape for shape in found.layers}),
        digital_rows(model, found.digital, counted),
    )
    warnings = advice_on(analog, matrices, described, optimizer)
    return AnalogSummary(type(model).__name__, analog, digital, tuple(warnings), counted)


def _shapes(model: nn.Module, matrices: list[tuple[str, AnalogMatrix]], example: Any) -> ModelShapes:
    return plain_shapes(model, matrices) if example is None else traced_shapes(model, matrices, example)
